defmodule Foundation.BEAM.Ecosystem.Events do
  @moduledoc false

  # What the ecosystem tells the outside: telemetry (documented in `Foundation.Telemetry`) and the log.

  require Logger

  alias Foundation.BEAM.Ecosystem.{Config, Roster}
  alias Foundation.Options
  alias Foundation.Telemetry.Dispatch

  @spec started(Config.t(), pid(), integer()) :: :ok
  def started(plan, supervisor, begun) do
    execute(
      :started,
      %{duration: System.monotonic_time() - begun, workers: plan.count},
      %{id: plan.id, supervisor: supervisor}
    )
  end

  @spec died(struct(), map()) :: :ok
  def died(state, %{role: :coordinator} = failure), do: died(:coordinator_died, state, failure)
  def died(state, failure), do: died(:worker_died, state, failure)

  defp died(event, state, failure) do
    metadata = Map.take(failure, [:role, :pid, :reason])
    execute(event, %{count: 1}, Map.put(metadata, :id, state.id))
  end

  @spec restarted(struct(), non_neg_integer(), pid(), pid(), map() | nil, integer()) :: :ok
  def restarted(state, number, old, new, failure, duration) do
    event = if number == 0, do: :coordinator_restarted, else: :worker_restarted
    reason = if failure, do: failure.reason, else: :shutdown

    metadata = %{id: state.id, role: Roster.role(number), pid: new, previous: old, reason: reason}
    execute(event, %{duration: duration}, metadata)
  end

  @doc "Tells that the ecosystem ends, and loudly where nobody has asked for it."
  @spec stopped(struct(), term()) :: :ok
  def stopped(state, reason) do
    unhealed = for {_pid, {_, failure, _, since}} <- state.pending, failure, do: {since, failure}
    failures = unhealed |> Enum.sort_by(&elem(&1, 0)) |> Enum.map(&elem(&1, 1))
    reason = reason(state.ending?, failures, reason)
    if reason != :shutdown, do: log(state, reason, failures)

    execute(
      :stopped,
      %{duration: System.monotonic_time() - state.begun, failures: state.failures},
      %{id: state.id, supervisor: state.supervisor, reason: reason}
    )
  end

  defp reason(true, _failures, _reason), do: :shutdown
  defp reason(false, [first | _], :shutdown), do: {:max_restarts, first.role, first.reason}
  defp reason(false, _failures, reason), do: reason

  defp log(state, reason, failures) do
    shown = failures |> Enum.take(5) |> Enum.map_join("", &["\n  ", line(&1)])
    Logger.error("ecosystem #{inspect(state.id)} ends: #{Options.given(reason)}#{shown}")
  end

  defp line(failure), do: "#{inspect(failure.role)} failed: #{Options.given(failure.reason)}"

  defp execute(event, measurements, metadata),
    do: Dispatch.execute([:foundation, :ecosystem, event], measurements, metadata)
end
