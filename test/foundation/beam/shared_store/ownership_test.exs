defmodule Foundation.BEAM.SharedStore.OwnershipTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.{Eventually, Stores}

  alias Foundation.BEAM.SharedStore
  alias Foundation.{Error, NativeBytes}

  @name :ownership_test

  # A process that tells of every message that it gets.
  defp keeper(name \\ nil) do
    test = self()

    spawn(fn ->
      if name, do: Process.register(self(), name)
      send(test, {:keeper, self()})
      keep(test)
    end)

    assert_receive {:keeper, pid}
    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp keep(test) do
    receive do
      message -> send(test, {:kept, self(), message})
    end

    keep(test)
  end

  defp kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _}
  end

  defp gone?(store), do: match?({:error, %Error{error_type: :noproc}}, SharedStore.info(store))

  describe "a named store" do
    test "lives under a supervisor, is found by its name, ends with it" do
      pid = start_supervised!({SharedStore, name: @name})
      assert Process.whereis(@name) == pid
      assert SharedStore.put(@name, :key, large()) == :ok
      assert SharedStore.fetch(@name, :key) == {:ok, large()}
      assert {:ok, %{name: @name, owner: ^pid, heir: nil}} = SharedStore.info(@name)
      assert SharedStore.alive?(@name)

      stop_supervised!(@name)
      assert gone?(@name)
      refute SharedStore.alive?(@name)
      pid = start_supervised!({SharedStore, name: @name})
      assert SharedStore.size(@name) == 0
      assert {:ok, %{owner: ^pid}} = SharedStore.info(@name)
    end

    test "is closed when its supervisor goes on: nothing is waited for" do
      for _ <- 1..100 do
        start_supervised!({SharedStore, name: @name})
        stop_supervised!(@name)
        assert gone?(@name)
      end
    end

    test "whose process is killed is empty when its supervisor has started another" do
      for _ <- 1..20 do
        pid = start_supervised!({SharedStore, name: @name})
        SharedStore.put(@name, :key, 1)
        kill(pid)

        assert eventually?(fn ->
                 match?({:ok, %{owner: o}} when o != pid, SharedStore.info(@name))
               end)

        assert error_type(SharedStore.fetch(@name, :key)) == :not_found
        stop_supervised!(@name)
      end
    end

    test "two of one name: the second is refused" do
      pid = start_supervised!({SharedStore, name: @name})
      assert SharedStore.start_link(name: @name) == {:error, {:already_started, pid}}

      # The name of the process is free, that of the store is not.
      keeper = keeper()
      assert SharedStore.give_away(@name, keeper) == :ok
      stop_supervised!(@name)
      assert SharedStore.alive?(@name)
      Process.flag(:trap_exit, true)
      assert {:error, %Error{} = error} = SharedStore.start_link(name: @name)
      assert error.error_type == :already_exists
      assert error.context == %{name: @name, owner: keeper}
      kill(keeper)
      assert eventually?(fn -> gone?(@name) end)
    end

    test "that is closed ends its process; the supervisor starts an empty one" do
      pid = start_supervised!({SharedStore, name: @name})
      monitor = Process.monitor(pid)
      SharedStore.put(@name, :key, 1)
      handle = :sys.get_state(pid)
      assert SharedStore.close(@name) == :ok
      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}
      assert error_type(SharedStore.close(handle)) == :noproc
      assert eventually?(fn -> SharedStore.alive?(@name) end)
      assert SharedStore.size(@name) == 0
    end

    test "that is closed at once, while its process starts, ends that process too" do
      child = {SharedStore, name: @name, heir: keeper()}

      {:ok, supervisor} =
        Supervisor.start_link([child], strategy: :one_for_one, max_restarts: 999)

      for _ <- 1..300 do
        SharedStore.close(@name)
        assert eventually?(fn -> SharedStore.alive?(@name) end)
      end

      # What was closed comes to nobody.
      refute_received {:kept, _heir, {:foundation_store_transfer, _, _}}
      Supervisor.stop(supervisor)
      assert SharedStore.close(@name) == :ok
    end

    test "the child's id is the name, so that a supervisor takes several" do
      children =
        for name <- [:ownership_a, :ownership_b], do: {SharedStore, name: name, ttl: 1_000}

      {:ok, supervisor} = Supervisor.start_link(children, strategy: :one_for_one)
      assert SharedStore.alive?(:ownership_a) and SharedStore.alive?(:ownership_b)
      Supervisor.stop(supervisor)
      refute SharedStore.alive?(:ownership_a) or SharedStore.alive?(:ownership_b)
    end
  end

  describe "an unnamed store" do
    test "ends with its owner" do
      owner = keeper()
      store = SharedStore.new(owner: owner)
      assert {:ok, %{owner: ^owner, name: nil}} = SharedStore.info(store)
      SharedStore.put(store, :key, large())
      kill(owner)
      assert eventually?(fn -> gone?(store) end)
    end

    test "with an owner that is not alive is not made" do
      owner = keeper()
      kill(owner)
      assert error_type(SharedStore.new(owner: owner)) == :noproc
    end

    test "without an owner ends with its last handle, whoever made it" do
      assert no_store_left?()
      test = self()
      # The handle lives in the keeper's message queue and stack only.
      holder = spawn(fn -> receive do: ({:hold, store} -> hold(test, store)) end)
      spawn(fn -> send(holder, {:hold, filled()}) end)
      assert_receive :held
      send(holder, :read)
      assert_receive {:read, {:ok, _}}
      assert NativeBytes.settle().shared_stores > 256 * 1024
      kill(holder)
      assert no_store_left?()
    end

    defp filled do
      store = SharedStore.new()
      SharedStore.put(store, :key, large())
      store
    end

    defp hold(test, store) do
      send(test, :held)
      receive do: (:read -> send(test, {:read, SharedStore.fetch(store, :key)}))
      receive do: (:never -> store)
    end
  end

  describe "give_away" do
    test "tells the new owner, with which the store ends from then on" do
      {one, other} = {keeper(), keeper()}
      store = SharedStore.new(owner: one)
      SharedStore.put(store, :key, 1)
      assert SharedStore.give_away(store, other) == :ok
      me = self()
      assert_receive {:kept, ^other, {:foundation_store_transfer, ^store, ^me}}
      kill(one)
      assert SharedStore.fetch(store, :key) == {:ok, 1}
      assert {:ok, %{owner: ^other}} = SharedStore.info(store)
      kill(other)
      assert eventually?(fn -> gone?(store) end)
    end

    test "a named one is named in the message, and outlives its first process" do
      start_supervised!({SharedStore, name: @name})
      {owner, me} = {keeper(), self()}
      assert SharedStore.give_away(@name, owner) == :ok
      assert_receive {:kept, ^owner, {:foundation_store_transfer, @name, ^me}}
      SharedStore.put(@name, :key, 1)
      stop_supervised!(@name)
      assert SharedStore.fetch(@name, :key) == {:ok, 1}
      assert SharedStore.close(@name) == :ok
      assert gone?(@name)
      assert Process.alive?(owner)
    end

    test "to a process that is dead, or is none, changes nothing" do
      store = SharedStore.new(owner: keeper())
      dead = keeper()
      kill(dead)
      assert error_type(SharedStore.give_away(store, dead)) == :noproc
      assert SharedStore.alive?(store)

      for other <- [nil, :name, make_ref(), 1] do
        assert_raise ArgumentError, ~r/expected a pid of this node/, fn ->
          SharedStore.give_away(store, other)
        end
      end
    end
  end

  describe "an heir" do
    test "gets the store when its process is killed, by its pid or its name" do
      for given <- [:pid, :name] do
        heir = keeper(:ownership_heir)
        heir_option = if given == :pid, do: heir, else: :ownership_heir
        child = {SharedStore, name: @name, heir: heir_option}
        owner = start_supervised!(Supervisor.child_spec(child, restart: :temporary))
        assert {:ok, %{owner: ^owner, heir: ^heir}} = SharedStore.info(@name)
        SharedStore.put(@name, :key, large())
        kill(owner)
        assert_receive {:kept, ^heir, {:foundation_store_transfer, @name, ^owner}}
        assert {:ok, %{owner: ^heir}} = SharedStore.info(@name)
        assert SharedStore.fetch(@name, :key) == {:ok, large()}
        kill(heir)
        assert eventually?(fn -> gone?(@name) end)
      end
    end

    test "keeps a named store over the restart of its process, which takes it back" do
      heir = keeper()
      pid = start_supervised!({SharedStore, name: @name, heir: heir, max_entries: 1_000})
      SharedStore.put(@name, :key, 1)
      kill(pid)
      assert_receive {:kept, ^heir, {:foundation_store_transfer, @name, ^pid}}

      assert eventually?(fn ->
               match?({:ok, %{owner: o}} when o not in [heir, pid], SharedStore.info(@name))
             end)

      assert Process.whereis(@name) == elem(SharedStore.info(@name), 1).owner
      assert SharedStore.fetch(@name, :key) == {:ok, 1}

      # A stop hands it over as well; other limits do not take it back.
      stop_supervised!(@name)
      assert eventually?(fn -> match?({:ok, %{owner: ^heir}}, SharedStore.info(@name)) end)
      assert SharedStore.fetch(@name, :key) == {:ok, 1}
      Process.flag(:trap_exit, true)
      assert {:error, error} = SharedStore.start_link(name: @name, heir: heir)
      assert error_type({:error, error}) == :already_exists
      start_supervised!({SharedStore, name: @name, heir: heir, max_entries: 1_000})
      assert SharedStore.fetch(@name, :key) == {:ok, 1}
      kill(heir)
      assert SharedStore.fetch(@name, :key) == {:ok, 1}
      stop_supervised!(@name)
      assert eventually?(fn -> gone?(@name) end)
    end

    test "that is dead by then gets nothing: the store ends with its process" do
      heir = keeper()
      child = {SharedStore, name: @name, heir: heir}
      owner = start_supervised!(Supervisor.child_spec(child, restart: :temporary))
      kill(heir)
      kill(owner)
      assert eventually?(fn -> gone?(@name) end)
    end

    test "that nobody is registered as keeps the store from being made" do
      Process.flag(:trap_exit, true)
      assert {:error, error} = SharedStore.start_link(name: @name, heir: :ownership_nobody)
      assert error_type({:error, error}) == :noproc
    end
  end

  test "a store that ends under its readers and writers gives them :noproc, never a crash" do
    for _ <- 1..20 do
      owner = keeper()
      store = SharedStore.new(owner: owner)
      workers = for n <- 1..6, do: spawn_monitor(fn -> use_until_gone(store, n) end)
      assert eventually?(fn -> SharedStore.size(store) > 0 end)
      kill(owner)

      for {pid, monitor} <- workers,
          do: assert_receive({:DOWN, ^monitor, :process, ^pid, :normal})
    end
  end

  defp use_until_gone(store, n) do
    results = [
      SharedStore.put(store, n, medium()),
      SharedStore.fetch(store, n),
      SharedStore.update(store, :count, &(&1 + 1), initial: 0),
      SharedStore.get_or_store(store, {n, make_ref()}, fn -> n end)
    ]

    errors = for {:error, %Error{error_type: type}} <- results, do: type

    if errors == [],
      do: use_until_gone(store, n),
      else: true = Enum.all?(errors, &(&1 == :noproc))
  end
end
