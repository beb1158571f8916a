defmodule Foundation.BEAM.SharedStore.LimitsTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.{Events, Stores}

  alias Foundation.BEAM.SharedStore
  alias Foundation.BEAM.SharedTerm
  alias Foundation.Native

  @evicted [:foundation, :shared_store, :evicted]

  defp stats(store), do: with({:ok, stats} <- SharedStore.stats(store), do: stats)

  test "max_entries holds after every put, and what was evicted is counted and told of" do
    listen(@evicted)
    began = System.monotonic_time(:millisecond)
    start_supervised!({SharedStore, name: :limits_test, max_entries: 100})
    {:ok, %{id: id}} = SharedStore.info(:limits_test)

    for n <- 1..1_000 do
      assert SharedStore.put(:limits_test, n, n) == :ok
      assert SharedStore.size(:limits_test) <= 100
    end

    %{entries: entries, evictions: evictions} = stats(:limits_test)
    assert entries > 50
    assert entries + evictions == 1_000

    events = count_events(id, 0, evictions)
    # One a second at most.
    assert events <= div(System.monotonic_time(:millisecond) - began, 1_000) + 2
  end

  defp count_events(_id, count, count), do: 0

  defp count_events(id, counted, all) do
    assert_receive {:event, @evicted, %{count: count}, %{store: :limits_test, id: ^id}}, 30_000
    assert count > 0 and counted + count <= all
    1 + count_events(id, counted + count, all)
  end

  test "max_bytes holds, for values small and large" do
    store = SharedStore.new(max_bytes: 3_000_000)
    for n <- 1..200, do: assert(SharedStore.put(store, n, {n, medium()}) == :ok)
    assert stats(store).live_bytes in 1_000_000..3_000_000
    for n <- 1..20, do: assert(SharedStore.put(store, {:large, n}, {n, large()}) == :ok)
    assert stats(store).live_bytes <= 3_000_000
    assert stats(store).evictions > 0
    assert SharedStore.put_many(store, for(n <- 1..5_000, do: {n, List.duplicate(n, 100)})) == :ok
    assert stats(store).live_bytes <= 3_000_000
  end

  test "what wants the room of thousands gets it in steps, by every way to put" do
    limit = 2_000_000

    for put <- [
          &SharedStore.put(&1, :key, &2),
          &SharedStore.put_new(&1, :key, &2),
          &SharedStore.put_many(&1, [{1, 1}, {:key, &2}, {2, 2}]),
          &SharedStore.put_many(&1, [{:key, &2}]),
          &SharedStore.get_or_store(&1, :key, fn -> &2 end),
          &SharedStore.update(&1, :key, fn 0 -> &2 end, initial: &2)
        ],
        value <- [Enum.to_list(1..10_000), large(), :crypto.strong_rand_bytes(1_900_000)],
        opts <- [[], [compress_above: 1_000]] do
      store = SharedStore.new([max_bytes: limit] ++ opts)
      SharedStore.put_many(store, for(n <- 1..20_000, do: {n, n}))

      put =
        if opts == [], do: fn store, value -> over?(store) && put.(store, value) end, else: put

      assert put.(store, value) in [:ok, {:ok, value}]
      assert SharedStore.fetch(store, :key) == {:ok, value}
      assert stats(store).live_bytes + 64 * SharedStore.size(store) <= limit
      SharedStore.close(store)
    end
  end

  # Leaves more to evict than one call does.
  defp over?(store),
    do: match?({:over, _}, Native.shared_store_put(store, :other, medium(), :default, :always))

  test "a value that does not fit at all is refused by every put, and what was there stays" do
    store = SharedStore.new(max_bytes: 10_000)
    SharedStore.put(store, :key, :old)
    SharedStore.put(store, :other, 1)

    for value <- [Enum.to_list(1..1_000), medium(), large()] do
      assert error_type(SharedStore.put(store, :key, value)) == :too_large
      assert error_type(SharedStore.put_new(store, :new, value)) == :too_large
      assert error_type(SharedStore.update(store, :key, fn _ -> value end)) == :too_large
      assert error_type(SharedStore.get_and_update(store, :key, &{&1, value})) == :too_large
      assert error_type(SharedStore.compare_and_put(store, :key, :old, value)) == :too_large

      assert {:error, error} = SharedStore.put_many(store, a: 1, b: value, c: 3)
      assert error.error_type == :too_large
      assert error.context == %{keys: [:b]}
      assert SharedStore.fetch_many(store, [:a, :b, :c]) == {:ok, a: 1, c: 3}
    end

    assert SharedStore.fetch(store, :key) == {:ok, :old}
    assert SharedStore.fetch(store, :other) == {:ok, 1}
    refute SharedStore.member?(store, :new)
  end

  test "what is too large is the result of get_or_store all the same" do
    store = SharedStore.new(max_bytes: 10_000)
    assert SharedStore.get_or_store(store, :key, &large/0) == {:ok, large()}
    refute SharedStore.member?(store, :key)
  end

  test "a value whose copy would never end is refused" do
    store = SharedStore.new()
    endless = Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)
    assert error_type(SharedStore.put(store, :key, endless)) == :too_large
    assert error_type(SharedStore.put_many(store, [{:key, endless}])) == :too_large
    assert error_type(SharedStore.get_or_store(store, :key, fn -> endless end)) == :too_large
    assert SharedStore.size(store) == 0
  end

  test "a key whose hash would never end is refused by every function" do
    store = SharedStore.new()
    endless = Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)

    for call <- [
          &SharedStore.fetch/2,
          &SharedStore.fetch_in(&1, &2, []),
          &SharedStore.put(&1, &2, 1),
          &SharedStore.put(&1, &2, large()),
          &SharedStore.put_new(&1, &2, 1),
          &SharedStore.take/2,
          &SharedStore.delete/2,
          &SharedStore.ttl/2,
          &SharedStore.touch(&1, &2, 1),
          &SharedStore.increment/2,
          &SharedStore.update(&1, &2, fn value -> value end),
          &SharedStore.get_and_update(&1, &2, fn _ -> :pop end),
          &SharedStore.compare_and_put(&1, &2, 1, 2),
          &SharedStore.put_many(&1, [{&2, 1}]),
          &SharedStore.fetch_many(&1, [&2]),
          &SharedStore.delete_many(&1, [&2])
        ],
        do: assert(error_type(call.(store, endless)) == :too_large)

    refute SharedStore.member?(store, endless)
    assert SharedStore.size(store) == 0
  end

  test "what is read again and again outlives a scan of ten times the entries" do
    store = SharedStore.new(max_entries: 1_000)
    hot = for n <- 1..100, do: {:hot, n}
    for key <- hot, do: SharedStore.put(store, key, key)
    for _ <- 1..3, key <- hot, do: SharedStore.fetch(store, key)

    for n <- 1..10_000 do
      SharedStore.put(store, n, n)
      if rem(n, 100) == 0, do: for(key <- hot, do: SharedStore.fetch(store, key))
    end

    assert Enum.count(hot, &SharedStore.member?(store, &1)) >= 95
  end

  describe "compress_above" do
    test "what is above takes less room and comes back whole, in part and changed" do
      {plain, packed} = {SharedStore.new(), SharedStore.new(compress_above: 1_000)}

      for value <- [medium(), large(), :binary.copy("compressible ", 1_000)] do
        for store <- [plain, packed], do: assert(SharedStore.put(store, :key, value) == :ok)
        assert stats(packed).live_bytes * 2 < max(stats(plain).live_bytes, byte_size_of(value))
        assert SharedStore.fetch(packed, :key) === {:ok, value}
        assert SharedStore.fetch_many(packed, [:key]) === {:ok, key: value}
        assert Enum.to_list(SharedStore.stream(packed)) === [key: value]
        assert SharedStore.update(packed, :key, &{&1, :more}) === {:ok, {value, :more}}
        assert SharedStore.fetch_in(packed, :key, [1]) == {:ok, :more}
        assert SharedStore.fetch_in(packed, :key, [0]) === {:ok, value}
        assert error_type(SharedStore.fetch_in(packed, :key, [2])) == :path_not_found
        assert Enum.to_list(SharedStore.stream(packed, {:path, [1]})) == [key: :more]
        assert SharedStore.compare_and_put(packed, :key, {value, :more}, value) == :ok
        assert SharedStore.take(packed, :key) === {:ok, value}
        assert SharedStore.get_or_store(packed, :key, fn -> value end) === {:ok, value}
        assert SharedStore.put_many(packed, %{a: value, key: 1}) == :ok
        assert SharedStore.fetch(packed, :a) === {:ok, value}
        assert SharedStore.increment(packed, :key) == {:ok, 2}
        SharedStore.clear(packed)
      end
    end

    # The payload of a large binary is not in the store's own bytes.
    defp byte_size_of(value) when is_binary(value), do: byte_size(value)
    defp byte_size_of(_value), do: 0

    test "what does not compress comes back too" do
      store = SharedStore.new(compress_above: 1_000)
      noise = for _ <- 1..20, do: :crypto.strong_rand_bytes(1_000)
      assert SharedStore.put(store, :noise, noise) == :ok
      assert SharedStore.fetch(store, :noise) === {:ok, noise}
    end

    test "a handle in a compressed value is a handle while somebody holds it" do
      store = SharedStore.new(compress_above: 100)
      handle = SharedTerm.new(:shared)
      SharedStore.put(store, :key, {handle, Enum.to_list(1..100)})
      assert {:ok, {again, _}} = SharedStore.fetch(store, :key)
      assert SharedTerm.fetch(again) == {:ok, :shared}
      assert again == handle
    end
  end
end
