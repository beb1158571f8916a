defmodule Foundation.BEAM.Ecosystem.HealthTest do
  # The rule that the documentation states, as a function, and what a running ecosystem makes of it.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.BEAM.Ecosystem.{Failures, Health, Info, Roster}
  alias Foundation.Telemetry

  @moduletag :capture_log

  defp status(coordinator, workers, more \\ []) do
    by = Enum.frequencies(workers)
    counts = for s <- [:alive, :dead, :restarting, :unresponsive], do: {s, by[s] || 0}

    look = %{
      starting?: false,
      coordinator: coordinator,
      workers: Map.new([{:total, length(workers)} | counts]),
      memory_pressure: :low,
      failed_lately?: false,
      queue_full?: false
    }

    Health.status(Map.merge(look, Map.new(more)))
  end

  test "healthy: all live and answer, nothing has failed lately, and nothing is scarce" do
    assert status(:alive, [:alive, :alive]) == :healthy
    assert status(:alive, [:alive], memory_pressure: :medium) == :healthy
    assert status(:alive, []) == :healthy
  end

  test "critical: the coordinator is dead, or fewer than half of the workers live" do
    assert status(:dead, [:alive]) == :critical
    assert status(:alive, [:dead]) == :critical
    assert status(:alive, [:alive, :dead, :dead]) == :critical
    assert status(:alive, [:alive, :restarting, :restarting]) == :critical
    assert status(:dead, [:alive], memory_pressure: :high) == :critical
  end

  test "degraded: anything between" do
    assert status(:alive, [:alive, :dead]) == :degraded
    assert status(:alive, [:alive, :unresponsive]) == :degraded
    assert status(:alive, [:unresponsive, :unresponsive]) == :degraded
    assert status(:restarting, [:alive]) == :degraded
    assert status(:unresponsive, [:alive]) == :degraded
    assert status(:alive, [:alive], memory_pressure: :high) == :degraded
    assert status(:alive, [:alive], failed_lately?: true) == :degraded
    assert status(:alive, [:alive], queue_full?: true) == :degraded
  end

  test "starting: whatever the members are" do
    assert status(:starting, [], starting?: true) == :starting
    assert status(:alive, [:alive, :dead, :dead], starting?: true) == :starting
  end

  defp statuses(ecosystem) do
    health = health_of(ecosystem)
    {:ok, metrics} = look_at(ecosystem, &Telemetry.ecosystem_metrics/1)
    {:ok, current} = Processes.current(ecosystem)
    {known(health, ecosystem), known(metrics, ecosystem), current.health_status}
  end

  # As if the machine, whose memory others use as well, had enough of it.
  defp known(look, ecosystem, queue_full? \\ false)

  defp known(%{memory_pressure: :high} = look, ecosystem, queue_full?) do
    Health.status(%{
      starting?: false,
      coordinator: look.coordinator,
      workers: look.workers,
      memory_pressure: :low,
      failed_lately?: Failures.lately?(ecosystem.table),
      queue_full?: queue_full?
    })
  end

  defp known(look, _ecosystem, _queue_full?), do: look.status

  defp all(status), do: {status, status, status}

  test "health, metrics and the struct have the same status of what has ended" do
    ecosystem = Member.ecosystem!()
    assert statuses(ecosystem) == all(:healthy)
    [first, second, third] = ecosystem.workers
    kill(ecosystem, first)
    assert statuses(ecosystem) == all(:degraded)
    # One of three is fewer than half.
    kill(ecosystem, second)
    assert statuses(ecosystem) == all(:critical)
    assert {:ok, %{workers: [^third]}} = Processes.current(ecosystem)

    ecosystem = Member.ecosystem!()
    kill(ecosystem, ecosystem.coordinator)
    assert statuses(ecosystem) == all(:critical)
  end

  test "a coordinator that comes back is one that is restarting, in all of them" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    # It would be back before anybody looks.
    :sys.suspend(ecosystem.supervisor)
    kill(ecosystem, ecosystem.coordinator)
    assert %{coordinator: :restarting} = health_of(ecosystem)
    assert statuses(ecosystem) == all(:degraded)
    assert {:ok, %{coordinator: nil}} = Processes.current(ecosystem)
    :sys.resume(ecosystem.supervisor)
  end

  test "a failure degrades it for max_seconds, also when the member is back" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing, max_seconds: 100)
    kill(ecosystem, hd(ecosystem.workers))
    worker(ecosystem, 1)
    assert %{workers: %{alive: 3, total: 3}} = health_of(ecosystem)
    assert statuses(ecosystem) == all(:degraded)
    # As if that were longer ago.
    at = Roster.get(ecosystem.table, :failed_at)
    Roster.put(ecosystem.table, :failed_at, at - 100_000)
    assert statuses(ecosystem) == all(:healthy)
  end

  test "a member that is stuck in a callback is alive, until its queue is full" do
    ecosystem = Member.ecosystem!(max_queue_size: 10)
    stuck = hd(ecosystem.workers)
    Member.hold(stuck)
    for _ <- 1..9, do: send(stuck, :waits)

    assert %{message_backlog: 9, workers: %{alive: 3}} = health = health_of(ecosystem)
    assert known(health, ecosystem) == :healthy

    send(stuck, :waits)
    health = health_of(ecosystem)
    assert %{status: :degraded, message_backlog: 10, workers: %{alive: 3}} = health
    assert {:ok, %{status: :degraded}} = Telemetry.ecosystem_metrics(ecosystem)
    send(stuck, :go)
    GenServer.call(stuck, :opts)
    health = health_of(ecosystem)
    assert known(health, ecosystem) == :healthy
  end

  # Reads the pressure's files, and stays there until it is sent `:go`.
  defp slow(test, level) do
    fn ->
      send(test, {:reads, self()})
      receive do: (:go -> level)
    end
  end

  test "files that are not read in time are waited for no longer, by one process" do
    ecosystem = Member.ecosystem!()
    test = self()
    table = ecosystem.table
    for _ <- 1..3, do: assert({%{}, [_, _, _], :low} = Info.look(table, slow(test, :high)))
    assert_received {:reads, reader}
    refute_received {:reads, _another}
    # Who has read them has done it for all.
    ref = Process.monitor(reader)
    send(reader, :go)
    assert_receive {:DOWN, ^ref, :process, ^reader, :normal}
    assert {_, _, :high} = Info.look(table, slow(test, :low))
    assert_receive {:reads, second}
    # One that was killed is followed by another.
    Process.exit(second, :kill)
    ended(second)
    assert {_, _, :medium} = Info.look(table, fn -> :medium end)
    assert {_, _, :low} = Info.look(table, fn -> :low end)
  end

  test "members are counted by status, and what waits in their queues is summed" do
    ecosystem = Member.ecosystem!()
    [first, second, _third] = ecosystem.workers
    kill(ecosystem, first)

    for {pid, count} <- [{second, 2}, {ecosystem.coordinator, 3}] do
      Member.hold(pid)
      for _ <- 1..count, do: send(pid, :waits)
    end

    health = health_of(ecosystem)
    assert health.workers == %{alive: 2, dead: 1, restarting: 0, unresponsive: 0, total: 3}
    assert {health.message_backlog, health.coordinator} == {5, :alive}
  end
end
