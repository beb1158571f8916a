defmodule Foundation.BEAM.SharedStore.ExpiryTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.{Eventually, Events, Stores}

  alias Foundation.BEAM.{Memory, SharedStore}
  alias Foundation.NativeBytes

  @expired [:foundation, :shared_store, :expired]

  test "an entry past its ttl is met by no function" do
    store = SharedStore.new()
    SharedStore.put(store, :gone, %{a: 1}, ttl: 0)
    SharedStore.put(store, :stays, %{a: 1})

    for call <- [
          &SharedStore.fetch/2,
          &SharedStore.take/2,
          &SharedStore.ttl/2,
          &SharedStore.touch(&1, &2, 1000),
          &SharedStore.fetch_in(&1, &2, [:a]),
          &SharedStore.update(&1, &2, fn value -> value end),
          &SharedStore.compare_and_put(&1, &2, %{a: 1}, 2)
        ],
        do: assert(error_type(call.(store, :gone)) == :not_found)

    refute SharedStore.member?(store, :gone)
    assert SharedStore.fetch_many(store, [:gone, :stays]) == {:ok, [stays: %{a: 1}]}
    assert Enum.to_list(SharedStore.stream(store, :keys)) == [:stays]
    assert eventually?(fn -> SharedStore.size(store) == 1 end)
    SharedStore.put(store, :gone, 1, ttl: 0)
    assert SharedStore.put_new(store, :gone, 2) == :ok
    assert SharedStore.fetch(store, :gone) == {:ok, 2}
  end

  test "an entry ends at its ttl, not before it" do
    store = SharedStore.new()
    before = System.monotonic_time(:millisecond)
    SharedStore.put(store, :key, 1, ttl: 50)
    assert eventually?(fn -> not SharedStore.member?(store, :key) end)
    assert System.monotonic_time(:millisecond) - before >= 50
  end

  test "the ttl is that of the put, else that of the store" do
    store = SharedStore.new(ttl: 60_000)
    left = fn key -> with {:ok, left} <- SharedStore.ttl(store, key), do: left end

    SharedStore.put(store, :default, 1)
    assert left.(:default) in 50_000..60_000
    SharedStore.put(store, :own, 1, ttl: 1_000_000)
    assert left.(:own) in 900_000..1_000_000
    SharedStore.put(store, :ever, 1, ttl: :infinity)
    assert left.(:ever) == :infinity
    SharedStore.put(store, :longest, 1, ttl: 0xFFFFFFFF)
    assert left.(:longest) > 0xFFFF0000

    # A later put counts anew.
    SharedStore.put(store, :own, 2)
    assert left.(:own) in 50_000..60_000
    SharedStore.put_new(store, :new, 1, ttl: 30_000)
    assert left.(:new) in 0..30_000
    SharedStore.put_many(store, [many: 1], ttl: 1_000_000)
    assert left.(:many) in 900_000..1_000_000
    SharedStore.get_or_store(store, :computed, fn -> 1 end, ttl: 1_000_000)
    assert left.(:computed) in 900_000..1_000_000
  end

  test "touch counts anew from now; what changes a value leaves its ttl, unless told otherwise" do
    store = SharedStore.new(ttl: 60_000)
    left = fn key -> with {:ok, left} <- SharedStore.ttl(store, key), do: left end
    SharedStore.put(store, :key, 1)
    assert SharedStore.touch(store, :key, 1_000_000) == :ok
    assert left.(:key) in 900_000..1_000_000

    for change <- [
          fn -> SharedStore.increment(store, :key) end,
          fn -> SharedStore.increment(store, :key, 2 ** 70) end,
          fn -> SharedStore.update(store, :key, &(&1 - 2 ** 70)) end,
          fn -> SharedStore.get_and_update(store, :key, &{&1, 5}) end,
          fn -> SharedStore.compare_and_put(store, :key, 5, 6) end
        ] do
      refute match?({:error, _}, change.())
      assert left.(:key) in 900_000..1_000_000
    end

    SharedStore.update(store, :key, & &1, ttl: 30_000)
    assert left.(:key) in 0..30_000
    SharedStore.touch(store, :key, :infinity)
    SharedStore.increment(store, :key)
    assert left.(:key) == :infinity

    # A new entry takes the given ttl, or that of the store.
    SharedStore.increment(store, :counter, 1, ttl: 1_000_000)
    assert left.(:counter) in 900_000..1_000_000
    SharedStore.increment(store, :counter, 1, ttl: 1)
    assert left.(:counter) in 900_000..1_000_000
    SharedStore.update(store, :fresh, & &1, initial: 1)
    assert left.(:fresh) in 50_000..60_000
    SharedStore.touch(store, :fresh, 0)
    refute SharedStore.member?(store, :fresh)
  end

  test "what nobody asks for again is freed, and told of in batches" do
    listen(@expired)
    assert no_store_left?()
    began = System.monotonic_time(:millisecond)
    store = SharedStore.new(ttl: 200)
    {:ok, %{id: id}} = SharedStore.info(store)
    empty = NativeBytes.settle().shared_stores

    for n <- 1..20_000, do: SharedStore.put(store, n, {n, [n]})
    # For long, until they are counted.
    for n <- 1..10, do: SharedStore.put(store, {:large, n}, large(), ttl: 600_000)
    assert Memory.native_memory().shared_stores > 10 * 256 * 1024
    for n <- 1..10, do: :ok = SharedStore.touch(store, {:large, n}, 200)

    # Neither size/1 nor a read is called: the janitor wakes itself.
    assert eventually?(fn -> Memory.native_memory().shared_stores < empty + 500_000 end, 30_000)
    events = count_events(id, 0, 0, 20_010)
    # One a second at most.
    assert events in 1..(div(System.monotonic_time(:millisecond) - began, 1_000) + 2)
    assert {:ok, %{expirations: 20_010, entries: 0}} = SharedStore.stats(store)
    assert SharedStore.put(store, 1, :again) == :ok
  end

  # The number of events that told of so many entries.
  defp count_events(_id, entries, events, entries), do: events

  defp count_events(id, entries, events, all) do
    assert_receive {:event, @expired, %{count: count}, %{store: nil, id: ^id}}, 30_000
    assert count > 0 and entries + count <= all
    count_events(id, entries + count, events + 1, all)
  end
end
