defmodule Foundation.BEAM.Ecosystem.Watch do
  @moduledoc false

  # What the steward does about time. A supervisor waits for the `init` of a member as long as it
  # takes: where that is too long, the member is killed, and the supervisor goes on with a member that
  # has failed to start.

  alias Foundation.BEAM.Ecosystem.{Additions, Reaper, Revival, Roster}

  # Milliseconds until a start that has been given up is looked at once more.
  @again 1_000

  @doc "Begins to watch the start of an ecosystem."
  @spec start(struct()) :: struct()
  def start(state), do: schedule(%{state | progress: %{0 => {0, state.begun}}})

  @doc "Begins to watch restarts and additions, where there is somebody to wait for."
  @spec restarts(struct()) :: struct()
  def restarts(%{pending: pending, early: early, adding: adding} = state) do
    if pending == %{} and early == %{} and MapSet.size(adding) == 0,
      do: state,
      else: schedule(state)
  end

  @doc "A worker is being added."
  @spec adding(struct(), pos_integer()) :: struct()
  def adding(state, number), do: restarts(%{state | adding: MapSet.put(state.adding, number)})

  @doc "Somebody has started, at that time: the supervisor of that part goes on."
  @spec moved(struct(), non_neg_integer(), integer()) :: struct()
  def moved(%{moved: moved} = state, number, at),
    do: %{state | moved: Map.put(moved, part(number, state.plan), at)}

  defp schedule(%{watching?: true} = state), do: state

  defp schedule(state) do
    Process.send_after(self(), :watch, max(1, pause(state)))
    %{state | watching?: true}
  end

  defp pause(%{ready?: true, plan: plan}), do: div(plan.start_timeout, 4)

  # Who waits for the whole is told in time, however long each may take.
  defp pause(%{plan: plan, begun: begun}) do
    passed = System.convert_time_unit(System.monotonic_time() - begun, :native, :millisecond)
    left = if passed < plan.startup_timeout, do: plan.startup_timeout - passed, else: @again
    min(div(plan.start_timeout, 4), left)
  end

  @doc "Looks whether anything has gone on since the last time."
  @spec look(struct()) :: struct()
  def look(%{ready?: false} = state), do: starting(%{state | watching?: false})

  def look(state),
    do: %{state | watching?: false} |> added() |> restarting() |> restarts()

  # Supervisors start their members beside each other, and each is watched by itself: `progress` has for
  # each part the number that it is at, and since when.
  defp starting(%{builder: nil} = state), do: state

  defp starting(%{plan: plan} = state) do
    now = System.monotonic_time()
    state = %{state | progress: progress(state, now)}

    if over?(now - state.begun, plan.startup_timeout),
      do: give_up(state, plan.startup_timeout),
      else: late(state, now)

    schedule(state)
  end

  defp progress(%{table: table, plan: plan, progress: before, moved: moved}, now) do
    for {part, number} <- missing(table, plan, before), into: %{} do
      case before do
        %{^part => {^number, since}} -> {part, {number, last(moved, [part], since)}}
        _it_has_moved -> {part, {number, now}}
      end
    end
  end

  # Who comes next in each part that is not complete. When all are: members may be restarted still, and
  # the supervisor of the coordinator has something to start after them.
  defp missing(table, plan, before) do
    parts =
      for part <- 1..plan.parts,
          number = next(table, plan, at(before, part)),
          do: {part, number}

    cond do
      Roster.member(table, 0) == nil -> [{0, 0}]
      parts == [] -> [{0, :all}]
      true -> parts
    end
  end

  defp at(before, part), do: before |> Map.get(part, {part, nil}) |> elem(0)

  defp next(_table, %{count: count}, number) when number > count, do: nil

  defp next(table, plan, number) do
    if Roster.member(table, number), do: next(table, plan, number + plan.parts), else: number
  end

  @doc "Whether a duration in native units is that many milliseconds, or more."
  @spec over?(integer(), pos_integer()) :: boolean()
  def over?(duration, ms), do: System.convert_time_unit(duration, :native, :millisecond) >= ms

  defp late(%{table: table, plan: plan, progress: progress}, now) do
    late = for {_, {_, since}} = at <- progress, over?(now - since, plan.start_timeout), do: at

    # Before anybody is killed for it: see `Starter`.
    with [{_part, {number, _since}} | _] when number != :all <- late,
         do: Roster.fault(table, number, {:timeout, plan.start_timeout})

    for {part, _at} <- late, do: unblock(starter(table, part), table, plan, part, [])
  end

  # A part whose supervisor is still to be started waits for the one above.
  defp starter(table, part), do: supervisor(table, part) || supervisor(table, 0)

  defp part(0, _plan), do: 0
  defp part(number, plan), do: Roster.part(number, plan.parts)

  defp added(%{adding: adding, table: table, plan: plan} = state) do
    looked = for number <- adding, do: {number, Additions.overdue(table, number, plan)}

    for {number, {:overdue, supervisor}} <- looked,
        do: unblock(supervisor, table, plan, part(number, plan), [])

    %{state | adding: for({number, how} <- looked, how != :ended, into: MapSet.new(), do: number)}
  end

  defp restarting(%{pending: pending} = state) when pending == %{}, do: state

  defp restarting(%{table: table, plan: plan, moved: moved} = state) do
    now = System.monotonic_time()
    pending = Map.reject(state.pending, &forgotten?(&1, state, now))

    late =
      for {_pid, {number, _, _, since}} <- pending,
          part = part(number, plan),
          over?(now - last(moved, [0, part], since), plan.start_timeout),
          do: {part, number}

    late = Enum.group_by(late, &elem(&1, 0), &elem(&1, 1))
    for {part, numbers} <- late, do: unblock(supervisor(table, part), table, plan, part, numbers)
    moved = late |> Map.new(fn {part, _numbers} -> {part, now} end) |> Enum.into(moved)
    %{state | pending: pending, moved: moved}
  end

  # Who is restarted with the coordinator, starts after it.
  defp last(moved, parts, since),
    do: parts |> Enum.map(&Map.get(moved, &1, since)) |> Enum.max() |> max(since)

  # Another has its place since long, or nobody, and nothing that was said of it can be on its way. Who
  # removes it waits for its supervisor, which may be held up by its restart: until then it is not forgotten.
  defp forgotten?({pid, {number, _, _, _}}, %{table: table, plan: plan}, now) do
    case Roster.member(table, number) do
      {_, ^pid, _, _, _, _} -> false
      {_, _, begun, _, _, _} -> over?(now - begun, 2 * plan.start_timeout)
      nil -> not Additions.left?(table, pid)
    end
  end

  # A child that the roster does not know is in its `init`. Where there is none, `start_link/1` itself
  # keeps the supervisor, or it has nothing to do. In a process of its own: to look may take time.
  defp unblock(nil, _table, _plan, _part, _numbers), do: nil

  defp unblock(supervisor, table, plan, part, numbers),
    do: spawn(fn -> unblock_now(supervisor, table, plan, part, numbers) end)

  defp unblock_now(supervisor, table, plan, part, numbers) do
    case strangers(supervisor, table, plan) do
      [] ->
        # It may have begun to start another meanwhile.
        if Revival.run(supervisor, table, plan, part, numbers) == :busy and
             strangers(supervisor, table, plan) == [],
           do: Reaper.kill_tree(supervisor)

      strangers ->
        # One of them may have come out of it just now.
        for pid <- strangers, Roster.place(table, pid) == nil, do: Process.exit(pid, :kill)
    end
  rescue
    error in ArgumentError ->
      # The table is gone with the ecosystem.
      if :ets.info(table, :owner) != :undefined, do: reraise(error, __STACKTRACE__)
  end

  # First who is linked to it: who starts meanwhile is known by then. Only of the others it is asked
  # whose children they are: a member may be busy, and would be waited for.
  defp strangers(supervisor, table, plan) do
    links = Reaper.links(supervisor)
    own = [Roster.get(table, :steward), Roster.get(table, :ticker)]
    supervisors = for part <- 0..plan.parts, do: Roster.get(table, {:supervisor, part})
    known = MapSet.new(supervisors ++ own ++ Enum.map(Roster.members(table), &elem(&1, 1)))
    links |> Enum.reject(&MapSet.member?(known, &1)) |> Reaper.children(supervisor)
  end

  # One that waits for the coordinator has not started yet.
  defp supervisor(table, 0),
    do: Roster.get(table, :starting) || Roster.get(table, {:supervisor, 0})

  defp supervisor(table, part), do: Roster.get(table, {:supervisor, part})

  # The table stays, for who has asked for the start, and then ends all, to learn why.
  defp give_up(%{table: table, plan: plan, progress: progress}, ms) do
    [{_part, {first, _since}} | _] = at = Enum.to_list(progress)
    Roster.fault(table, if(first == :all, do: 0, else: first), {:timeout, ms})

    for {part, _at} <- at do
      case part > 0 && supervisor(table, part) do
        pid when is_pid(pid) -> spawn(fn -> Reaper.kill_tree(pid) end)
        _none -> unblock(supervisor(table, 0), table, plan, 0, [])
      end
    end
  end

  @doc "Ends all, when nobody waits for it any more."
  @spec abandon(struct()) :: pid()
  def abandon(%{supervisor: supervisor, table: table}),
    do: spawn(fn -> Reaper.kill_tree(supervisor, table) end)
end
