defmodule Foundation.BEAM.Ecosystem.RevivalTest do
  # Members that no supervisor brings back: the steward sees to it that they do come back.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.Error

  @moduletag :capture_log

  defmodule Odd do
    def start_link(opts), do: opts[:fun].()
  end

  # A process that `start_link/1` has not linked.
  defmodule Unlinked do
    def start_link(opts) do
      test = opts[:test]
      pid = spawn(fn -> receive(do: (:end -> :ok)) end)
      send(test, {:up, opts[:role], pid, opts})
      {:ok, pid}
    end
  end

  defp ecosystem!(opts, member \\ []) do
    defaults = [fault_tolerance: :self_healing, max_restarts: 1_000]
    Member.ecosystem!(Keyword.merge(defaults, opts), member)
  end

  test "workers whose refill is killed come back, without those that are back already" do
    armed = :atomics.new(1, [])
    member = [at: [{:worker, 2}], init: :hang, armed: armed]
    ecosystem = ecosystem!([start_timeout: 60_000], member)
    drop_ups(4)
    :atomics.put(armed, 1, 1)
    Process.exit(Roster.get(ecosystem.table, {:supervisor, 1}), :kill)
    first = up({:worker, 1})
    assert_receive {:hangs, {:worker, 2}, hanging}
    supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
    {:monitored_by, waiting} = Process.info(supervisor, :monitored_by)
    assert [refill] = waiting -- [Roster.get(ecosystem.table, :steward)]
    Process.exit(refill, :kill)
    ended(refill)
    Process.exit(hanging, :kill)
    limit(ecosystem, start_timeout: 300)
    up({:worker, 2})
    up({:worker, 3})
    assert Roster.get(ecosystem.table, {:supervisor, 1}) == supervisor
    assert elem(Roster.member(ecosystem.table, 1), 1) == first
    assert eventually?(fn -> match?({_, [^first, _, _]}, members(ecosystem)) end)
    assert DynamicSupervisor.count_children(supervisor).active == 3
    settle(ecosystem)
    refute_received {:up, _, _, _}
  end

  describe "processes that were not linked" do
    test "come back after a while when they are workers, and the log says why, once" do
      log =
        capture_log(fn ->
          ecosystem = ecosystem!(workers: {Unlinked, count: 3, test: self()})
          drop_ups(4)
          limit(ecosystem, start_timeout: 200)
          supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
          for pid <- tl(ecosystem.workers), do: Process.exit(pid, :kill)
          {second, third} = {up({:worker, 2}), up({:worker, 3})}

          assert eventually?(fn ->
                   elem(members(ecosystem), 1) == [hd(ecosystem.workers), second, third]
                 end)

          assert Roster.get(ecosystem.table, {:supervisor, 1}) == supervisor
          assert DynamicSupervisor.count_children(supervisor).active == 3
          :ok = Processes.shutdown_ecosystem(ecosystem)
        end)

      assert [_before, after_it] =
               String.split(log, "start_link/1 has returned a process that it has not")

      refute after_it =~ "has not heard of its end"
      assert log =~ inspect(Unlinked)
    end

    test "come back when they are the coordinator, with every strategy" do
      for supervision <- [:one_for_one, :rest_for_one, :one_for_all] do
        ecosystem = ecosystem!(coordinator: {Unlinked, test: self()}, supervision: supervision)
        drop_ups(4)
        limit(ecosystem, start_timeout: 200)
        Process.exit(ecosystem.coordinator, :kill)
        new = up(:coordinator)
        assert eventually?(fn -> {:ok, new} == EcosystemSupervisor.get_coordinator(ecosystem) end)
        for n <- 1..3, do: assert_receive({:changed, {:worker, ^n}, _pid, ^new})
        :ok = Processes.shutdown_ecosystem(ecosystem)
      end
    end
  end

  test "a start_link that gives its supervisor's own pid has failed" do
    own = fn -> {:ok, self()} end
    config = Member.config(workers: {Odd, fun: own})

    assert {:error, %Error{error_type: :start_failed, context: context}} =
             Processes.spawn_ecosystem(config)

    assert {{:worker, 1}, {:bad_return, {Odd, :start_link, "{:ok, #PID<" <> _}}} =
             {context.role, context.reason}

    config = Member.config(coordinator: {Odd, fun: fn -> {:ok, self(), :more} end})

    assert {:error, %Error{context: %{role: :coordinator, reason: {:bad_return, _}}}} =
             Processes.spawn_ecosystem(config)

    ecosystem = Member.ecosystem!()

    assert {:error, %Error{context: %{reason: {:bad_return, _}}}} =
             EcosystemSupervisor.add_worker(ecosystem, Odd, fun: own)

    assert {_, [_, _, _]} = members(ecosystem)
  end
end
