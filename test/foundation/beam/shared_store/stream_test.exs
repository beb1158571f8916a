defmodule Foundation.BEAM.SharedStore.StreamTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Stores

  alias Foundation.BEAM.SharedStore
  alias Foundation.Error

  test "entries, keys and parts, of any number and size" do
    store = SharedStore.new()
    assert Enum.to_list(SharedStore.stream(store)) == []

    pairs = for n <- 1..1_000, do: {n, %{id: n, rest: [n]}}
    large = for n <- 1..3, do: {{:large, n}, %{id: n, rest: large(n)}}
    medium = for n <- 1..3, do: {{:medium, n}, %{id: n, rest: medium(n)}}
    # An entry that looks like the mark of a large one.
    odd = [{:large, 1}, {:large_1, :large}, {{:large, 7}, 8}]
    all = pairs ++ large ++ medium ++ odd
    SharedStore.put_many(store, all)

    assert Enum.sort(SharedStore.stream(store)) === Enum.sort(all)
    assert Enum.sort(SharedStore.stream(store, :keys)) === Enum.sort(Enum.map(all, &elem(&1, 0)))

    parts = for {key, %{id: id}} <- all, do: {key, id}
    assert Enum.sort(SharedStore.stream(store, {:path, [:id]})) === Enum.sort(parts)
    assert Enum.sort(SharedStore.stream(store, {:path, []})) === Enum.sort(all)
    assert Enum.to_list(SharedStore.stream(store, {:path, [:none]})) == []

    assert Enum.sort(SharedStore.stream(store, {:path, [:rest, 1]})) ==
             for(n <- 1..3, do: {{:large, n}, {n, [row: 1]}}) ++
               for(n <- 1..3, do: {{:medium, n}, {n, 2}})
  end

  test "it can be left in the middle, and be gone through again" do
    store = SharedStore.new()
    SharedStore.put_many(store, for(n <- 1..1_000, do: {n, n}))
    stream = SharedStore.stream(store, :keys)
    assert length(Enum.take(stream, 150)) == 150
    assert Enum.sort(stream) == Enum.to_list(1..1_000)
  end

  test "every entry that stays is met once, whatever becomes of the others meanwhile" do
    for round <- 1..20 do
      store = SharedStore.new()
      stay = for n <- 1..2_000, do: {:stay, n}
      for {key, n} <- Enum.with_index(stay), do: SharedStore.put(store, key, n)
      for n <- 1..2_000, do: SharedStore.put(store, {:go, n}, n)

      # Grows, shrinks and replaces at every step of the stream.
      met =
        store
        |> SharedStore.stream(:keys)
        |> Stream.with_index()
        |> Enum.map(fn {key, at} ->
          cond do
            rem(at + round, 3) == 0 -> SharedStore.put(store, {:new, at}, at)
            rem(at, 2) == 0 -> SharedStore.delete(store, {:go, rem(at * 7, 2_000) + 1})
            true -> SharedStore.put(store, {:go, rem(at * 11, 2_000) + 1}, at)
          end

          key
        end)

      assert Enum.frequencies(for {:stay, _} = key <- met, do: key) == Map.new(stay, &{&1, 1})
    end
  end

  test "the same while other processes write" do
    store = SharedStore.new()
    stay = for n <- 1..5_000, do: {:stay, n}
    for key <- stay, do: SharedStore.put(store, key, 0)
    stop = :counters.new(1, [])

    writers =
      for id <- 1..2 do
        Task.async(fn ->
          Stream.iterate(1, &(&1 + 1))
          |> Enum.find(fn n ->
            SharedStore.put(store, {id, rem(n, 3_000)}, n)
            if rem(n, 2) == 0, do: SharedStore.delete(store, {id, rem(n * 7, 3_000)})
            :counters.get(stop, 1) == 1
          end)
        end)
      end

    for _ <- 1..20 do
      met = for {:stay, _} = key <- SharedStore.stream(store, :keys), do: key
      assert Enum.sort(met) == Enum.sort(stay)
    end

    :counters.put(stop, 1, 1)
    Task.await_many(writers)
  end

  test "a stream of a store that is gone, or goes, raises what a read returns" do
    store = SharedStore.new()
    SharedStore.put_many(store, for(n <- 1..1_000, do: {n, n}))
    stream = SharedStore.stream(store)

    error =
      assert_raise Error, fn ->
        Enum.each(stream, fn _ -> SharedStore.close(store) end)
      end

    assert error.error_type == :noproc
    assert_raise Error, fn -> Enum.to_list(stream) end
    assert_raise Error, fn -> Enum.to_list(SharedStore.stream(make_ref())) end
  end

  test "what is neither of the three is refused at once" do
    store = SharedStore.new()

    for what <- [:all, nil, {:path, :a}, {:path, [1 | 2]}, [:a], {:keys, []}] do
      assert_raise ArgumentError, ~r/expected :entries, :keys or {:path, a list of steps}/, fn ->
        SharedStore.stream(store, what)
      end
    end
  end
end
