defmodule Foundation.BEAM.SharedStore.FlightsCrashTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.{Eventually, FlightProcesses}

  alias Foundation.BEAM.SharedStore
  alias Foundation.BEAM.SharedStore.{Coordinator, Flights}
  alias Foundation.Error

  setup do
    on_exit(fn -> assert eventually?(&nothing_left?/0) end)
  end

  describe "a computation that fails" do
    test "goes on in its process, and is an error for those who wait" do
      store = SharedStore.new()

      for {fun, kind, reason} <- [
            {fn -> raise "mine" end, :error, %RuntimeError{message: "mine"}},
            {fn -> :erlang.error(:badarg) end, :error, %ArgumentError{}},
            {fn -> throw(:mine) end, :throw, :mine},
            {fn -> exit(:mine) end, :exit, :mine}
          ] do
        {pid, _} = leader(store, :key)
        waiting = askers(3, fn -> SharedStore.get_or_store(store, :key, fn -> :second end) end)
        assert eventually?(fn -> waiting(flight(store, :key)) == 3 end)
        send(pid, {:compute, fun})
        assert_receive {:result, ^pid, {:caught, ^kind, _}, []}

        for {:error, %Error{} = error} <- results(waiting) do
          assert error.error_type == :computation_failed
          assert %{kind: ^kind, reason: given} = error.context
          if kind == :error, do: assert(given.__struct__ == reason.__struct__)
          if kind != :error, do: assert(given == reason)
        end

        refute SharedStore.member?(store, :key)
      end

      assert SharedStore.get_or_store(store, :key, fn -> :free end) == {:ok, :free}
    end

    test "with on_crash: :retry exactly one of those who wait computes next" do
      store = SharedStore.new()

      for kill <- [&Process.exit(&1, :kill), &send(&1, {:compute, fn -> raise "mine" end})] do
        SharedStore.delete(store, :key)
        {pid, monitor} = leader(store, :key)
        runs = :counters.new(1, [])

        waiting =
          askers(10, fn ->
            SharedStore.get_or_store(
              store,
              :key,
              fn ->
                :counters.add(runs, 1, 1)
                :second
              end,
              on_crash: :retry
            )
          end)

        assert eventually?(fn -> waiting(flight(store, :key)) == 10 end)
        kill.(pid)
        assert_receive {:DOWN, ^monitor, :process, ^pid, _}
        assert Enum.uniq(results(waiting)) == [{:ok, :second}]
        assert :counters.get(runs, 1) == 1
      end
    end

    test "where everybody's function raises, everybody raises in turn" do
      store = SharedStore.new()
      {pid, _} = leader(store, :key)

      waiting =
        askers(10, fn ->
          try do
            SharedStore.get_or_store(store, :key, fn -> raise "mine" end, on_crash: :retry)
          rescue
            error -> error
          end
        end)

      assert eventually?(fn -> waiting(flight(store, :key)) == 10 end)
      Process.exit(pid, :kill)
      assert Enum.uniq(results(waiting)) == [%RuntimeError{message: "mine"}]
    end
  end

  describe "no waiter left behind: the computing process is killed" do
    # Each stage is a place where it stops; `kept?` says whether the value is in the store by then.
    for {stage, kept?} <- [look: false, computing: false, keep: false, kept: true] do
      @tag stage: stage, kept?: kept?
      test "at the stage of #{stage}", %{stage: stage, kept?: kept?} do
        store = SharedStore.new()
        test = self()

        for on_crash <- [:error, :retry] do
          SharedStore.delete(store, :key)
          {pid, monitor} = spawn_monitor(fn -> staged(store, stage, test) end)
          assert_receive {:at, ^stage}

          waiting =
            askers(5, fn ->
              SharedStore.get_or_store(store, :other, fn -> :unrelated end)
              access = access(store)
              opts = %{timeout: :infinity, on_crash: on_crash}
              Flights.run(flight(store, :key), access, fn -> :second end, opts)
            end)

          assert eventually?(fn -> waiting(flight(store, :key)) == 5 end)
          Process.exit(pid, :kill)
          assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
          results = Enum.uniq(results(waiting))

          case {kept?, on_crash} do
            {true, _} ->
              assert results == [{:ok, :first}]

            {false, :retry} ->
              assert results == [{:ok, :second}]

            {false, :error} ->
              assert [{:error, %Error{error_type: :computation_failed} = error}] = results
              assert error.context == %{kind: :exit, reason: :killed}
          end
        end
      end
    end

    defp access(store) do
      %{
        look: fn ->
          with {:error, %Error{error_type: :not_found}} <- SharedStore.fetch(store, :key),
               do: :missing
        end,
        keep: fn value ->
          SharedStore.put(store, :key, value)
          {:ok, value}
        end
      }
    end

    defp staged(store, stage, test) do
      access = access(store)

      stop = fn at ->
        if at == stage do
          send(test, {:at, stage})
          receive do: (:never -> :ok)
        end
      end

      look = fn ->
        stop.(:look)
        access.look.()
      end

      keep = fn value ->
        stop.(:keep)
        kept = access.keep.(value)
        stop.(:kept)
        kept
      end

      fun = fn ->
        stop.(:computing)
        :first
      end

      opts = %{timeout: 60_000, on_crash: :error}
      Flights.run(flight(store, :key), %{look: look, keep: keep}, fun, opts)
    end

    test "while it hands over: the served have their value, the others find it in the store" do
      store = SharedStore.new()
      flight = flight(store, :key)
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          {:lead, {coordinator, _, token}} = Coordinator.join(flight, 60_000)
          send(test, :leading)
          receive do: (:go -> :ok)
          SharedStore.put(store, :key, :stored)
          [served | _] = GenServer.call(coordinator, {:land, flight, token})
          send(served, {served, {:landed, {:ok, :handed}}})
          send(test, :served_one)
          receive do: (:never -> :ok)
        end)

      assert_receive :leading
      waiting = askers(5, fn -> SharedStore.get_or_store(store, :key, fn -> :second end) end)
      assert eventually?(fn -> waiting(flight) == 5 end)
      send(pid, :go)
      assert_receive :served_one
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
      assert Enum.frequencies(results(waiting)) == %{{:ok, :handed} => 1, {:ok, :stored} => 4}
    end

    test "a process that waits is killed: the others are served" do
      store = SharedStore.new()
      {pid, monitor} = leader(store, :key)
      waiting = askers(5, fn -> SharedStore.get_or_store(store, :key, fn -> :second end) end)
      assert eventually?(fn -> waiting(flight(store, :key)) == 5 end)
      {victims, rest} = Enum.split(waiting, 2)
      for {victim, _} <- victims, do: Process.exit(victim, :kill)
      assert eventually?(fn -> waiting(flight(store, :key)) == 3 end)
      send(pid, {:compute, fn -> :first end})
      assert Enum.uniq(results([{pid, monitor} | rest])) == [{:ok, :first}]
    end

    test "the coordinator is killed: everybody goes on, with an error or by a computation" do
      store = SharedStore.new()

      for on_crash <- [:error, :retry] do
        SharedStore.delete(store, :key)
        {pid, monitor} = leader(store, :key)
        coordinator = Coordinator.whereis(flight(store, :key))

        waiting =
          askers(5, fn ->
            SharedStore.get_or_store(store, :key, fn -> :second end, on_crash: on_crash)
          end)

        assert eventually?(fn -> waiting(flight(store, :key)) == 5 end)
        Process.exit(coordinator, :kill)
        results = Enum.uniq(results(waiting))

        if on_crash == :retry do
          assert results == [{:ok, :second}]
        else
          assert [{:error, %Error{error_type: :computation_failed} = error}] = results
          assert error.context == %{kind: :exit, reason: :killed}
        end

        send(pid, {:compute, fn -> :first end})
        expected = if on_crash == :retry, do: :second, else: :first
        assert results([{pid, monitor}]) == [{:ok, expected}]
        assert SharedStore.fetch(store, :key) == {:ok, expected}
      end
    end
  end

  test "many keys, many processes, many of them killed: one computation a key, nothing left over" do
    store = SharedStore.new()
    running = :ets.new(:running, [:public])

    # Alone with its key: whoever computed it before has finished or is dead.
    fun = fn key ->
      unless :ets.insert_new(running, {key, self()}) do
        for {_, other} <- :ets.lookup(running, key), do: false = Process.alive?(other)
        :ets.insert(running, {key, self()})
      end

      :erlang.yield()
      :ets.delete_object(running, {key, self()})
      {:of, key}
    end

    askers =
      for n <- 1..400 do
        key = rem(n, 7)

        asker(fn ->
          for _ <- 1..20 do
            SharedStore.delete(store, key)
            opts = [timeout: 60_000, on_crash: :retry]
            {:ok, {:of, ^key}} = SharedStore.get_or_store(store, key, fn -> fun.(key) end, opts)
          end

          :done
        end)
      end

    {victims, rest} = Enum.split(askers, 100)
    for {pid, _} <- victims, do: Process.exit(pid, :kill)
    assert Enum.uniq(results(rest)) == [:done]
    for {pid, monitor} <- victims, do: assert_receive({:DOWN, ^monitor, :process, ^pid, _})
  end
end
