defmodule Bench.Store.Soak do
  @moduledoc false

  # Ten million operations of all kinds, from as many processes as schedulers, on a store with limits
  # in entries and bytes, a time to live and compression. Resident memory after each tenth: flat is
  # what is to be seen, from the second on (the first fills the store; it is cleared twice later).

  import Bench.Turns, only: [title: 1, note: 2]

  alias Bench.Side.Store
  alias Bench.Store.Large
  alias Bench.Turns
  alias Foundation.BEAM.{Memory, SharedStore}

  @operations 10_000_000
  @parts 10
  @keys 400_000

  def run do
    before = native()

    store =
      Store.new(max_entries: 200_000, max_bytes: 128_000_000, ttl: 20_000, compress_above: 32_000)

    title("#{@operations} operations of all kinds")
    note("resident before", megabytes(Turns.resident()))
    resident = for part <- 1..@parts, do: part(store, part)
    {:ok, stats} = SharedStore.stats(store)
    note("stats", inspect(stats))
    Store.drop(store)
    Turns.resident()
    note("native bytes held more than before", native() - before)
    Bench.ratio("soak_resident_last_times_second", List.last(resident) / Enum.at(resident, 1))
    Bench.ratio("soak_resident_most_times_second", Enum.max(tl(resident)) / Enum.at(resident, 1))
  end

  defp part(store, part) do
    if rem(part, 4) == 0, do: SharedStore.clear(store)
    start = System.monotonic_time(:millisecond)

    Turns.parallel(fn index, count ->
      :rand.seed(:exsss, {part, index, 0})
      large = [100, 1_000] |> Enum.map(&Large.users/1) |> List.to_tuple()
      for _ <- 1..div(@operations, @parts * count), do: operation(store, large)
      :ok
    end)

    took = System.monotonic_time(:millisecond) - start
    resident = Turns.resident()
    entries = SharedStore.size(store)
    note("part #{part}: #{took} ms, #{entries} entries, resident", megabytes(resident))
    resident
  end

  # Of 1,000 operations: most small, some with a time to live of their own, few large.
  defp operation(store, large) do
    key = :rand.uniform(@keys)
    choose(:rand.uniform(1_000), store, key, large)
  end

  defp choose(n, store, key, _) when n <= 300, do: SharedStore.fetch(store, key)
  defp choose(n, store, key, _) when n <= 480, do: ok(SharedStore.put(store, key, value(key)))

  defp choose(n, store, key, _) when n <= 580,
    do: ok(SharedStore.put(store, key, value(key), ttl()))

  defp choose(n, store, key, _) when n <= 620, do: SharedStore.put_new(store, key, value(key))
  defp choose(n, store, key, _) when n <= 670, do: SharedStore.delete(store, key)
  defp choose(n, store, key, _) when n <= 700, do: SharedStore.take(store, key)
  defp choose(n, store, key, _) when n <= 730, do: SharedStore.fetch_in(store, key, [:name])
  defp choose(n, store, key, _) when n <= 760, do: SharedStore.member?(store, key)
  defp choose(n, store, key, _) when n <= 790, do: SharedStore.touch(store, key, 5_000)
  defp choose(n, store, key, _) when n <= 800, do: SharedStore.ttl(store, key)
  defp choose(n, store, key, _) when n <= 850, do: SharedStore.increment(store, {:n, key}, 1)

  defp choose(n, store, key, _) when n <= 890,
    do: SharedStore.update(store, key, &Map.put(&1, :score, 2.5), initial: value(key))

  defp choose(n, store, key, _) when n <= 920, do: SharedStore.get_and_update(store, key, &swap/1)

  defp choose(n, store, key, _) when n <= 940,
    do: SharedStore.compare_and_put(store, key, value(key), value(key + 1))

  defp choose(n, store, key, _) when n <= 970,
    do: SharedStore.get_or_store(store, key, fn -> value(key) end)

  defp choose(n, store, key, _) when n <= 980,
    do: ok(SharedStore.put_many(store, for(k <- key..(key + 9), do: {k, value(k)})))

  defp choose(n, store, key, _) when n <= 990,
    do: SharedStore.fetch_many(store, Enum.to_list(key..(key + 9)))

  defp choose(n, store, key, _) when n <= 995, do: SharedStore.delete_many(store, [key, key + 1])
  # 27 KB frozen on its own, and 270 KB that is compressed.
  defp choose(n, store, key, large) when n <= 998,
    do: SharedStore.put(store, key, elem(large, rem(key, 2)))

  defp choose(999, store, key, _), do: SharedStore.get(store, {:none, key})
  defp choose(1_000, store, key, _), do: rare(rem(key, 100), store)

  defp rare(0, store), do: store |> SharedStore.stream(:keys) |> Enum.count()
  defp rare(_, store), do: SharedStore.stats(store)

  defp swap(nil), do: {nil, value(1)}
  defp swap(%{id: id} = value) when rem(id, 4) == 0, do: {value, value(id + 1)}
  defp swap(_value), do: :pop

  defp ok(:ok), do: :ok

  defp ttl, do: [ttl: :rand.uniform(3_000)]
  defp value(key), do: Turns.value(key)
  defp native, do: Memory.native_memory().total
  defp megabytes(bytes), do: "#{Float.round(bytes / 1_048_576, 1)} MiB"
end
