defmodule Foundation.BEAM.SharedStore.StressTest do
  # Processes on all schedulers that do everything at once, and are killed while they do.
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.SharedStore
  alias Foundation.{Error, Eventually, NativeBytes, Stores}

  @keys 200
  @operations 400
  @rounds 6

  @configs [
    [ttl: 20],
    [max_entries: 60],
    [max_bytes: 2_000_000, compress_above: 1_000, ttl: 50],
    []
  ]

  setup_all do
    %{large: Stores.large(), medium: Stores.medium()}
  end

  for {config, index} <- Enum.with_index(@configs) do
    @tag timeout: 120_000
    test "every value is whole and nothing is left behind, with #{inspect(config)}", terms do
      config = unquote(config)
      before = NativeBytes.settle()

      for round <- 1..@rounds do
        :rand.seed(:exsss, {unquote(index), round, 7})
        store = SharedStore.new(config)
        workers = for seed <- 1..(System.schedulers_online() * 4), do: work(store, terms, seed)
        # Half of them wherever they are by then, dirty schedulers included; the others go on.
        {victims, others} = workers |> Enum.shuffle() |> Enum.split(div(length(workers), 2))

        for {pid, _} <- victims do
          :erlang.yield()
          Process.exit(pid, :kill)
        end

        for {_, monitor} <- victims, do: assert_receive({:DOWN, ^monitor, _, _, _}, 30_000)

        for {_, monitor} <- others,
            do: assert_receive({:DOWN, ^monitor, _, _, :normal}, 60_000)

        # Whom it killed may still be in its native function.
        assert Eventually.eventually?(fn -> within_limits?(store, config) end)
        # Every other round ends with the handle, the others with a call.
        if rem(round, 2) == 0, do: SharedStore.close(store)
      end

      assert Eventually.eventually?(fn -> NativeBytes.no_more?(NativeBytes.settle(), before) end)
    end
  end

  defp within_limits?(store, config) do
    {:ok, stats} = SharedStore.stats(store)

    stats.entries <= Keyword.get(config, :max_entries, @keys + 1) and
      stats.live_bytes <= Keyword.get(config, :max_bytes, :infinity)
  end

  defp work(store, terms, seed) do
    spawn_monitor(fn ->
      :rand.seed(:exsss, {seed, 1, 2})
      for _ <- 1..@operations, do: operation(:rand.uniform(100), store, key(), terms)
    end)
  end

  defp key, do: {:key, :rand.uniform(@keys)}

  # Each value says whose it is, at both of its ends.
  defp value(key, %{large: large, medium: medium}) do
    body =
      case :rand.uniform(40) do
        1 -> large
        2 -> medium
        n when n < 8 -> :binary.copy("x", n * 100)
        n when n < 12 -> fn -> n end
        n when n < 16 -> make_ref()
        n -> %{name: "value", number: n * 1.5, pid: self(), big: 2 ** 70}
      end

    {key, body, key}
  end

  defp operation(n, store, key, terms) when n <= 25,
    do: SharedStore.put(store, key, value(key, terms))

  defp operation(n, store, key, _terms) when n <= 50,
    do: store |> SharedStore.fetch(key) |> whole!(key)

  defp operation(n, store, key, _terms) when n <= 60 do
    case SharedStore.fetch_in(store, key, [2]) do
      {:ok, part} -> true = part === key
      {:error, %Error{error_type: :not_found}} -> :ok
    end
  end

  defp operation(n, store, key, _terms) when n <= 65,
    do: store |> SharedStore.take(key) |> whole!(key)

  defp operation(n, store, key, terms) when n <= 72 do
    fun = fn {^key, _, ^key} -> value(key, terms) end
    store |> SharedStore.update(key, fun, initial: {key, 0, key}) |> whole!(key)
  end

  defp operation(n, store, key, terms) when n <= 78 do
    fun = fn -> value(key, terms) end
    result = SharedStore.get_or_store(store, key, fun, on_crash: :retry, timeout: :infinity)
    whole!(result, key)
  end

  defp operation(n, store, _key, terms) when n <= 83 do
    keys = for _ <- 1..20, do: key()
    SharedStore.put_many(store, for(key <- keys, do: {key, value(key, terms)}))
    {:ok, pairs} = SharedStore.fetch_many(store, keys)
    for {key, value} <- pairs, do: whole!({:ok, value}, key)
  end

  defp operation(n, store, key, _terms) when n <= 90,
    do: SharedStore.touch(store, key, :rand.uniform(60))

  defp operation(n, store, _key, _terms) when n <= 95,
    do: SharedStore.increment(store, :counter, 1, ttl: :infinity)

  defp operation(n, store, _key, _terms) when n <= 97 do
    for {key, value} <- SharedStore.stream(store), key != :counter, do: whole!({:ok, value}, key)
  end

  defp operation(98, store, _key, _terms), do: SharedStore.clear(store)
  defp operation(_n, store, key, _terms), do: SharedStore.delete(store, key)

  defp whole!({:ok, {key, _body, key}}, key), do: :ok
  defp whole!({:error, %Error{error_type: :not_found}}, _key), do: :ok
end
