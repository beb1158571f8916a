defmodule Foundation.BEAM.Ecosystem.Health do
  @moduledoc false

  # From the state of the members to one word. `status/1` is the rule, which the documentation of
  # `Processes.ecosystem_health/1` states, and is pure. Who has not looked at something gives it as it is
  # when all is well.

  alias Foundation.BEAM.Ecosystem.{Failures, Roster}
  alias Foundation.BEAM.Memory

  @type status :: :starting | :healthy | :degraded | :critical

  @type counts :: %{
          alive: non_neg_integer(),
          dead: non_neg_integer(),
          restarting: non_neg_integer(),
          unresponsive: non_neg_integer(),
          total: non_neg_integer()
        }

  @type look :: %{
          starting?: boolean(),
          coordinator: :starting | :alive | :dead | :restarting | :unresponsive,
          workers: counts(),
          memory_pressure: :low | :medium | :high,
          failed_lately?: boolean(),
          queue_full?: boolean()
        }

  @doc "The rule."
  @spec status(look()) :: status()
  def status(%{starting?: true}), do: :starting
  def status(%{coordinator: :dead}), do: :critical

  def status(%{workers: %{total: total, alive: alive, unresponsive: busy}})
      when (alive + busy) * 2 < total,
      do: :critical

  def status(%{coordinator: :alive, workers: %{total: total, alive: total}} = look)
      when look.memory_pressure != :high and not look.failed_lately? and not look.queue_full?,
      do: :healthy

  def status(_look), do: :degraded

  @doc "What `Processes.ecosystem_health/1` tells, of what `Info.look/1` gives."
  @spec look(Roster.table(), {map(), [map()], Memory.Pressure.level()}) :: map()
  def look(table, looked) do
    {failures, total} = Failures.list(table)

    table
    |> summary(looked)
    |> Map.merge(%{failures: total, last_failure: List.last(failures)})
  end

  @doc "The same without failures."
  @spec summary(Roster.table(), {map(), [map()], Memory.Pressure.level()}) :: map()
  def summary(table, {coordinator, workers, pressure}) do
    plan = Roster.plan(table)
    members = [coordinator | workers]
    queues = for %{message_queue_len: length} <- members, length != nil, do: length

    look = %{
      starting?: starting?(table),
      coordinator: coordinator.status,
      workers: counts(workers),
      memory_pressure: pressure,
      failed_lately?: Failures.lately?(table),
      queue_full?: Enum.any?(queues, &(&1 >= plan.max_queue_size))
    }

    look
    |> Map.take([:coordinator, :workers, :memory_pressure])
    |> Map.merge(%{status: status(look), message_backlog: Enum.sum(queues)})
  end

  @doc "By what the roster knows, without a look at members or memory: so many workers live, of so many."
  @spec known(Roster.table(), atom(), non_neg_integer(), non_neg_integer()) :: status()
  def known(table, coordinator, alive, total) do
    status(%{
      starting?: starting?(table),
      coordinator: coordinator,
      workers: %{alive: alive, dead: total - alive, restarting: 0, unresponsive: 0, total: total},
      memory_pressure: :low,
      failed_lately?: Failures.lately?(table),
      queue_full?: false
    })
  end

  defp starting?(table), do: Roster.get(table, :state) == :starting

  defp counts(workers) do
    by = Enum.frequencies_by(workers, & &1.status)

    counts =
      for status <- [:alive, :dead, :restarting, :unresponsive], do: {status, by[status] || 0}

    Map.new([{:total, length(workers)} | counts])
  end
end
