defmodule Foundation.BEAM.Ecosystem.SnapshotsRunTest do
  # Members of a running ecosystem that come back with what was kept.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Roster, Snapshots}
  alias Foundation.Members.Server

  @moduletag :capture_log

  # The interval is far away: what happens at it, the tests bring about.
  defp ecosystem!(opts \\ [], member \\ []) do
    defaults = [
      coordinator: {Server, member},
      workers: {Server, [count: 2] ++ member},
      fault_tolerance: :self_healing,
      snapshot_interval: 600_000,
      max_restarts: 100
    ]

    Member.ecosystem!(Keyword.merge(defaults, opts))
  end

  defp tick(ecosystem) do
    send(Roster.get(ecosystem.table, :ticker), :snapshots)
    :sys.get_state(Roster.get(ecosystem.table, :ticker), 30_000)
  end

  # Who shows too late what it is, as the machine is held up, is asked at the next tick.
  defp take(ecosystem, numbers \\ 0..2) do
    assert eventually?(fn ->
             tick(ecosystem)
             Enum.all?(numbers, &(Snapshots.about(ecosystem.table, &1) != :error))
           end)
  end

  defp state(pid), do: GenServer.call(pid, :state)

  # The server gives what it has under `kept:` as its snapshot.
  defp keep(pid, term), do: :sys.replace_state(pid, &Keyword.put(&1, :kept, term))

  defp taken?(ecosystem, number),
    do: eventually?(fn -> Snapshots.about(ecosystem.table, number) != :error end)

  test "a coordinator and a worker have it when others find them" do
    ecosystem = ecosystem!()
    keep(ecosystem.coordinator, :of_coordinator)
    keep(hd(ecosystem.workers), :of_worker)
    take(ecosystem)

    kill(ecosystem, ecosystem.coordinator)
    kill(ecosystem, hd(ecosystem.workers))
    worker = worker(ecosystem, 1)
    assert state(worker)[:kept] == :of_worker

    assert eventually?(fn -> match?({:ok, _}, EcosystemSupervisor.get_coordinator(ecosystem)) end)
    {:ok, coordinator} = EcosystemSupervisor.get_coordinator(ecosystem)
    assert coordinator != ecosystem.coordinator and state(coordinator)[:kept] == :of_coordinator
    assert state(worker)[:role] == {:worker, 1}
  end

  test "the interval takes them" do
    ecosystem = ecosystem!(snapshot_interval: 5)
    assert Enum.all?(0..2, &taken?(ecosystem, &1))
  end

  for supervision <- [:one_for_all, :rest_for_one] do
    test "all have it that #{supervision} restarts" do
      ecosystem = ecosystem!(supervision: unquote(supervision))
      for {pid, n} <- Enum.with_index(ecosystem.workers, 1), do: keep(pid, n)
      take(ecosystem)
      kill(ecosystem, ecosystem.coordinator)

      assert eventually?(fn ->
               {:ok, %{workers: workers}} = Processes.current(ecosystem)
               length(workers) == 2 and workers -- ecosystem.workers == workers
             end)

      assert for(n <- 1..2, do: state(worker(ecosystem, n))[:kept]) == [1, 2]
    end
  end

  test "a member that is busy is asked once, and holds up nobody" do
    ecosystem = ecosystem!()
    [busy, other] = ecosystem.workers
    GenServer.cast(busy, {:run, fn -> receive(do: (:go -> :ok)) end})
    take(ecosystem, [2])
    # By now it has been asked, and is not any more.
    assert eventually?(fn -> is_map_key(tick(ecosystem).rounds.asked, 1) end)
    for _ <- 1..5, do: tick(ecosystem)
    assert Process.info(busy, :message_queue_len) == {:message_queue_len, 1}
    assert Process.alive?(other)
    send(busy, :go)
    assert taken?(ecosystem, 1)
  end

  test "one that is too large is refused and told of once; the one before stays" do
    ecosystem = ecosystem!(max_snapshot_bytes: 1_000)
    test = self()
    event = [:foundation, :ecosystem, :snapshot_refused]
    Foundation.Telemetry.attach(:refused, event, fn _, n, m, _ -> send(test, {n, m}) end, nil)
    on_exit(fn -> Foundation.Telemetry.detach(:refused) end)
    worker = hd(ecosystem.workers)
    keep(worker, :small)
    take(ecosystem, [1])
    keep(worker, Enum.to_list(1..1_000))

    log =
      capture_log(fn ->
        assert eventually?(fn -> 1 in tick(ecosystem).rounds.refused end)

        for _ <- 1..3 do
          tick(ecosystem)
          state(worker)
          tick(ecosystem)
        end

        assert_receive {%{count: 1}, %{role: {:worker, 1}, pid: ^worker, reason: reason}}
        assert reason == {:too_large, 1_000}
        refute_received {%{count: 1}, _metadata}
      end)

    assert log =~ "takes more than 1000 bytes"
    kill(ecosystem, worker)
    assert state(worker(ecosystem, 1))[:kept] == :small
  end

  test "one that cannot be restored leaves the member as it was started, and is told" do
    fail = fn {_state, _snapshot} -> raise "spoilt" end
    ecosystem = ecosystem!([], restore: fail, kept: 1)
    take(ecosystem, [1])

    log =
      capture_log(fn ->
        kill(ecosystem, hd(ecosystem.workers))
        assert state(worker(ecosystem, 1))[:role] == {:worker, 1}
      end)

    assert log =~ "was not restored"
    assert log =~ "spoilt"
  end

  test "a worker that is removed leaves none" do
    ecosystem = ecosystem!()
    take(ecosystem, [1])
    assert :ok = EcosystemSupervisor.remove_worker(ecosystem, hd(ecosystem.workers))
    assert Snapshots.about(ecosystem.table, 1) == :error
  end

  test "an added worker brings what takes them" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing, snapshot_interval: 600_000)
    assert Roster.get(ecosystem.table, :ticker) == nil
    {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Server, kept: :own)
    take(ecosystem, [4])
    {:ok, _another} = EcosystemSupervisor.add_worker(ecosystem, Server, [])
    kill(ecosystem, added)
    assert state(worker(ecosystem, 4))[:kept] == :own
  end

  test "who stays dead is asked for none" do
    ecosystem = ecosystem!(fault_tolerance: :standard)
    assert Roster.get(ecosystem.table, :ticker) == nil
  end

  describe "checkpoint" do
    # Runs in the member.
    defp inside(pid, fun) do
      test = self()
      GenServer.cast(pid, {:run, fn -> send(test, {:result, fun.()}) end})
      assert_receive {:result, result}
      result
    end

    test "of a term is there when it returns" do
      ecosystem = ecosystem!()
      worker = hd(ecosystem.workers)
      assert :ok = inside(worker, fn -> Processes.checkpoint(ecosystem, :at_once) end)
      kill(ecosystem, worker)
      assert state(worker(ecosystem, 1))[:kept] == :at_once
    end

    test "takes the state after the callback" do
      ecosystem = ecosystem!()
      worker = hd(ecosystem.workers)
      keep(worker, :state)
      assert :ok = inside(worker, fn -> Processes.checkpoint(ecosystem) end)
      assert taken?(ecosystem, 1)
      kill(ecosystem, worker)
      assert state(worker(ecosystem, 1))[:kept] == :state
    end

    test "one that is refused is told of, once" do
      test = self()
      event = [:foundation, :ecosystem, :snapshot_refused]
      Foundation.Telemetry.attach(:refused, event, fn _, n, m, _ -> send(test, {n, m}) end, nil)
      on_exit(fn -> Foundation.Telemetry.detach(:refused) end)
      ecosystem = ecosystem!([], snapshot: fn _state -> raise "no" end)
      worker = hd(ecosystem.workers)
      assert :ok = inside(worker, fn -> Processes.checkpoint(ecosystem) end)
      assert_receive {%{count: 1}, %{role: {:worker, 1}, pid: ^worker, reason: reason}}
      assert {:failed, %RuntimeError{message: "no"}} = reason
      assert :ok = inside(worker, fn -> Processes.checkpoint(ecosystem) end)
      tick(ecosystem)
      refute_received {%{count: 1}, %{pid: ^worker}}
    end

    test "is nothing to members that do not come back" do
      ecosystem = ecosystem!(fault_tolerance: :standard)
      worker = hd(ecosystem.workers)

      for checkpoint <- [
            fn -> Processes.checkpoint(ecosystem) end,
            fn -> Processes.checkpoint(ecosystem, :term) end
          ],
          do: assert(type(inside(worker, checkpoint)) == :no_snapshots)

      assert Snapshots.about(ecosystem.table, 1) == :error
    end

    test "refuses what is too large, and who has none or is none" do
      ecosystem = ecosystem!(max_snapshot_bytes: 100, coordinator: Member)
      worker = hd(ecosystem.workers)
      large = Enum.to_list(1..1_000)
      assert type(inside(worker, fn -> Processes.checkpoint(ecosystem, large) end)) == :too_large
      assert type(Processes.checkpoint(ecosystem)) == :not_a_member
      assert type(Processes.checkpoint(ecosystem, 1)) == :not_a_member

      {:ok, plain} = EcosystemSupervisor.add_worker(ecosystem, Foundation.Members.Unnamed)

      for run <- [
            fn state -> {type(Processes.checkpoint(ecosystem)), state} end,
            fn state -> {type(Processes.checkpoint(ecosystem, 1)), state} end
          ] do
        test = self()

        :sys.replace_state(plain, fn state ->
          {type, state} = run.(state)
          send(test, {:type, type})
          state
        end)

        assert_receive {:type, :no_snapshots}
      end
    end
  end
end
