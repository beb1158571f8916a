defmodule Foundation.BEAM.Ecosystem.Metrics do
  @moduledoc false

  # One look at an ecosystem as figures, for whoever draws curves. See `Foundation.Telemetry.ecosystem_metrics/1`.

  alias Foundation.BEAM.Ecosystem.{Failures, Health, Info, Roster, Snapshots}

  @spec look(Roster.table()) :: map()
  def look(table) do
    {coordinator, workers, _pressure} = looked = Info.look(table)
    members = [coordinator | workers]
    {failures, total} = Failures.list(table)
    health = Health.summary(table, looked)

    %{
      id: Roster.id(table),
      topology: Roster.topology(table),
      uptime_ms: System.system_time(:millisecond) - Roster.started_at(table),
      status: health.status,
      coordinator: health.coordinator,
      workers: health.workers,
      memory_pressure: health.memory_pressure,
      memory: spread(members, :memory),
      message_queue_len: spread(members, :message_queue_len),
      failures: total,
      restarts: members |> Enum.map(& &1.restarts) |> Enum.sum(),
      heal_us: heal(failures),
      snapshots: Snapshots.total(table),
      sample: Roster.get(table, :sample)
    }
  end

  # Of those that told it.
  defp spread(members, key) do
    case for(%{^key => figure} when figure != nil <- members, do: figure) do
      [] -> %{total: 0, mean: 0, max: 0}
      all -> %{total: Enum.sum(all), mean: div(Enum.sum(all), length(all)), max: Enum.max(all)}
    end
  end

  # Of the failures that are kept and healed.
  defp heal(failures) do
    case for(%{healed_us: us} when us != nil <- failures, do: us) do
      [] -> nil
      all -> %{mean: div(Enum.sum(all), length(all)), max: Enum.max(all)}
    end
  end
end
