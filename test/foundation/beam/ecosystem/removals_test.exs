defmodule Foundation.BEAM.Ecosystem.RemovalsTest do
  # Workers that are removed, by somebody or by their own end, while something else goes wrong.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Roster, Workers}

  @moduletag :capture_log

  describe "a worker is removed" do
    # A worker in its `init` until it is told to go on, while the counter is above 0.
    defmodule Gate do
      use GenServer
      def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

      @impl true
      def init(opts) do
        if :atomics.sub_get(opts[:armed], 1, 1) >= 0 do
          send(opts[:test], {:waits, opts[:role], self()})
          receive(do: (:go -> :ok))
        end

        send(opts[:test], {:up, opts[:role], self(), opts})
        {:ok, opts}
      end
    end

    # Its supervisor has been restarted, and starts worker 1.
    defp refilling!(opts \\ []) do
      armed = :atomics.new(1, [])
      gates = {Gate, count: 3, armed: armed, test: self()}
      opts = [workers: gates] ++ opts
      ecosystem = Member.healing!(opts, test: nil)
      drop_ups(3)
      :atomics.put(armed, 1, 1)
      ecosystem
    end

    defp waiting do
      assert_receive {:waits, {:worker, 1}, pid}
      pid
    end

    test "when its supervisor fills up again, and the others come back" do
      for supervision <- [:one_for_all, :rest_for_one, :one_for_one] do
        ecosystem = refilling!(supervision: supervision)
        [_first, second, _third] = ecosystem.workers
        steward = Roster.get(ecosystem.table, :steward)
        :erlang.suspend_process(steward)

        Process.exit(
          if(supervision == :one_for_one,
            do: Roster.get(ecosystem.table, {:supervisor, 1}),
            else: ecosystem.coordinator
          ),
          :kill
        )

        first = waiting()
        removing = Task.async(fn -> EcosystemSupervisor.remove_worker(ecosystem, second) end)
        assert eventually?(fn -> Roster.member(ecosystem.table, 2) == nil end)
        send(first, :go)
        assert Task.await(removing) == :ok
        assert up({:worker, 1}) == first
        up({:worker, 3})
        :erlang.resume_process(steward)
        assert eventually?(fn -> match?({_, [^first, _third]}, members(ecosystem)) end)
        settle(ecosystem)
        refute_received {:up, {:worker, 2}, _, _}
        assert_nothing_of(ecosystem, 2)
        :ok = Processes.shutdown_ecosystem(ecosystem)
      end
    end

    test "after it was decided to start it again" do
      ecosystem = refilling!()
      table = ecosystem.table
      Process.exit(Roster.get(table, {:supervisor, 1}), :kill)
      first = waiting()
      supervisor = Roster.get(table, {:supervisor, 1})
      # It comes back behind the first, in place of which the test removes it.
      [{2, second, _, _, _, _}] = :ets.lookup(table, 2)
      removing = Task.async(fn -> EcosystemSupervisor.remove_worker(ecosystem, second) end)
      assert eventually?(fn -> Roster.member(table, 2) == nil end)
      send(first, :go)
      assert Task.await(removing) == :ok
      plan = Roster.plan(table)
      assert Workers.start(supervisor, plan, [2, :again]) == :ignore
      up({:worker, 1})
      up({:worker, 3})
      assert_nothing_of(settle(ecosystem), 2)
    end

    test "while it is in its init again" do
      ecosystem = refilling!()
      Process.exit(Roster.get(ecosystem.table, {:supervisor, 1}), :kill)
      first = waiting()
      old = hd(ecosystem.workers)
      removing = Task.async(fn -> EcosystemSupervisor.remove_worker(ecosystem, old) end)
      assert eventually?(fn -> Roster.member(ecosystem.table, 1) == nil end)
      send(first, :go)
      assert Task.await(removing) == :ok
      ended(first)
      up({:worker, 2})
      up({:worker, 3})
      assert_nothing_of(settle(ecosystem), 1)
    end

    test "which the new supervisor has started by itself: it is left as it is" do
      ecosystem = refilling!()
      table = ecosystem.table
      Process.exit(Roster.get(table, {:supervisor, 1}), :kill)
      first = waiting()
      supervisor = Roster.get(table, {:supervisor, 1})
      plan = Roster.plan(table)
      start = fn -> Workers.start(supervisor, plan, [2]) end
      started = Task.async(start)

      assert eventually?(fn ->
               Process.info(supervisor, :message_queue_len) == {:message_queue_len, 1}
             end)

      send(first, :go)
      assert {:ok, second} = Task.await(started)
      up({:worker, 1})
      assert up({:worker, 2}) == second
      up({:worker, 3})
      assert eventually?(fn -> match?({_, [^first, ^second, _third]}, members(ecosystem)) end)
      assert DynamicSupervisor.count_children(supervisor).active == 3
    end

    test "while its supervisor is dead" do
      ecosystem = Member.healing!([], test: nil)
      [_first, second, _third] = ecosystem.workers
      :erlang.suspend_process(ecosystem.supervisor)
      supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
      Process.exit(supervisor, :kill)
      ended(supervisor)
      assert EcosystemSupervisor.remove_worker(ecosystem, second) == :ok
      :erlang.resume_process(ecosystem.supervisor)
      for number <- [1, 3], do: worker(ecosystem, number)
      assert eventually?(fn -> length(Member.alive()) == 3 end)
      assert_nothing_of(settle(ecosystem), 2)
    end

    test "while its supervisor is killed" do
      ecosystem = Member.healing!([], stuck: true, test: nil)
      [_first, second, _third] = ecosystem.workers
      supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
      :erlang.suspend_process(supervisor)
      removing = Task.async(fn -> EcosystemSupervisor.remove_worker(ecosystem, second) end)

      assert eventually?(fn ->
               Process.info(supervisor, :message_queue_len) == {:message_queue_len, 1}
             end)

      Process.exit(second, :kill)
      Process.exit(supervisor, :kill)
      assert Task.await(removing) == :ok
      assert_nothing_of(settle(ecosystem), 2)
      for pid <- Member.alive(), do: Process.exit(pid, :kill)
    end

    test "which is dead, and waits to come back" do
      armed = :atomics.new(1, [])

      ecosystem =
        Member.healing!([start_timeout: 60_000], at: [{:worker, 2}], init: :hang, armed: armed)

      drop_ups(4)
      :atomics.put(armed, 1, 1)
      second = Enum.at(ecosystem.workers, 1)
      kill(ecosystem, second)
      assert_receive {:hangs, {:worker, 2}, hanging}
      removing = Task.async(fn -> EcosystemSupervisor.remove_worker(ecosystem, second) end)
      assert eventually?(fn -> Roster.member(ecosystem.table, 2) == nil end)
      Process.exit(hanging, :kill)
      assert Task.await(removing) == :ok
      refute_received {:up, _, _, _}
      assert_nothing_of(settle(ecosystem), 2)
    end

    test "which is dead, and whose restart takes too long: nobody waits for that for ever" do
      armed = :atomics.new(1, [])

      ecosystem =
        Member.healing!([start_timeout: 60_000], at: [{:worker, 2}], init: :hang, armed: armed)

      drop_ups(4)
      :atomics.put(armed, 1, 1)
      second = Enum.at(ecosystem.workers, 1)
      kill(ecosystem, second)
      assert_receive {:hangs, {:worker, 2}, hanging}
      removing = Task.async(fn -> EcosystemSupervisor.remove_worker(ecosystem, second) end)
      assert eventually?(fn -> Roster.member(ecosystem.table, 2) == nil end)
      limit(ecosystem, start_timeout: 50)
      assert ended(hanging) in [:killed, :noproc]
      assert Task.await(removing, 30_000) == :ok
      limit(ecosystem, start_timeout: 60_000)
      assert_nothing_of(settle(ecosystem), 2)
      assert {:ok, _added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
    end

    test "when its supervisor, which had begun to restart it, writes it down just after" do
      ecosystem = Member.healing!([], test: nil)
      steward = Roster.get(ecosystem.table, :steward)
      :erlang.suspend_process(steward)
      assert EcosystemSupervisor.remove_worker(ecosystem, hd(ecosystem.workers)) == :ok
      restarted = spawn_link(fn -> receive(do: (:end -> :ok)) end)
      assert Roster.started(ecosystem.table, 1, restarted, Member, 0) == :first
      :erlang.resume_process(steward)
      # When it is taken away again, the steward has heard of the end of the one before.
      settle(ecosystem)
      assert Roster.forget(ecosystem.table, 1, restarted)
      send(restarted, :end)
      assert_nothing_of(settle(ecosystem), 1)
      assert failures(ecosystem) == 0
    end

    test "when it is back in place of one whose end nobody has heard of" do
      ecosystem = Member.healing!([], test: nil)
      {old, monitor} = spawn_monitor(fn -> :ok end)
      assert_receive {:DOWN, ^monitor, :process, ^old, :normal}
      [first | _others] = ecosystem.workers
      steward = Roster.get(ecosystem.table, :steward)
      now = System.monotonic_time()
      send(steward, {:restarted, 1, old, first, now, now})
      assert %{early: %{^old => _}} = :sys.get_state(steward)
      assert EcosystemSupervisor.remove_worker(ecosystem, first) == :ok
      assert_nothing_of(settle(ecosystem), 1)
    end

    test "though the caller is killed meanwhile" do
      ecosystem = Member.healing!([shutdown_timeout: 60_000], test: nil)
      {:ok, worker} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self(), trap: true)
      Member.hold(worker)
      caller = spawn(fn -> EcosystemSupervisor.remove_worker(ecosystem, worker) end)
      assert eventually?(fn -> Roster.member(ecosystem.table, 4) == nil end)
      Process.exit(caller, :kill)
      ended(caller)
      send(worker, :go)
      assert_receive {:terminated, {:worker, 4}, ^worker, :shutdown}
      assert eventually?(fn -> Roster.own(ecosystem.table, 4) == [] end)
      assert_nothing_of(settle(ecosystem), 4)
    end
  end

  describe "where the dead stay dead" do
    test "a dead worker can be removed" do
      ecosystem = Member.ecosystem!(count: 2)
      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, [])
      settle(ecosystem)

      for pid <- [added | ecosystem.workers] do
        kill(ecosystem, pid)
        assert EcosystemSupervisor.remove_worker(ecosystem, pid) == :ok
        assert EcosystemSupervisor.remove_worker(ecosystem, pid) == {:error, :not_found}
      end

      for number <- 1..3, do: assert_nothing_of(ecosystem, number)
      # That they were killed is not long ago.
      health = health_of(ecosystem)
      assert {health.status, health.workers.total} == {:degraded, 0}
    end

    test "an added worker that has done what it was for is forgotten, and no failure" do
      ecosystem = Member.ecosystem!([count: 1], test: nil)
      {:ok, _members} = Processes.subscribe(ecosystem)

      sizes =
        for number <- 2..52 do
          {:ok, pid} = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
          settle(ecosystem)
          Member.stop(pid, :normal)
          gone = [{{:worker, number}, pid}]
          assert_receive {:members_changed, _id, %{left: ^gone, joined: []}}
          :ets.info(settle(ecosystem).table, :size)
        end

      assert [_size] = Enum.uniq(sizes)
      health = health_of(ecosystem)
      assert {health.status, health.failures, health.workers.total} == {:healthy, 0, 1}
    end

    test "one that had ended before it was monitored is forgotten too" do
      ecosystem = Member.ecosystem!([count: 1], test: nil)
      steward = Roster.get(ecosystem.table, :steward)
      :erlang.suspend_process(steward)
      {:ok, pid} = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
      Member.stop(pid, :normal)
      ended(pid)
      :erlang.resume_process(steward)
      assert eventually?(fn -> failures(ecosystem) == 1 end)
      assert {:ok, [%{role: {:worker, 2}, reason: :noproc}]} = Processes.failures(ecosystem)
      assert_nothing_of(settle(ecosystem), 2)
    end

    test "an added worker that fails is dead, and so is one of the ecosystem's own that ends" do
      ecosystem = Member.ecosystem!([count: 1], test: nil)
      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
      settle(ecosystem)

      for {pid, reason} <- [{added, :broken}, {hd(ecosystem.workers), :normal}],
          do: Member.stop(pid, reason)

      assert eventually?(fn -> failures(ecosystem) == 2 end)
      health = health_of(ecosystem)
      assert {health.workers.dead, health.workers.total} == {2, 2}
    end

    test "in a :self_healing ecosystem an added worker that ends with :normal comes back" do
      ecosystem = Member.healing!([], test: nil)
      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self())
      assert up({:worker, 4}) == added
      Member.stop(added, :normal)
      assert up({:worker, 4}) != added
    end
  end

  # Whoever starts it finds the row, and then no row.
  test "a worker that is removed while it is written down anew is removed" do
    ecosystem = Member.ecosystem!([count: 1], test: nil)
    %{table: table} = ecosystem
    pid = spawn_link(fn -> receive(do: (:end -> :ok)) end)

    removing =
      spawn_link(fn ->
        Stream.repeatedly(fn -> Roster.forget(table, 9, pid) end) |> Enum.find(&(&1 == :never))
      end)

    written = for _ <- 1..20_000, do: Roster.started(table, 9, pid, Member, 0)
    Process.unlink(removing)
    Process.exit(removing, :kill)
    ended(removing)
    Roster.forget(table, 9, pid)
    assert Roster.again(table, 9, pid, Member, 0) == :removed
    assert Enum.all?(written, &(&1 in [:first, {:again, pid}, :removed]))
    send(pid, :end)
  end
end
