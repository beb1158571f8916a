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
    Living,
    Reaper,
    Roster,
    Watch
  }

  alias Foundation.BEAM.Ecosystem.Snapshots.Trial

  # Milliseconds that supervisors need to end, beside their members.
  @grace 1_000

  # Starts of coordinators that are remembered; who began before those counts as one group.
  @groups 8

  @doc "A monitored member has ended; when its start began is known of those that had come back."
  @spec down(struct(), non_neg_integer(), pid(), term(), integer() | nil) :: struct()
  def down(%{table: table} = state, number, pid, reason, begun) do
    case Roster.member(table, number) do
      # Removed, or all is being ended.
      nil ->
        gone(state, number, pid)

      {_, ^pid, begun, _, :up, _} ->
        ended(state, number, pid, {reason, begun})

      {_, ^pid, _, _, :down, _} ->
        state

      # It is back already.
      _other ->
        behind(state, number, pid, {reason, begun})
    end
  end

  @doc """
  One that was removed has ended, whoever has its row by now: that is told, and nothing is left of it. Its
  supervisor may have begun to restart it, and have written that down just after.
  """
  @spec gone(struct(), non_neg_integer(), pid()) :: struct()
  def gone(state, number, pid) do
    state = state |> removed(number, pid) |> left(number, pid)
    Additions.told(state.table, pid)
    state
  end

  @doc """
  Nobody waits any more for one that was removed, nor for the ends of those before it, which perhaps
  nobody has monitored.
  """
  @spec removed(struct(), non_neg_integer(), pid()) :: struct()
  def removed(%{pending: pending, early: early} = state, number, pid) do
    early = Map.reject(early, fn {_old, {of, _, _, _}} -> of == number end)
    %{state | pending: Map.delete(pending, pid), early: early}
  end

  defp ended(state, number, pid, {reason, _begun} = why) do
    cond do
      not done?(state, number, pid, reason) -> mark(state, number, pid, why)
      reason == :normal -> done(state, number, pid)
      true -> state |> done(number, pid) |> heard(number, pid, why)
    end
  end

  # A worker that was added for something that comes to its end, where nobody comes back. Of one that
  # has ended before this process monitored it, the reason is not known.
  defp done?(%{plan: %{fault_tolerance: :standard, count: count}} = state, number, pid, reason)
       when number > count do
    found? = state.successor? and match?(%{^number => {^pid, _}}, state.adopted)
    reason == :normal or (reason == :noproc and not found?)
  end

  defp done?(_state, _number, _pid, _reason), do: false

  defp done(%{table: table} = state, number, pid) do
    Additions.leave(table, number, pid)
    Additions.forget(table, number)
    gone(state, number, pid)
  end

  # Where its successor has been told of, so has its end; but it may have had the token, or been passing it on.
  defp behind(%{early: early} = state, number, pid, why) when is_map_key(early, pid) do
    Changes.heal(state.table, [{Roster.role(number), pid}])
    heard(state, number, pid, why)
  end

  defp behind(state, number, pid, why), do: state |> left(number, pid) |> heard(number, pid, why)

  defp left(%{ending?: true} = state, _number, _pid), do: state
  defp left(state, number, pid), do: Changes.happened(state, [{Roster.role(number), pid}], [])

  defp mark(%{table: table} = state, number, pid, why) do
    Roster.down(table, number, pid)

    if state.ending?,
      do: state,
      else: state |> left(number, pid) |> heard(number, pid, why) |> Watch.restarts()
  end

  # A supervisor has asked it to end: no failure, but it may come back, as all do with one for all.
  defp heard(state, number, pid, {:shutdown, _begun}), do: wait(state, number, pid, nil)

  defp heard(state, number, pid, {reason, begun}) do
    if reason in [:noproc, :unknown] and healing?(state) and for_another?(state, number, begun),
      do: wait(state, number, pid, nil),
      else: failed(%{state | blamed: group(state, begun)}, number, pid, reason)
  end

  # Nobody has seen why it ended: it may have been asked to. Where all are restarted together, it was if
  # another's failure is known; the first one whose reason nobody knows stands for all of them.
  defp for_another?(%{plan: %{supervision: :one_for_all}} = state, _number, begun),
    do: state.blamed == group(state, begun)

  # Where workers are restarted with the coordinator, it was if that one has ended since. Of one that was
  # never monitored, it is not known when it began: before any that came back.
  defp for_another?(%{plan: %{supervision: :rest_for_one}} = state, number, begun)
       when number > 0 do
    case Roster.member(state.table, 0) do
      {0, coordinator, since, restarts, _, _} ->
        (restarts > 0 and (not is_integer(begun) or since > begun)) or
          not Living.living?(coordinator)

      nil ->
        false
    end
  end

  defp for_another?(_state, _number, _begun), do: false

  # The start of the coordinator with which it began; in place of when it did, perhaps the start of who
  # came after it.
  defp group(_state, nil), do: :first

  defp group(%{groups: groups}, {:before, begun}),
    do: groups |> Enum.drop_while(&(&1 > begun)) |> Enum.at(1, :first)

  defp group(%{groups: groups}, begun), do: Enum.find(groups, :first, &(&1 <= begun))

  defp failed(state, number, pid, reason) do
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
      {{_number, begun, ended, new}, early} ->
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

  @doc """
  Whether who was started at that time is monitored, or has ended before this process looked into the
  roster, and who was there before it was never monitored.
  """
  @spec adopted?(struct(), non_neg_integer(), integer()) :: boolean()
  def adopted?(%{adopted: adopted}, number, begun) do
    case adopted do
      %{^number => {_pid, since}} -> begun <= since
      _not_adopted -> false
    end
  end

  @doc "A member is back; its end may not have been heard of yet."
  @spec restarted(struct(), tuple(), pid(), boolean()) :: struct()
  def restarted(state, {number, begun, ended, new} = start, old, adopted?) do
    state = Watch.moved(state, number, ended)
    state = if number == 0, do: group_of(state, begun), else: state
    left = if is_map_key(state.pending, old), do: [], else: [{Roster.role(number), old}]
    state = if state.ready?, do: joined(state, left, number, new), else: state

    case Map.pop(state.pending, old) do
      {{_, _, index, since} = waiting, pending} ->
        # Heard of late, it took its start at least.
        duration = ended - min(since, begun)
        back(%{state | pending: pending}, old, new, waiting, index, duration)

      {nil, _pending} ->
        if Roster.member(state.table, number),
          do: unheard_of(state, start, old, adopted?),
          else: state
    end
  end

  defp group_of(state, begun), do: %{state | groups: Enum.take([begun | state.groups], @groups)}

  @doc "Tells of a member, but not of one that has been replaced, or removed, since."
  @spec joined(struct(), [Changes.member()], non_neg_integer(), pid()) :: struct()
  def joined(state, left, number, pid) do
    up? = Roster.up(state.table, number) == {:ok, pid}
    Changes.happened(state, left, if(up?, do: [{Roster.role(number), pid}], else: []))
  end

  # Its end is still to be heard of, unless it was never monitored. Where another steward was before,
  # that one may have heard of it.
  defp unheard_of(state, start, old, false) do
    state |> put_in([Access.key(:early), old], start) |> Watch.restarts()
  end

  defp unheard_of(state, {number, begun, ended, new} = start, old, true) do
    with true <- state.successor?,
         {%{} = failure, index} <- Failures.find(state.table, old) do
      back(state, old, new, {number, failure, index, begun}, index, ended - begun)
    else
      _not_recorded -> unheard({old, start}, state)
    end
  end

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
    late = Enum.filter(early, fn {_, {_, _, ended, _}} -> Watch.over?(now - ended, ms) end)
    state = %{state | early: Map.drop(early, Enum.map(late, &elem(&1, 0)))}
    Enum.reduce(late, state, &unheard/2)
  end

  @doc "It ended and came back, and was not monitored."
  @spec unheard({pid(), tuple()}, struct()) :: struct()
  def unheard({old, {number, begun, _, _} = start}, %{table: table, early: early} = state) do
    if Roster.member(table, number) do
      state = %{state | early: Map.put(early, old, start)}
      heard(state, number, old, {:unknown, {:before, begun}})
    else
      state
    end
  end
end
