defmodule Foundation.BEAM.Ecosystem.ShutdownTest do
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.{Raw, Telemetry}

  @moduletag :capture_log

  # Below Foundation's supervisor, with and without a supervisor of all members, and in a tree of
  # one's own.
  @layouts [
    flat: [],
    healing: [fault_tolerance: :self_healing],
    nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    one_for_all: [fault_tolerance: :self_healing, supervision: :one_for_all]
  ]

  defp processes(ecosystem) do
    names = [:steward, {:supervisor, 0}, {:supervisor, 1}]
    supervisors = for name <- names, do: Roster.get(ecosystem.table, name)
    [ecosystem.supervisor, ecosystem.coordinator] ++ ecosystem.workers ++ supervisors
  end

  for {name, opts} <- @layouts do
    test "ends every process and the table, and frees the id: #{name}" do
      ecosystem = Member.ecosystem!([id: :over] ++ unquote(opts))
      processes = processes(ecosystem)
      assert Processes.shutdown_ecosystem(ecosystem) == :ok
      refute Enum.any?(processes, &Process.alive?/1)
      assert :ets.info(ecosystem.table) == :undefined
      assert Processes.whereis(:over) == nil
      assert_nothing_left()
    end

    test "asks workers first, then the coordinator, with :shutdown: #{name}" do
      ecosystem = Member.ecosystem!(unquote(opts), trap: true)
      drop_ups(4)
      :ok = Processes.shutdown_ecosystem(ecosystem)
      {:messages, messages} = Process.info(self(), :messages)

      assert [{_, {:worker, _}, _, _}, {_, {:worker, _}, _, _}, {_, {:worker, _}, _, _}, last] =
               messages

      assert {:terminated, :coordinator, _, :shutdown} = last
      for {:terminated, _, _, reason} <- messages, do: assert(reason == :shutdown)
    end

    test "kills who does not end in time: #{name}" do
      ecosystem = Member.ecosystem!([shutdown_timeout: 20] ++ unquote(opts), stuck: true)
      monitors = for pid <- [ecosystem.coordinator | ecosystem.workers], do: Process.monitor(pid)
      {time, :ok} = :timer.tc(fn -> Processes.shutdown_ecosystem(ecosystem) end)
      # Workers, then the coordinator; and not the default's ten seconds.
      assert time in 40_000..8_000_000
      for monitor <- monitors, do: assert_receive({:DOWN, ^monitor, _, _, :killed})
    end

    test "kills all at the end of its own time: #{name}" do
      ecosystem = Member.ecosystem!([shutdown_timeout: 0xFFFFFFFF] ++ unquote(opts), stuck: true)
      # It returns at all.
      assert Processes.shutdown_ecosystem(ecosystem, timeout: 30) == :ok
      assert Member.alive() == []
    end
  end

  test "workers of several supervisors are asked at once" do
    ecosystem =
      Processes.spawn_ecosystem!(
        coordinator: {Raw, test: self()},
        workers: {Raw, test: self(), count: 300},
        shutdown_timeout: 0xFFFFFFFF
      )

    ending = Task.async(fn -> Processes.shutdown_ecosystem(ecosystem, timeout: :infinity) end)
    for n <- 1..300, do: assert_receive({:asked, {:worker, ^n}, _pid, :shutdown})
    # None of them has ended, and nobody has asked the coordinator.
    assert Enum.all?(ecosystem.workers, &Process.alive?/1)
    refute_received {:asked, :coordinator, _pid, _reason}
    for pid <- ecosystem.workers, do: send(pid, :go)
    assert_receive {:asked, :coordinator, coordinator, :shutdown}
    send(coordinator, :go)
    assert Task.await(ending) == :ok
  end

  test "again, by any name, and from many at once, is :ok" do
    ecosystem = Member.ecosystem!([id: :again, fault_tolerance: :self_healing], trap: true)

    1..20
    |> Enum.map(fn _ -> Task.async(fn -> Processes.shutdown_ecosystem(ecosystem) end) end)
    |> Task.await_many()
    |> Enum.each(&assert &1 == :ok)

    for ref <- [ecosystem, ecosystem.supervisor, :again] do
      assert Processes.shutdown_ecosystem(ref) == :ok
      assert EcosystemSupervisor.shutdown(ref) == :ok
    end
  end

  test "leaves no message" do
    ecosystem = Member.ecosystem!([], test: nil)
    :ok = Processes.shutdown_ecosystem(ecosystem)
    refute_received _anything
  end

  test "is no failure of anybody, and nobody is restarted" do
    Foundation.Events.listen([:foundation, :ecosystem, :worker_died])
    Foundation.Events.listen([:foundation, :ecosystem, :worker_restarted])
    Foundation.Events.listen([:foundation, :ecosystem, :stopped])
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    drop_ups(4)
    :ok = Processes.shutdown_ecosystem(ecosystem)
    assert_receive {:event, [_, _, :stopped], %{failures: 0}, %{reason: :shutdown}}
    refute_received _anything
  end

  test "while it restarts all the time" do
    counter = :atomics.new(1, [])
    opts = [fault_tolerance: :self_healing, max_restarts: 1_000_000]

    ecosystem =
      Member.ecosystem!(opts, at: [{:worker, 1}], init: {:error, :no}, armed: counter, test: nil)

    :atomics.put(counter, 1, 1_000_000_000)
    Process.exit(hd(ecosystem.workers), :kill)
    assert :ok = Processes.shutdown_ecosystem(ecosystem)
    assert_nothing_left()
  end

  test "a killed top supervisor takes all with it" do
    for {_name, opts} <- @layouts do
      ecosystem = Member.ecosystem!(opts, trap: true)
      Process.exit(ecosystem.supervisor, :kill)
      ended(ecosystem.supervisor)
      assert_nothing_left()
      assert type(Processes.ecosystem_info(ecosystem)) == :not_found
    end
  end

  test "a handler of events that hangs holds it up no longer than it may take" do
    test = self()
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    id = ecosystem.id

    hang = fn _event, _measurements, metadata, _config ->
      if metadata.id == id do
        send(test, {:hangs, self()})
        receive do: (:never -> :ok)
      end
    end

    :ok = Telemetry.attach(__MODULE__, [:foundation, :ecosystem, :worker_died], hang, nil)
    on_exit(fn -> Telemetry.detach(__MODULE__) end)
    Process.exit(hd(ecosystem.workers), :kill)
    assert_receive {:hangs, steward}
    # Supervisors give the steward 5 s.
    {took, :ok} = :timer.tc(fn -> Processes.shutdown_ecosystem(ecosystem, timeout: 100) end)
    assert took < 4_500_000
    refute Process.alive?(steward)
  end
end
