defmodule Foundation.BEAM.SharedStore.BatchTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Stores

  alias Foundation.BEAM.SharedStore

  test "maps and lists of pairs; more than one slice of them" do
    store = SharedStore.new()
    pairs = for n <- 1..20_000, do: {{:key, n}, %{id: n}}
    assert SharedStore.put_many(store, pairs) == :ok
    assert SharedStore.size(store) == 20_000
    keys = Enum.map(pairs, &elem(&1, 0))
    assert SharedStore.fetch_many(store, keys) == {:ok, pairs}
    assert SharedStore.delete_many(store, keys) == :ok
    assert SharedStore.size(store) == 0

    assert SharedStore.put_many(store, Map.new(pairs)) == :ok
    assert SharedStore.size(store) == 20_000
  end

  test "values are found in the order asked for, missing ones left out, repeated ones repeated" do
    store = SharedStore.new()
    SharedStore.put_many(store, a: 1, b: 2, c: 3)
    assert SharedStore.fetch_many(store, [:c, :none, :a, :a, :b]) == {:ok, c: 3, a: 1, a: 1, b: 2}
    assert SharedStore.fetch_many(store, []) == {:ok, []}
    assert SharedStore.put_many(store, []) == :ok
    assert SharedStore.put_many(store, %{}) == :ok
    assert SharedStore.delete_many(store, []) == :ok
    assert SharedStore.delete_many(store, [:a, :none, :a, :c]) == :ok
    assert SharedStore.fetch_many(store, [:a, :b, :c]) == {:ok, b: 2}
  end

  test "of a key that comes twice the last counts" do
    store = SharedStore.new()
    assert SharedStore.put_many(store, [{1, :a}, {1.0, :b}, {1, large()}, {1, :c}]) == :ok
    assert SharedStore.fetch_many(store, [1, 1.0]) === {:ok, [{1, :c}, {1.0, :b}]}
  end

  test "large values among small ones" do
    store = SharedStore.new()

    pairs =
      for n <- 1..30 do
        {n, Enum.at([n, medium(n), large(n), :binary.copy("x", 300_000)], rem(n, 4))}
      end

    assert SharedStore.put_many(store, pairs) == :ok
    assert SharedStore.fetch_many(store, Enum.to_list(1..40)) === {:ok, pairs}
    assert Enum.sort(SharedStore.stream(store)) === pairs
  end

  test "what is too large is left out, and named; the rest is put" do
    store = SharedStore.new(max_bytes: 20_000)
    pairs = [{1, 1}, {:b, large()}, {2, 2}, {:c, medium()}, {3, 3}]
    assert {:error, error} = SharedStore.put_many(store, pairs)
    assert {error.error_type, error.context} == {:too_large, %{keys: [:b, :c]}}
    assert SharedStore.fetch_many(store, [1, 2, 3, :b, :c]) == {:ok, [{1, 1}, {2, 2}, {3, 3}]}
  end

  test "what is no list of keys raises; of a list of pairs what comes before the fault is put" do
    store = SharedStore.new()

    for pairs <- [[:a], [{1, 2}, {3}], [{1, 2} | {3, 4}], :a, nil, {1, 2}, %URI{}, 1..3] do
      assert_raise ArgumentError, ~r/expected a map or a list of {key, value} in SharedSt/, fn ->
        SharedStore.put_many(store, pairs)
      end
    end

    for keys <- [:a, %{a: 1}, [1 | 2], nil], call <- [:fetch_many, :delete_many] do
      assert_raise ArgumentError, ~r/expected a list of keys in SharedStore.#{call}\/2/, fn ->
        apply(SharedStore, call, [store, keys])
      end
    end

    assert store |> SharedStore.stream() |> Enum.to_list() == [{1, 2}]
  end

  test "batches beside each other lose nothing" do
    store = SharedStore.new()

    1..4
    |> Enum.map(fn id ->
      Task.async(fn -> SharedStore.put_many(store, for(n <- 1..5_000, do: {{id, n}, n})) end)
    end)
    |> Task.await_many(30_000)

    assert SharedStore.size(store) == 20_000
  end
end
