defmodule Foundation.BEAM.Ecosystem.Healing do
  @moduledoc false

  # What the steward keeps of members' ends and returns: two messages for each, from two senders, which
  # may come in either order.

  alias Foundation.BEAM.Ecosystem.{
    Additions,
    Changes,
    Events,
    Failures,
    Intensity,
    Reaper,
    Roster,
    Watch
  }

  alias Foundation.BEAM.Ecosystem.Snapshots.Trial

  # Milliseconds that supervisors need to end, beside their members.
  @grace 1_000

  @doc "A monitored member has ended."
  @spec down(struct(), non_neg_integer(), pid(), term()) :: struct()
  def down(%{table: table} = state, number, pid, reason) do
    case Roster.member(table, number) do
      # Removed, or all is being ended.
      nil ->
        gone(state, number, pid)

      {_, ^pid, _, _, :up, _} ->
        ended(state, number, pid, reason)

      {_, ^pid, _, _, :down, _} ->
        state

      # It is back already.
      _other ->
        if twice?(state, number, pid, reason), do: state, else: behind(state, number, pid, reason)
    end
  end

  defp gone(state, number, pid) do
    state = state |> removed(pid) |> left(number, pid)
    Additions.told(state.table, pid)
    state
  end

  @doc "Nobody waits any more for one that was removed."
  @spec removed(struct(), pid()) :: struct()
  def removed(state, pid) do
    %{state | pending: Map.delete(state.pending, pid), early: Map.delete(state.early, pid)}
  end

  defp ended(state, number, pid, reason) do
    cond do
      not done?(state, number, pid, reason) -> mark(state, number, pid, reason)
      reason == :normal -> done(state, number, pid)
      true -> state |> done(number, pid) |> heard(number, pid, reason)
    end
  end

  # A worker that was added for something that comes to its end, where nobody comes back. Of one that
  # has ended before this process monitored it, the reason is not known.
  defp done?(%{plan: %{fault_tolerance: :standard, count: count}} = state, number, pid, reason)
       when number > count,
       do: reason == :normal or (reason == :noproc and pid not in state.adopted)

  defp done?(_state, _number, _pid, _reason), do: false

  defp done(%{table: table} = state, number, pid) do
    Additions.leave(table, number, pid)
    Additions.forget(table, number)
    gone(state, number, pid)
  end

  # Its successor has been told of already; but it may have had the token, or been passing it on.
  defp behind(state, number, pid, reason) do
    Changes.heal(state.table, [{Roster.role(number), pid}])
    heard(state, number, pid, reason)
  end

  defp left(%{ending?: true} = state, _number, _pid), do: state

  defp left(state, number, pid) do
    Changes.happened(state, [{Roster.role(number), pid}], [])
    state
  end

  # A steward that came after another may monitor a member twice, the second time when it is dead: two
  # messages, in either order. So may any steward with a worker that is added.
  defp twice?(state, number, pid, reason) do
    (state.successor? or number > state.plan.count) and not is_map_key(state.early, pid) and
      (reason == :noproc or elem(Failures.find(state.table, pid), 0) != nil)
  end

  defp mark(%{table: table} = state, number, pid, reason) do
    Roster.down(table, number, pid)

    if state.ending?,
      do: state,
      else: state |> left(number, pid) |> heard(number, pid, reason) |> Watch.restarts()
  end

  # A supervisor has asked it to end: no failure, but it may come back, as all do with one for all.
  defp heard(state, number, pid, :shutdown), do: wait(state, number, pid, nil)

  defp heard(state, number, pid, reason) do
    failure = Failures.new(number, pid, reason)
    index = state.failures + 1
    Failures.put(state.table, index, failure)
    Failures.mark(state.table)
    Trial.failed(state.table, number, pid)
    Events.died(state, failure)
    %{state | failures: index} |> count(number, failure) |> wait(number, pid, failure)
  end

  @doc "A restart has failed; its supervisor tries anew."
  @spec not_restarted(struct(), non_neg_integer(), pid(), term()) :: struct()
  def not_restarted(%{table: table, pending: pending} = state, number, old, reason) do
    Failures.mark(table)

    case pending do
      %{^old => {_, %{} = failure, _, _}} -> count(state, number, failure)
      _not_heard_of -> count(state, number, Failures.new(number, old, reason))
    end
  end

  # One worker's failures, which its supervisor counts with those of all others.
  defp count(%{plan: plan, over: nil, ending?: false} = state, number, failure) do
    with true <- Intensity.counts?(plan, number),
         now = System.monotonic_time(:millisecond),
         {:within, intensity} <-
           Intensity.count(state.intensity, number, now, 1_000 * plan.max_seconds) do
      %{state | intensity: intensity}
    else
      false -> state
      {:over, _intensity} -> too_often(state, failure)
    end
  end

  defp count(state, _number, _failure), do: state

  # Its supervisor may wait for a member's `init`, which nobody ends any more: so there is a limit.
  defp too_often(%{supervisor: supervisor, table: table} = state, failure) do
    limit = min(2 * state.plan.shutdown_timeout + @grace, 0xFFFFFFFF)
    spawn(fn -> Reaper.end_within(supervisor, table, limit) end)
    %{state | over: failure, ending?: true}
  end

  defp wait(state, number, pid, failure) do
    case Map.pop(state.early, pid) do
      {{begun, ended, new}, early} ->
        {_, _, index, _} = waiting = waiting(number, failure, state.failures)
        back(%{state | early: early}, pid, new, waiting, index, ended - begun)

      {nil, _early} ->
        if healing?(state),
          do: put_in(state.pending[pid], waiting(number, failure, state.failures)),
          else: state
    end
  end

  @doc "What is kept of a member that is down."
  @spec waiting(non_neg_integer(), map() | nil, non_neg_integer()) :: tuple()
  def waiting(number, failure, index), do: {number, failure, index, System.monotonic_time()}

  @spec healing?(struct()) :: boolean()
  def healing?(state), do: state.plan.fault_tolerance == :self_healing

  @doc "A member is back; its end may not have been heard of yet."
  @spec restarted(struct(), non_neg_integer(), pid(), pid(), {integer(), integer()}) :: struct()
  def restarted(state, number, old, new, {begun, ended}) do
    state = Watch.moved(state, number, ended)
    role = Roster.role(number)
    told? = is_map_key(state.pending, old)
    left = if told?, do: [], else: [{role, old}]
    # Where it was removed since, its end may have been told of before this came.
    joined = if Roster.member(state.table, number), do: [{role, new}], else: []
    if state.ready?, do: Changes.happened(state, left, joined)

    case Map.pop(state.pending, old) do
      {{_, _, index, since} = waiting, pending} ->
        # Heard of late, it took its start at least.
        duration = ended - min(since, begun)
        back(%{state | pending: pending}, old, new, waiting, index, duration)

      {nil, _pending} ->
        unheard_of(state, number, old, {begun, ended, new})
    end
  end

  # Its end is still to be heard of, but not that of one which was removed meanwhile. Where another
  # steward was before, that one may have heard of it, or nobody.
  defp unheard_of(state, number, old, {begun, ended, new} = early) do
    with false <- Roster.member(state.table, number) == nil,
         {%{} = failure, index} when state.successor? <-
           Failures.find(state.table, old) do
      back(state, old, new, {number, failure, index, begun}, index, ended - begun)
    else
      true ->
        state

      _not_recorded ->
        state
        |> monitor_again(number, old)
        |> put_in([Access.key(:early), old], early)
        |> Watch.restarts()
    end
  end

  defp monitor_again(%{successor?: true} = state, number, pid) do
    :erlang.monitor(:process, pid, tag: number)
    state
  end

  defp monitor_again(state, _number, _pid), do: state

  defp back(state, old, new, {number, failure, _, _}, index, duration) do
    microseconds = System.convert_time_unit(duration, :native, :microsecond)
    if failure, do: Failures.heal(state.table, index, failure, microseconds)
    Events.restarted(state, number, old, new, failure, duration)
    state
  end

  @doc "The end of a member that is back should have been heard of by now: nobody has monitored it."
  @spec late(struct()) :: struct()
  def late(%{ready?: false} = state), do: state

  def late(%{early: early, plan: %{start_timeout: ms}} = state) do
    now = System.monotonic_time()
    late = Enum.filter(early, fn {_, {_, ended, _}} -> Watch.over?(now - ended, ms) end)
    state = %{state | early: Map.drop(early, Enum.map(late, &elem(&1, 0)))}
    Enum.reduce(late, state, &unheard/2)
  end

  @doc "It ended and came back while members were still being started, when none was monitored yet."
  @spec unheard({pid(), {integer(), integer(), pid()}}, struct()) :: struct()
  def unheard({old, {_begun, _ended, new} = early}, %{} = state) do
    case Enum.find(Roster.members(state.table), &(elem(&1, 1) == new)) do
      nil ->
        state

      row ->
        heard(%{state | early: Map.put(state.early, old, early)}, elem(row, 0), old, :unknown)
    end
  end
end
