defmodule Foundation.BEAM.Ecosystem.Health do
  @moduledoc false

  # From the state of the members to one word. Pure, but for `look/1`.

  alias Foundation.BEAM.Ecosystem.{Failures, Info, Roster}
  alias Foundation.BEAM.Memory

  @doc "What `Processes.ecosystem_health/1` tells."
  @spec look(Roster.table()) :: map()
  def look(table) do
    {coordinator, workers} = Info.members(table)
    {failures, total} = Failures.list(table)

    summary(coordinator, workers, Memory.pressure())
    |> Map.merge(%{failures: total, last_failure: List.last(failures)})
  end

  @doc false
  @spec summary(map(), [map()], :low | :medium | :high) :: map()
  def summary(coordinator, workers, pressure) do
    workers_by = Enum.frequencies_by(workers, & &1.status)
    count = fn status -> Map.get(workers_by, status, 0) end

    counts = %{
      alive: count.(:alive),
      dead: count.(:dead),
      restarting: count.(:restarting),
      unresponsive: count.(:unresponsive),
      total: length(workers)
    }

    %{
      status: status(coordinator.status, counts, pressure),
      coordinator: coordinator.status,
      workers: counts,
      memory_pressure: pressure,
      message_backlog:
        [coordinator | workers] |> Enum.map(&(&1.message_queue_len || 0)) |> Enum.sum()
    }
  end

  @doc false
  @spec status(atom(), map(), :low | :medium | :high) :: :healthy | :degraded | :critical
  def status(:dead, _workers, _pressure), do: :critical

  def status(_coordinator, %{total: total, alive: alive, unresponsive: busy}, _pressure)
      when total > 0 and (alive + busy) * 2 < total,
      do: :critical

  def status(:alive, %{total: total, alive: total}, pressure) when pressure != :high, do: :healthy
  def status(_coordinator, _workers, _pressure), do: :degraded
end
