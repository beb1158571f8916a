defmodule Foundation.BEAM.Ecosystem.HealthTest do
  # The rules that the documentation states, as functions.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Ecosystem.Health

  defp member(status, queue \\ 0), do: %{status: status, message_queue_len: queue}

  defp status(coordinator, workers, pressure \\ :low),
    do: Health.summary(member(coordinator), Enum.map(workers, &member/1), pressure).status

  test "healthy: all live and answer, and memory is not scarce" do
    assert status(:alive, [:alive, :alive]) == :healthy
    assert status(:alive, [:alive], :medium) == :healthy
    assert status(:alive, []) == :healthy
  end

  test "critical: the coordinator is dead, or fewer than half of the workers live" do
    assert status(:dead, [:alive]) == :critical
    assert status(:alive, [:dead]) == :critical
    assert status(:alive, [:alive, :dead, :dead]) == :critical
    assert status(:alive, [:alive, :restarting, :restarting]) == :critical
    assert status(:dead, [:alive], :high) == :critical
  end

  test "degraded: anything between" do
    assert status(:alive, [:alive, :dead]) == :degraded
    assert status(:alive, [:alive, :unresponsive]) == :degraded
    assert status(:alive, [:unresponsive, :unresponsive]) == :degraded
    assert status(:restarting, [:alive]) == :degraded
    assert status(:unresponsive, [:alive]) == :degraded
    assert status(:alive, [:alive], :high) == :degraded
  end

  test "counts members by status, and what waits in their queues" do
    workers = [
      member(:alive, 2),
      member(:unresponsive, nil),
      member(:dead, nil),
      member(:alive, 3)
    ]

    summary = Health.summary(member(:alive, 5), workers, :medium)
    assert summary.workers == %{alive: 2, dead: 1, restarting: 0, unresponsive: 1, total: 4}
    assert {summary.message_backlog, summary.memory_pressure} == {10, :medium}
    assert summary.coordinator == :alive
  end
end
