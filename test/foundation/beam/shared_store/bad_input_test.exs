defmodule Foundation.BEAM.SharedStore.BadInputTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Stores

  alias Foundation.BEAM.SharedStore
  alias Foundation.Error

  # Every function that returns an error.
  @calls [
    info: [],
    close: [],
    fetch: [:key],
    fetch_in: [:key, [1]],
    put: [:key, 1],
    put_new: [:key, 1],
    take: [:key],
    delete: [:key],
    clear: [],
    size: [],
    touch: [:key, 1],
    ttl: [:key],
    increment: [:key],
    update: [:key, &Function.identity/1],
    get_and_update: [:key, &List.to_tuple/1],
    compare_and_put: [:key, 1, 2],
    get_or_store: [:key, &__MODULE__.never/0],
    put_many: [[a: 1]],
    fetch_many: [[:a]],
    delete_many: [[:a]],
    stats: []
  ]

  def never, do: raise("called")

  defp each_call(store, check) do
    for {name, args} <- @calls,
        do: check.(name, fn -> apply(SharedStore, name, [store | args]) end)

    check.(:give_away, fn -> SharedStore.give_away(store, self()) end)
  end

  test "the list above has every function of a store" do
    others = [
      child_spec: 1,
      start_link: 1,
      new: 0,
      new: 1,
      give_away: 2,
      # No errors to return: a boolean, the default, an exception, a stream.
      alive?: 1,
      member?: 2,
      get: 2,
      get: 3,
      fetch!: 2,
      stream: 1,
      stream: 2
    ]

    named = for {name, _arity} <- SharedStore.__info__(:functions) -- others, uniq: true, do: name
    assert Enum.sort(named) == @calls |> Keyword.keys() |> Enum.sort()
  end

  test "a store that has ended, or never was" do
    closed = SharedStore.new()
    SharedStore.put(closed, :key, 1)
    SharedStore.close(closed)

    for store <- [closed, :bad_input_no_store, nil] do
      each_call(store, fn name, call -> assert {name, error_type(call.())} == {name, :noproc} end)
      refute SharedStore.alive?(store)
      refute SharedStore.member?(store, :key)
      assert SharedStore.get(store, :key, :default) == :default
      assert_raise Error, fn -> SharedStore.fetch!(store, :key) end
    end
  end

  test "a reference with no store behind it" do
    store = make_ref()

    each_call(store, fn name, call ->
      assert {name, error_type(call.())} == {name, :unknown_handle}
    end)

    refute SharedStore.alive?(store)
    refute SharedStore.member?(store, :key)
  end

  test "a handle of another node" do
    each_call(foreign(), fn name, call ->
      assert {:error, error} = call.()
      assert {name, error.error_type, error.context} == {name, :foreign_node, %{node: :other}}
    end)

    refute SharedStore.alive?(foreign())
    refute SharedStore.member?(foreign(), :key)
  end

  test "the handle of something else is no store" do
    handle = Foundation.BEAM.SharedTerm.new(1)
    assert error_type(SharedStore.fetch(handle, 1)) == :unknown_handle
    assert error_type(Foundation.BEAM.SharedTerm.fetch(SharedStore.new())) == :unknown_handle
  end

  test "what is neither a name nor a handle raises" do
    for store <- [1, self(), "name", ~c"name", [], {:via, Registry, :x}, %{}, 2 ** 100] do
      each_call(store, fn _name, call ->
        assert_raise ArgumentError, ~r/expected a store \(its name, an atom, or its handle/, call
      end)

      for call <- [&SharedStore.alive?/1, &SharedStore.member?(&1, 1), &SharedStore.get(&1, 1)] do
        assert_raise ArgumentError, ~r/expected a store/, fn -> call.(store) end
      end
    end
  end

  test "options of stores are named with what was expected" do
    for {opts, text} <- [
          {[ttl: -1], "invalid option :ttl in SharedStore.new/1: expected milliseconds"},
          {[ttl: 1.5], "invalid option :ttl"},
          {[ttl: 2 ** 32], "invalid option :ttl"},
          {[max_entries: 0],
           "invalid option :max_entries in SharedStore.new/1: expected a positive"},
          {[max_bytes: -1], "invalid option :max_bytes"},
          {[max_bytes: :none], "expected a positive integer or `:infinity`, got: :none"},
          {[compress_above: 0], "invalid option :compress_above"},
          {[owner: :me], "invalid option :owner in SharedStore.new/1: expected a pid"},
          {[owner: remote()],
           "invalid option :owner in SharedStore.new/1: expected a pid of this"},
          {[heir: self()], "unknown option :heir in SharedStore.new/1"},
          {[name: :a], "unknown option :name in SharedStore.new/1; known: :owner"},
          {[:ttl], "expected a keyword list of options"},
          {%{}, "expected a keyword list of options"}
        ] do
      assert_raise ArgumentError, ~r/#{Regex.escape(text)}/, fn -> SharedStore.new(opts) end
    end

    for {opts, text} <- [
          {[], "option :name is required in SharedStore.start_link/1"},
          {[name: nil], "invalid option :name"},
          {[name: true],
           "invalid option :name in SharedStore.start_link/1: expected an atom other"},
          {[name: "name"], "invalid option :name"},
          {[name: :undefined], "invalid option :name"},
          {[name: :a, heir: "me"], "invalid option :heir"},
          {[name: :a, heir: remote()], "invalid option :heir"},
          {[name: :a, owner: self()], "unknown option :owner"}
        ] do
      assert_raise ArgumentError, ~r/#{Regex.escape(text)}/, fn ->
        SharedStore.start_link(opts)
      end
    end

    assert_raise ArgumentError, ~r/is required in SharedStore.child_spec/, fn ->
      SharedStore.child_spec([])
    end
  end

  test "limits past what fits into a word are no limits" do
    store = SharedStore.new(max_entries: 2 ** 70, max_bytes: 2 ** 70, compress_above: 2 ** 70)
    assert SharedStore.put(store, :key, large()) == :ok
    assert SharedStore.fetch(store, :key) == {:ok, large()}
  end

  test "options and arguments of calls are named too, and nothing is done" do
    store = SharedStore.new()
    id = &Function.identity/1

    for {call, text} <- [
          {fn -> SharedStore.put(store, 1, 1, ttl: -1) end,
           "invalid option :ttl in SharedStore.put/4"},
          {fn -> SharedStore.put(store, 1, 1, tll: 1) end,
           "unknown option :tll in SharedStore.put/4"},
          {fn -> SharedStore.put(store, 1, 1, 5) end, "expected a keyword list of options"},
          {fn -> SharedStore.put_new(store, 1, 1, ttl: :a) end, "in SharedStore.put_new/4"},
          {fn -> SharedStore.put_many(store, [a: 1], ttl: -1) end, "in SharedStore.put_many/3"},
          {fn -> SharedStore.touch(store, 1, -1) end,
           "invalid option :ttl in SharedStore.touch/3"},
          {fn -> SharedStore.touch(store, 1, nil) end, ":ttl in SharedStore.touch/3"},
          {fn -> SharedStore.increment(store, 1, :a) end,
           "expected a number to add in SharedStore.incr"},
          {fn -> SharedStore.increment(store, 1, 1, initial: :a) end, "invalid option :initial"},
          {fn -> SharedStore.increment(store, 1, 1, ttl: -1) end, "in SharedStore.increment/4"},
          {fn -> SharedStore.update(store, 1, :a) end,
           "expected a function of arity 1 in SharedStore.upd"},
          {fn -> SharedStore.update(store, 1, id, ttl: -1) end, "in SharedStore.update/4"},
          {fn -> SharedStore.get_and_update(store, 1, fn -> 1 end) end, "a function of arity 1"},
          {fn -> SharedStore.get_or_store(store, 1, id) end,
           "a function of arity 0 in SharedStore.get_or"},
          {fn -> SharedStore.get_or_store(store, 1, fn -> 1 end, timeout: -1) end,
           "option :timeout"},
          {fn -> SharedStore.get_or_store(store, 1, fn -> 1 end, on_crash: 1) end,
           "invalid option :on_crash in SharedStore.get_or_store/4: expected one of `:error`, `:retry`"}
        ] do
      assert_raise ArgumentError, ~r/#{Regex.escape(text)}/, call
    end

    assert SharedStore.size(store) == 0
  end

  # A process of a node that is not there.
  defp remote,
    do: :erlang.binary_to_term(<<131, 88, 119, 5, "other", 1::32, 0::32, 7::32>>)
end
