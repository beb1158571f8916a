defmodule Foundation.BEAM.Ecosystem.HealingTest do
  # Who comes back, with what, and when it is over.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Events
  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Failures, Roster}

  @moduletag :capture_log

  # The failure is written when the member is back.
  defp healed(ecosystem, pid) do
    assert eventually?(fn ->
             {:ok, failures} = Processes.failures(ecosystem)
             Enum.any?(failures, &(&1.pid == pid and &1.healed_us))
           end)

    {:ok, failures} = Processes.failures(ecosystem)
    Enum.find(failures, &(&1.pid == pid))
  end

  describe ":standard" do
    test "the dead stay dead, and the rest goes on" do
      ecosystem = Member.ecosystem!(supervision: :one_for_all)
      drop_ups(4)
      [first, second, third] = ecosystem.workers
      kill(ecosystem, second)
      kill(ecosystem, ecosystem.coordinator)
      refute_received {:up, _, _, _}
      assert members(ecosystem) == {nil, [first, third]}

      assert {:ok, [%{role: :coordinator, healed_us: nil}, %{pid: ^second}]} =
               Processes.failures(ecosystem)
    end

    test "any reason but :shutdown is a failure" do
      ecosystem = Member.ecosystem!(count: 3)

      for {pid, reason} <- Enum.zip(ecosystem.workers, [:normal, {:own, 1}, :shutdown]) do
        Member.stop(pid, reason)
        ended(pid)
      end

      assert eventually?(fn ->
               length(elem(Processes.ecosystem_info(ecosystem), 1).workers) == 3
             end)

      assert eventually?(fn -> failures(ecosystem) == 2 end)
      {:ok, failures} = Processes.failures(ecosystem)
      assert Enum.map(failures, & &1.reason) |> Enum.sort() == [:normal, {:own, 1}]
    end

    test "the death of a supervisor of workers brings none of them back" do
      ecosystem = Member.ecosystem!(count: 2)
      drop_ups(3)
      supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
      kill(ecosystem, supervisor)
      assert eventually?(fn -> Roster.get(ecosystem.table, {:supervisor, 1}) != supervisor end)
      assert members(ecosystem) == {ecosystem.coordinator, []}
      assert {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self())
      assert up({:worker, 3}) == added
      refute_received {:up, _, _, _}
    end
  end

  describe "one_for_one" do
    test "a worker is back with its role and options, and the others are the same" do
      ecosystem = Member.healing!([], colour: :red)
      drop_ups(4)
      [first, second, third] = ecosystem.workers
      Process.exit(second, :kill)
      assert_receive {:up, {:worker, 2}, new, opts}

      assert {opts[:colour], opts[:worker_id], opts[:coordinator]} ==
               {:red, 2, ecosystem.coordinator}

      assert healed(ecosystem, second).reason == :killed
      assert members(ecosystem) == {ecosystem.coordinator, [first, new, third]}
      {:ok, info} = Processes.ecosystem_info(ecosystem)
      assert Enum.map(info.workers, & &1.restarts) == [0, 1, 0]
      refute_received {:up, _, _, _}
      refute_received {:changed, _, _, _}
    end

    test "whatever the reason of its end" do
      ecosystem = Member.healing!()
      drop_ups(4)

      for reason <- [:normal, :shutdown, {:shutdown, 1}, :own, :kill] do
        worker = worker(ecosystem, 1)
        if reason == :kill, do: Process.exit(worker, :kill), else: Member.stop(worker, reason)
        ended(worker)
        up({:worker, 1})
      end

      # :shutdown is what a supervisor asks for.
      assert eventually?(fn -> failures(ecosystem) == 4 end)
    end

    test "workers are told of the new coordinator, once or more, and know it when they restart" do
      ecosystem = Member.healing!()
      drop_ups(4)
      Process.exit(ecosystem.coordinator, :kill)
      new = up(:coordinator)
      for n <- 1..3, do: assert_receive({:changed, {:worker, ^n}, _pid, ^new})
      refute_received {:up, _, _, _}
      assert {:ok, ^new} = EcosystemSupervisor.get_coordinator(ecosystem)
      Process.exit(hd(ecosystem.workers), :kill)
      assert_receive {:up, {:worker, 1}, _pid, opts}
      assert opts[:coordinator] == new
    end

    test "both at once, many times: each worker ends up with the coordinator that is alive" do
      ecosystem = Member.healing!(count: 4)

      for _ <- 1..50 do
        {coordinator, [first, second | _]} = members(ecosystem)
        for pid <- [first, coordinator, second], pid, do: Process.exit(pid, :kill)

        assert eventually?(fn ->
                 {now, workers} = members(ecosystem)

                 now not in [nil, coordinator] and length(workers) == 4 and first not in workers and
                   second not in workers
               end)
      end

      {coordinator, workers} = members(ecosystem)

      # Each keeps what it was told last.
      assert eventually?(fn ->
               Enum.all?(workers, &(GenServer.call(&1, :opts)[:coordinator] == coordinator))
             end)
    end
  end

  test "rest_for_one: a worker alone, the coordinator with all workers" do
    ecosystem = Member.healing!(supervision: :rest_for_one)
    drop_ups(4)
    [first, second, third] = ecosystem.workers
    Process.exit(second, :kill)
    second = up({:worker, 2})
    refute_received {:up, _, _, _}
    assert worker(ecosystem, 2) == second
    Process.exit(ecosystem.coordinator, :kill)
    coordinator = up(:coordinator)

    for n <- 1..3 do
      assert_receive {:up, {:worker, ^n}, pid, opts}
      assert pid not in [first, second, third]
      assert opts[:coordinator] == coordinator
    end

    # Only who failed, not who was restarted for it.
    for n <- 1..3, do: worker(ecosystem, n)
    assert eventually?(fn -> all_heard?(ecosystem) and failures(ecosystem) > 1 end)
    assert failures(ecosystem) == 2
  end

  test "one_for_all: all, whoever it was" do
    ecosystem = Member.healing!(supervision: :one_for_all)
    drop_ups(4)

    for {role, failed} <- [{:coordinator, 1}, {{:worker, 2}, 2}] do
      for n <- 0..3, do: worker(ecosystem, n)
      {coordinator, workers} = members(ecosystem)
      pid = if role == :coordinator, do: coordinator, else: Enum.at(workers, 1)
      Process.exit(pid, :kill)
      for role <- [:coordinator, {:worker, 1}, {:worker, 2}, {:worker, 3}], do: up(role)
      {:ok, current} = await(ecosystem, 3)
      assert current.coordinator not in [nil, coordinator]
      assert MapSet.disjoint?(MapSet.new(current.workers), MapSet.new(workers))
      # The steward has heard of all of them, and monitors those that are there now.
      assert eventually?(fn ->
               all_heard?(ecosystem) and failures(ecosystem) > failed - 1
             end)

      assert failures(ecosystem) == failed
    end
  end

  defp all_heard?(ecosystem) do
    steward = :sys.get_state(Roster.get(ecosystem.table, :steward))
    steward.pending == %{} and steward.early == %{}
  end

  defp await(ecosystem, count) do
    assert eventually?(fn -> length(elem(members(ecosystem), 1)) == count end)
    Processes.current(ecosystem)
  end

  test "a killed supervisor of workers: all of its workers are back, added ones with their own options" do
    for count <- [3, 600] do
      ecosystem = Member.healing!([count: count], test: nil)
      {:ok, _} = EcosystemSupervisor.add_worker(ecosystem, Member, colour: :blue)
      part = rem(count, Roster.plan(ecosystem.table).parts) + 1
      {_, before} = members(ecosystem)
      Process.exit(Roster.get(ecosystem.table, {:supervisor, part}), :kill)

      assert eventually?(fn ->
               {_, workers} = members(ecosystem)
               length(workers) == count + 1 and List.last(workers) != List.last(before)
             end)

      {_, workers} = members(ecosystem)

      assert for(pid <- workers, do: GenServer.call(pid, :opts)[:worker_id]) ==
               Enum.to_list(1..(count + 1))

      assert GenServer.call(List.last(workers), :opts)[:colour] == :blue
      :ok = Processes.shutdown_ecosystem(ecosystem)
    end
  end

  test "a killed steward: members stay, and the next one knows of what comes" do
    ecosystem = Member.healing!()
    drop_ups(4)
    steward = Roster.get(ecosystem.table, :steward)
    Process.exit(steward, :kill)
    assert eventually?(fn -> Roster.get(ecosystem.table, :steward) != steward end)
    assert members(ecosystem) == {ecosystem.coordinator, ecosystem.workers}
    settle(ecosystem)
    [first | _] = ecosystem.workers
    Process.exit(first, :kill)
    up({:worker, 1})
    assert healed(ecosystem, first).reason == :killed
    assert failures(ecosystem) == 1
  end

  describe "failures" do
    test "say who, why, when, and how long it took" do
      listen([:foundation, :ecosystem, :worker_died])
      listen([:foundation, :ecosystem, :worker_restarted])
      listen([:foundation, :ecosystem, :coordinator_restarted])
      ecosystem = Member.healing!(id: :told)
      [first | _] = ecosystem.workers
      before = System.system_time(:millisecond)
      begun = System.monotonic_time(:microsecond)
      Member.stop(first, :mine)
      failure = healed(ecosystem, first)
      took = System.monotonic_time(:microsecond) - begun
      assert %{role: {:worker, 1}, pid: ^first, reason: :mine} = failure
      assert failure.at in before..System.system_time(:millisecond)
      assert failure.healed_us in 0..took
      assert_receive {:event, [_, _, :worker_died], %{count: 1}, metadata}
      assert metadata == %{id: :told, role: {:worker, 1}, pid: first, reason: :mine}
      assert_receive {:event, [_, _, :worker_restarted], %{duration: duration}, metadata}
      assert duration > 0
      assert %{id: :told, role: {:worker, 1}, previous: ^first, reason: :mine} = metadata
      Process.exit(ecosystem.coordinator, :kill)
      assert_receive {:event, [_, _, :coordinator_restarted], _, %{role: :coordinator}}
    end

    test "are kept up to a hundred, and counted on" do
      ecosystem = Member.healing!(count: 1, max_restarts: 10_000)
      drop_ups(2)

      for n <- 1..130 do
        worker = worker(ecosystem, 1)
        Member.stop(worker, n)
        ended(worker)
      end

      assert eventually?(fn -> failures(ecosystem) == 130 end)
      {:ok, failures} = Processes.failures(ecosystem)
      assert Enum.map(failures, & &1.reason) == Enum.to_list(130..31//-1)
    end

    test "that are displaced before their members are back displace none that are newer" do
      ecosystem = Member.ecosystem!()
      failure = Failures.new(1, self(), :crash)
      for index <- [1, Failures.kept() + 1], do: Failures.put(ecosystem.table, index, failure)
      refute Failures.heal(ecosystem.table, 1, failure, 5)
      assert {[%{healed_us: nil}], 101} = Failures.list(ecosystem.table)
      assert Failures.heal(ecosystem.table, Failures.kept() + 1, failure, 5)
      assert {[%{healed_us: 5}], 101} = Failures.list(ecosystem.table)
    end

    test "of any size are kept small" do
      ecosystem = Member.ecosystem!()
      Member.stop(hd(ecosystem.workers), {:state, Enum.to_list(1..100_000)})
      assert eventually?(fn -> failures(ecosystem) == 1 end)
      assert {:ok, [%{reason: {:too_large, text}}]} = Processes.failures(ecosystem)
      assert byte_size(text) < 200
    end
  end

  describe "restart intensity" do
    test "of the coordinator ends the ecosystem, loudly" do
      listen([:foundation, :ecosystem, :stopped])

      log =
        capture_log(fn ->
          opts = [fault_tolerance: :self_healing, max_restarts: 2, max_seconds: 600]
          ecosystem = Member.ecosystem!([id: :loud] ++ opts)

          for n <- 1..3, do: stop_coordinator(ecosystem, {:crash, n})
          assert ended(ecosystem.supervisor) in [:shutdown, :noproc]
          assert_receive {:event, _, %{failures: 3}, metadata}
          assert metadata.reason == {:max_restarts, :coordinator, {:crash, 3}}
        end)

      assert log =~
               "ecosystem :loud ends: :coordinator has failed more often than max_restarts allows"

      assert log =~ ":coordinator failed: {:crash, 3}"
      assert Processes.whereis(:loud) == nil
    end

    defp stop_coordinator(ecosystem, reason) do
      assert eventually?(fn ->
               match?({:ok, _}, EcosystemSupervisor.get_coordinator(ecosystem))
             end)

      coordinator = worker(ecosystem, 0)
      Member.stop(coordinator, reason)
      ended(coordinator)
    end

    test "of workers ends the ecosystem, with every strategy" do
      for supervision <- [:one_for_one, :rest_for_one, :one_for_all] do
        listen([:foundation, :ecosystem, :stopped])
        opts = [supervision: supervision, fault_tolerance: :self_healing]
        opts = [max_restarts: 2, max_seconds: 600] ++ opts
        counter = :atomics.new(1, [])

        ecosystem =
          Member.ecosystem!(opts, at: [{:worker, 2}], init: {:error, :broken}, armed: counter)

        :atomics.put(counter, 1, 1_000)
        Process.exit(Enum.at(ecosystem.workers, 1), :kill)
        assert ended(ecosystem.supervisor) in [:shutdown, :noproc]
        assert_receive {:event, _, _, %{reason: {:max_restarts, {:worker, 2}, :killed}}}
        assert_nothing_left()
      end
    end

    test "is by default as many restarts of workers as there are" do
      ecosystem = Member.ecosystem!(fault_tolerance: :self_healing, count: 20, max_seconds: 600)
      for pid <- ecosystem.workers, do: Process.exit(pid, :kill)

      assert eventually?(fn ->
               failures(ecosystem) == 20 and length(elem(members(ecosystem), 1)) == 20
             end)

      monitor = Process.monitor(ecosystem.supervisor)
      Process.exit(hd(elem(members(ecosystem), 1)), :kill)
      assert_receive {:DOWN, ^monitor, :process, _pid, reason}, 30_000
      assert reason in [:shutdown, :noproc]
    end
  end

  test "a restart that hangs in its init is ended, and tried again" do
    counter = :atomics.new(1, [])
    member = [at: [{:worker, 2}, :coordinator], init: :hang, armed: counter, trap: true]

    for supervision <- [:one_for_one, :one_for_all] do
      ecosystem = Member.healing!([supervision: supervision], member)
      drop_ups(4)

      for role <- [{:worker, 2}, :coordinator] do
        {coordinator, [_, worker, _]} = members(ecosystem)
        :atomics.put(counter, 1, 1)
        Process.exit(if(role == :coordinator, do: coordinator, else: worker), :kill)
        assert_receive {:hangs, _role, hanging}
        limit(ecosystem, start_timeout: 50)
        assert ended(hanging) in [:killed, :noproc]
        limit(ecosystem, start_timeout: 60_000)
        up(role)
        {:ok, _} = await(ecosystem, 3)
      end
    end
  end

  test "a coordinator of a thousand workers is back within 5 ms, and all are told within 20" do
    ecosystem = Member.healing!(count: 1_000)
    drop_ups(1_001)

    times =
      for _ <- 1..10 do
        {coordinator, _} = members(ecosystem)
        begun = System.monotonic_time(:microsecond)
        Process.exit(coordinator, :kill)
        up(:coordinator)
        back = System.monotonic_time(:microsecond) - begun
        for _ <- 1..1_000, do: assert_receive({:changed, _, _, _})
        {back, System.monotonic_time(:microsecond) - begun}
      end

    {back, told} = Enum.unzip(times)
    assert Enum.min(back) < 5_000
    assert Enum.min(told) < 20_000
  end
end
