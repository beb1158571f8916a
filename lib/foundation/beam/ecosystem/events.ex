defmodule Foundation.BEAM.Ecosystem.Events do
  @moduledoc false

  # What the ecosystem tells the outside: telemetry (documented in `Foundation.Telemetry`) and the log.

  require Logger

  alias Foundation.BEAM.Ecosystem.{Config, Roster}
  alias Foundation.Reason
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

  @doc "Tells of a snapshot that was not taken, not restored, or dropped, also in the log."
  @spec snapshot_refused(term(), non_neg_integer(), pid(), term()) :: :ok
  def snapshot_refused(id, number, pid, reason) do
    role = Roster.role(number)

    Logger.warning(
      "ecosystem #{inspect(id)}: the snapshot of #{inspect(role)} #{refusal(reason)}"
    )

    execute(:snapshot_refused, %{count: 1}, %{id: id, role: role, pid: pid, reason: reason})
  end

  defp refusal({:too_large, limit}), do: "takes more than #{limit} bytes, the one before stays"
  defp refusal({:failed, reason}), do: "was not taken: #{Reason.text(reason)}"

  defp refusal({:poisoned, times}) do
    "is dropped: the member was restored #{times} times and failed; it starts without"
  end

  defp refusal({:not_restored, reason}), do: "was not restored: #{Reason.text(reason)}"

  @spec topology_changed(term(), atom(), atom()) :: :ok
  def topology_changed(id, name, previous),
    do: execute(:topology_changed, %{count: 1}, %{id: id, topology: name, previous: previous})

  @spec messages(term(), map()) :: :ok
  def messages(id, measurements), do: execute(:message_processed, measurements, %{id: id})

  @spec collections(term(), map()) :: :ok
  def collections(id, measurements), do: execute(:gc_completed, measurements, %{id: id})

  @spec pressure(term(), {map(), map()}, map()) :: :ok
  def pressure(id, {measurements, metadata}, of_members),
    do: execute(:memory_pressure, Map.merge(measurements, of_members), Map.put(metadata, :id, id))

  @doc "Tells that the ecosystem ends, and loudly where nobody has asked for it."
  @spec stopped(struct(), term()) :: :ok
  def stopped(state, reason) do
    unhealed = for {_pid, {_, failure, _, since}} <- state.pending, failure, do: {since, failure}
    failures = unhealed |> Enum.sort_by(&elem(&1, 0)) |> Enum.map(&elem(&1, 1))
    failures = Enum.uniq(List.wrap(state.over) ++ failures)
    reason = reason(state, failures, reason)
    if reason != :shutdown, do: log(state, reason, failures)

    execute(
      :stopped,
      %{duration: System.monotonic_time() - state.begun, failures: state.failures},
      %{id: state.id, supervisor: state.supervisor, reason: reason}
    )
  end

  # That is why it is being ended.
  defp reason(%{over: %{} = failure}, _failures, _reason), do: too_often(failure)
  defp reason(%{ending?: true}, _failures, _reason), do: :shutdown
  defp reason(_state, [first | _], :shutdown), do: too_often(first)
  defp reason(%{exhausted?: true}, [], _reason), do: :max_restarts
  defp reason(_state, _failures, reason), do: reason

  defp too_often(failure), do: {:max_restarts, failure.role, failure.reason}

  defp log(state, reason, failures) do
    shown = failures |> Enum.take(5) |> Enum.map_join("", &["\n  ", line(&1)])
    Logger.error("ecosystem #{inspect(state.id)} ends: #{why(reason)}#{shown}")
  end

  defp why({:max_restarts, role, _reason}),
    do: "#{inspect(role)} has failed more often than max_restarts allows"

  defp why(:max_restarts), do: "members have failed more often than max_restarts allows"
  defp why(reason), do: Reason.text(reason)

  defp line(failure), do: "#{inspect(failure.role)} failed: #{Reason.text(failure.reason)}"

  defp execute(event, measurements, metadata),
    do: Dispatch.execute([:foundation, :ecosystem, event], measurements, metadata)
end
