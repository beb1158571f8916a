defmodule Foundation.BEAM.SharedStore.KeysTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Stores

  alias Foundation.BEAM.SharedStore
  alias Foundation.Native

  test "keys are told apart by exact equality" do
    store = SharedStore.new()

    keys = [
      1,
      1.0,
      2 ** 70,
      2.0 ** 70,
      "1",
      ~c"1",
      :"1",
      {1},
      {1.0},
      [1],
      [1.0],
      %{1 => 1},
      %{1.0 => 1}
    ]

    for key <- keys, do: assert(SharedStore.put(store, key, {:value_of, key}) == :ok)
    assert SharedStore.size(store) == length(keys)
    for key <- keys, do: assert(SharedStore.fetch(store, key) === {:ok, {:value_of, key}})

    assert SharedStore.delete(store, 1) == :ok
    refute SharedStore.member?(store, 1)
    assert SharedStore.member?(store, 1.0)
  end

  test "any term is a key, for every function" do
    store = SharedStore.new()
    binary = :binary.copy("x", 1000)
    fun = fn -> binary end

    for key <- [
          nil,
          [],
          {},
          %{},
          "",
          <<5::3>>,
          binary,
          binary_part(binary, 3, 100),
          self(),
          make_ref(),
          foreign(),
          hd(Port.list()),
          fun,
          &Enum.map/2,
          [1 | 2],
          2 ** 1000,
          %URI{path: "/"},
          medium(),
          large()
        ] do
      assert SharedStore.put_new(store, key, 1) == :ok
      assert error_type(SharedStore.put_new(store, key, 2)) == :already_exists
      assert SharedStore.increment(store, key) == {:ok, 2}
      assert SharedStore.update(store, key, &{&1}) == {:ok, {2}}
      assert SharedStore.fetch_in(store, key, [0]) == {:ok, 2}
      assert SharedStore.member?(store, key)
      assert SharedStore.touch(store, key, 60_000) == :ok
      assert {:ok, left} = SharedStore.ttl(store, key)
      assert left in 1..60_000
      assert SharedStore.put_many(store, [{key, :many}]) == :ok
      assert SharedStore.fetch_many(store, [key]) === {:ok, [{key, :many}]}
      assert Enum.to_list(SharedStore.stream(store)) === [{key, :many}]
      assert Enum.to_list(SharedStore.stream(store, :keys)) === [key]
      assert SharedStore.get_or_store(store, key, fn -> raise "stored" end) == {:ok, :many}
      assert SharedStore.take(store, key) == {:ok, :many}
      assert SharedStore.get_or_store(store, key, fn -> :computed end) == {:ok, :computed}
      assert SharedStore.delete_many(store, [key]) == :ok
      refute SharedStore.member?(store, key)
    end

    assert SharedStore.size(store) == 0
  end

  test "a key with a fun is hashed on a dirty scheduler: no walk sees what the fun holds" do
    list = Enum.to_list(1..100_000)
    store = SharedStore.new()

    for key <- [fn -> list end, {:key, [fn -> list end]}] do
      assert Native.shared_store_fetch(store, key) == :dirty
      assert SharedStore.put(store, key, 1) == :ok
      assert SharedStore.fetch(store, key) == {:ok, 1}
      assert SharedStore.put_many(store, [{key, 2}]) == :ok
      assert SharedStore.fetch_many(store, [key]) == {:ok, [{key, 2}]}
      assert SharedStore.delete_many(store, [1, key]) == :ok
      refute SharedStore.member?(store, key)
    end
  end

  test "a key that was made anew is the same key" do
    store = SharedStore.new()
    key = {:user, %{id: 1, tags: ["a", "b"]}, 2 ** 80}
    SharedStore.put(store, key, :found)
    again = :erlang.binary_to_term(:erlang.term_to_binary(key))
    assert SharedStore.fetch(store, again) == {:ok, :found}
  end

  test "two stores have nothing in common" do
    {one, other} = {SharedStore.new(), SharedStore.new()}
    SharedStore.put(one, :key, 1)
    refute SharedStore.member?(other, :key)
    SharedStore.clear(other)
    assert SharedStore.fetch(one, :key) == {:ok, 1}
  end

  test "many keys, put, replaced and removed in any order" do
    store = SharedStore.new()
    for n <- 1..20_000, do: SharedStore.put(store, n, n)
    for n <- 1..20_000//2, do: SharedStore.delete(store, n)
    for n <- 1..20_000//3, do: SharedStore.put(store, n, -n)

    for n <- 1..20_000 do
      expected = if rem(n, 3) == 1, do: {:ok, -n}, else: if(rem(n, 2) == 0, do: {:ok, n})
      found = with {:error, _} <- SharedStore.fetch(store, n), do: nil
      assert found == expected
    end
  end
end
