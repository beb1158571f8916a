defmodule Foundation.BEAM.SharedStoreTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Stores

  doctest Foundation.BEAM.SharedStore

  alias Foundation.BEAM.{Memory, SharedStore}
  alias Foundation.Error

  describe "one entry" do
    test "any value comes back as it went in, whole, by a path and when it is taken" do
      store = SharedStore.new()
      binary = :binary.copy("x", 1000)
      fun = fn x -> {x, binary} end

      for value <- [
            :a,
            [],
            %{},
            nil,
            {1, 2.0, 2 ** 100},
            [1 | 2],
            binary,
            binary_part(binary, 3, 10),
            <<5::3>>,
            self(),
            make_ref(),
            hd(Port.list()),
            fun,
            &Enum.map/2,
            %URI{path: "/"},
            :binary.copy("y", 1_000_000),
            medium(),
            large()
          ] do
        assert SharedStore.put(store, :key, value) == :ok
        assert SharedStore.fetch(store, :key) === {:ok, value}
        assert SharedStore.fetch!(store, :key) === value
        assert SharedStore.get(store, :key) === value
        assert SharedStore.fetch_in(store, :key, []) === {:ok, value}
        assert SharedStore.take(store, :key) === {:ok, value}
        assert error_type(SharedStore.take(store, :key)) == :not_found
      end
    end

    test "a put replaces what is there, whatever the sizes" do
      store = SharedStore.new()

      for value <- [large(), 1, medium(), large(1), :small, large(2)] do
        assert SharedStore.put(store, :key, value) == :ok
        assert SharedStore.fetch(store, :key) === {:ok, value}
        assert SharedStore.size(store) == 1
      end
    end

    test "a missing key" do
      store = SharedStore.new()
      assert error_type(SharedStore.fetch(store, :key)) == :not_found
      assert error_type(SharedStore.fetch_in(store, :key, [1])) == :not_found
      assert error_type(SharedStore.take(store, :key)) == :not_found
      assert error_type(SharedStore.ttl(store, :key)) == :not_found
      assert error_type(SharedStore.touch(store, :key, 1)) == :not_found
      assert SharedStore.get(store, :key) == nil
      assert SharedStore.get(store, :key, :default) == :default
      refute SharedStore.member?(store, :key)
      assert SharedStore.delete(store, :key) == :ok
      assert_raise Error, "the store has no such key", fn -> SharedStore.fetch!(store, :key) end
    end

    test "delete and clear leave nothing" do
      store = SharedStore.new()
      for n <- 1..1000, do: SharedStore.put(store, n, n)
      SharedStore.put(store, :large, large())
      assert SharedStore.size(store) == 1001
      assert SharedStore.delete(store, 500) == :ok
      refute SharedStore.member?(store, 500)
      assert SharedStore.member?(store, 501)
      assert SharedStore.size(store) == 1000
      assert SharedStore.clear(store) == :ok
      assert SharedStore.size(store) == 0
      assert error_type(SharedStore.fetch(store, 501)) == :not_found
      assert SharedStore.put(store, 501, :again) == :ok
      assert SharedStore.fetch(store, 501) == {:ok, :again}
    end

    test "put_new puts where nothing is, and only there" do
      store = SharedStore.new()
      assert SharedStore.put_new(store, :key, medium()) == :ok
      assert error_type(SharedStore.put_new(store, :key, 2)) == :already_exists
      assert error_type(SharedStore.put_new(store, :key, large())) == :already_exists
      assert SharedStore.fetch(store, :key) == {:ok, medium()}
    end

    test "of many that put_new or take at once exactly one succeeds" do
      store = SharedStore.new()

      for round <- 1..50 do
        putters =
          for n <- 1..4, do: Task.async(fn -> {SharedStore.put_new(store, round, n), n} end)

        assert [{:ok, winner}] =
                 putters |> Task.await_many() |> Enum.filter(&match?({:ok, _}, &1))

        takers = for _ <- 1..4, do: Task.async(fn -> SharedStore.take(store, round) end)

        assert [{:ok, ^winner}] =
                 takers |> Task.await_many() |> Enum.filter(&match?({:ok, _}, &1))
      end
    end

    test "every process of the node sees what one has put" do
      store = SharedStore.new()
      Task.await(Task.async(fn -> SharedStore.put(store, :from, self()) end))
      assert {:ok, pid} = SharedStore.fetch(store, :from)
      refute Process.alive?(pid)
      assert Task.await(Task.async(fn -> SharedStore.fetch(store, :from) end)) == {:ok, pid}
    end
  end

  describe "fetch_in" do
    test "a step is read by the container it meets, in values of any size" do
      store = SharedStore.new()

      for rest <- [[], medium(), large()] do
        SharedStore.put(store, :key, %{"list" => [first: {:a, [10, 20]}], 1 => :one, rest: rest})
        assert SharedStore.fetch_in(store, :key, ["list", :first, 1, 1]) == {:ok, 20}
        assert SharedStore.fetch_in(store, :key, [1]) == {:ok, :one}
        assert SharedStore.fetch_in(store, :key, [:rest]) === {:ok, rest}

        assert {:error, error} = SharedStore.fetch_in(store, :key, ["list", 0, 7])
        assert error.error_type == :path_not_found
        assert error.context == %{at: 2, step: 7}
        assert {:error, error} = SharedStore.fetch_in(store, :key, [1.0])
        assert error.context == %{at: 0, step: 1.0}
      end
    end

    test "a step is no larger than a key may be: what looks for it would not end" do
      store = SharedStore.new()
      endless = Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)
      name = Enum.to_list(1..2_000)

      for rows <- [1..40, 1..40_000], opts <- [[], [compress_above: 100]] do
        store = SharedStore.new(opts)
        SharedStore.put(store, :key, Map.new(rows, &{&1, &1}))
        assert {:error, error} = SharedStore.fetch_in(store, :key, [endless])
        assert {error.error_type, error.context.at} == {:path_not_found, 0}
        assert error_type(SharedStore.fetch_in(store, :key, [name])) == :path_not_found
        assert Enum.to_list(SharedStore.stream(store, {:path, [endless]})) == []
      end

      # One as large as that is found where it is a key.
      SharedStore.put(store, :key, Map.new(1..40, &{&1, &1}) |> Map.put(name, :named))
      assert SharedStore.fetch_in(store, :key, [name]) == {:ok, :named}
      SharedStore.put(store, :key, %{name => :named})
      assert SharedStore.fetch_in(store, :key, [name]) == {:ok, :named}
    end

    test "what is no path raises" do
      store = SharedStore.new()
      SharedStore.put(store, :key, %{a: %{b: 1}})

      for path <- [:a, nil, {:a}, "a", [:a | :b], %{}] do
        assert_raise ArgumentError, ~r/expected a path \(a proper list of steps\)/, fn ->
          SharedStore.fetch_in(store, :key, path)
        end
      end
    end
  end

  describe "figures" do
    test "stats counts hits, misses, entries and bytes" do
      store = SharedStore.new()
      SharedStore.put(store, :a, 1)
      SharedStore.put(store, :b, large())
      for _ <- 1..3, do: SharedStore.fetch(store, :a)
      SharedStore.fetch(store, :none)
      SharedStore.member?(store, :a)
      SharedStore.member?(store, :none)

      assert {:ok, stats} = SharedStore.stats(store)
      assert %{entries: 2, hits: 3, misses: 1, evictions: 0, expirations: 0} = stats
      assert stats.live_bytes > 256 * 1024
      assert Enum.all?(Map.values(stats), &(is_integer(&1) and &1 >= 0))
    end

    test "native_memory has the store while it lives, and nothing of it afterwards" do
      for keep <- [[], large()] do
        assert no_store_left?()

        Task.await(
          Task.async(fn ->
            store = SharedStore.new()
            for n <- 1..1000, do: SharedStore.put(store, n, [n, keep])
            assert Memory.native_memory().shared_stores > 1000 * 16
            :ok
          end),
          60_000
        )

        assert no_store_left?()
      end
    end
  end

  test "a large read looks at no message that waits" do
    store = SharedStore.new()
    SharedStore.put(store, :key, medium())
    read = fn -> elem(:timer.tc(fn -> SharedStore.fetch(store, :key) end), 0) end
    quick = Enum.min(for _ <- 1..20, do: read.())
    for n <- 1..300_000, do: send(self(), n)
    :erlang.garbage_collect()
    # Looking at each takes over 1,000 us; a busy machine takes longer at times.
    assert Enum.any?(1..500, fn _ -> read.() < quick + 500 end)
  end

  test "readers and writers on every scheduler, some of them killed, read only whole values" do
    for round <- 1..10 do
      store =
        SharedStore.new(max_entries: 20, ttl: if(rem(round, 2) == 0, do: 1, else: :infinity))

      workers =
        for id <- 1..8, do: spawn_monitor(fn -> for n <- 1..300, do: work(store, id, n) end)

      {victims, rest} = Enum.split(workers, 2)
      for {pid, _} <- victims, do: Process.exit(pid, :kill)
      for {pid, mon} <- rest, do: assert_receive({:DOWN, ^mon, :process, ^pid, :normal}, 60_000)
      for {pid, mon} <- victims, do: assert_receive({:DOWN, ^mon, :process, ^pid, _}, 60_000)
      assert SharedStore.size(store) <= 20
    end
  end

  defp work(store, id, n) do
    key = rem(n * 7 + id, 40)

    case rem(n, 5) do
      0 -> :ok = SharedStore.put(store, key, {key, List.duplicate(id, rem(n, 50)), id})
      1 -> :ok = SharedStore.delete(store, key)
      2 -> {:ok, _} = SharedStore.update(store, key, & &1, initial: {key, [], id})
      _ -> :ok
    end

    case SharedStore.fetch(store, key) do
      {:ok, {^key, ids, id}} -> true = Enum.all?(ids, &(&1 == id))
      {:error, %Error{error_type: :not_found}} -> :ok
    end
  end
end
