defmodule Foundation.BEAM.Ecosystem.TrialTest do
  # A state that crashes whoever is given it: what was kept is dropped before the restarts are over.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Events
  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Roster, Snapshots}
  alias Foundation.BEAM.Ecosystem.Snapshots.Trial
  alias Foundation.Members.Server

  @moduletag :capture_log

  # With as many restarts as by default, however long the machine takes; the tests take the snapshots.
  defp ecosystem!(opts \\ [], member \\ []) do
    defaults = [
      coordinator: {Server, member},
      workers: {Server, [count: 3] ++ member},
      fault_tolerance: :self_healing,
      snapshot_interval: 600_000,
      max_seconds: 100
    ]

    Member.ecosystem!(Keyword.merge(defaults, opts))
  end

  # Whoever is restored crashes as soon as it comes to its next message.
  defp poisoned(opts) do
    restore = fn {state, kept} ->
      GenServer.cast(self(), {:run, fn -> exit({:poison, kept}) end})
      Keyword.put(state, :kept, kept)
    end

    ecosystem!(opts, restore: restore)
  end

  defp state(pid), do: GenServer.call(pid, :state)

  defp take(ecosystem, number, term) do
    {:ok, _bytes} = Snapshots.save(ecosystem.table, number, term, 1_000)
  end

  defp refused do
    assert_receive {:event, [_, _, :snapshot_refused], %{count: 1}, metadata}, 5_000
    metadata
  end

  # All have failed that will, and are back.
  defp at_rest(ecosystem, failures) do
    assert eventually?(fn ->
             steward = :sys.get_state(Roster.get(ecosystem.table, :steward))
             steward.failures == failures and steward.pending == %{} and steward.early == %{}
           end)
  end

  for {place, supervision} <- [
        {0, :one_for_one},
        {1, :one_for_one},
        {0, :rest_for_one},
        {1, :rest_for_one}
      ] do
    test "#{supervision}: member #{place} is back with its fresh state, and the ecosystem lives" do
      listen([:foundation, :ecosystem, :snapshot_refused])
      place = unquote(place)

      log =
        capture_log(fn ->
          ecosystem = poisoned(supervision: unquote(supervision))
          take(ecosystem, place, :bad)
          Process.exit(worker(ecosystem, place), :kill)
          metadata = refused()
          assert metadata.reason == {:poisoned, 2}
          assert metadata.role == Roster.role(place)
          at_rest(ecosystem, 3)
          pid = worker(ecosystem, place)
          assert metadata.pid == pid
          assert state(pid)[:kept] == nil
          assert Snapshots.about(ecosystem.table, place) == :error
          assert :ets.lookup(ecosystem.table, {:trial, place}) == []
          refute_received {:event, _, _, _}
        end)

      assert [_, _] = String.split(log, "is dropped: the member was restored 2 times")
    end
  end

  # The failure is recorded before the next one comes.
  defp kill_back(ecosystem, number) do
    kill(ecosystem, worker(ecosystem, number))
    worker(ecosystem, number)
  end

  test "one_for_all: who fails loses it, who is restarted for its sake does not" do
    listen([:foundation, :ecosystem, :snapshot_refused])
    ecosystem = ecosystem!(supervision: :one_for_all)
    for number <- 0..3, do: take(ecosystem, number, number)
    for _ <- 1..3, do: kill_back(ecosystem, 2)
    assert %{reason: {:poisoned, 2}, role: {:worker, 2}} = refused()

    assert for(number <- 0..3, do: state(worker(ecosystem, number))[:kept]) == [0, 1, nil, 3]
    refute_received {:event, _, _, _}
  end

  test "failures that are longer apart than max_seconds leave it" do
    ecosystem = ecosystem!()
    take(ecosystem, 1, :good)
    for _ <- 1..2, do: kill_back(ecosystem, 1)
    # As if the first restore were longer ago.
    [{key, [last, {first, at, supervisor}], failed}] = :ets.lookup(ecosystem.table, {:trial, 1})
    :ets.insert(ecosystem.table, {key, [last, {first, at - 100_000, supervisor}], failed})
    assert state(kill_back(ecosystem, 1))[:kept] == :good
  end

  test "what is kept after that is given again" do
    ecosystem = ecosystem!(max_restarts: 100)
    take(ecosystem, 1, :old)
    for _ <- 1..2, do: assert(state(kill_back(ecosystem, 1))[:kept] == :old)
    assert state(kill_back(ecosystem, 1))[:kept] == nil
    take(ecosystem, 1, :new)
    assert state(kill_back(ecosystem, 1))[:kept] == :new
  end

  test "a snapshot that the crashing state was taken for in between is none that is better" do
    ecosystem = ecosystem!(max_restarts: 100)
    for n <- 1..2, do: take(ecosystem, 1, n) && kill_back(ecosystem, 1)
    take(ecosystem, 1, 3)
    assert state(kill_back(ecosystem, 1))[:kept] == nil
  end

  test "a worker that is removed leaves no row of it" do
    ecosystem = ecosystem!()
    take(ecosystem, 1, :good)
    pid = kill_back(ecosystem, 1)
    assert [_row] = :ets.lookup(ecosystem.table, {:trial, 1})
    assert :ok = EcosystemSupervisor.remove_worker(ecosystem, pid)
    assert :ets.lookup(ecosystem.table, {:trial, 1}) == []
  end

  test "the supervisor that restarts one alone knows without the steward" do
    table = :ets.new(:trial, [:public])
    [first, second] = for _ <- 1..2, do: spawn(fn -> :ok end)
    refute Trial.over?(table, 1, 1_000, true)
    refute Trial.failed(table, 1, first)
    assert Trial.restored(table, 1, first)
    refute Trial.over?(table, 1, 1_000, true)
    assert Trial.restored(table, 1, second)
    assert Trial.over?(table, 1, 1_000, true)
    refute Trial.over?(table, 1, 1_000, false)
    # Another supervisor, which has come after the one that restored it.
    refute Task.await(Task.async(fn -> Trial.over?(table, 1, 1_000, true) end))
    assert Trial.failed(table, 1, first)
    assert Trial.over?(table, 1, 1_000, false)
    assert Trial.forget(table, 1)
    refute Trial.over?(table, 1, 1_000, true)
  end
end
