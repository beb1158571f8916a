defmodule Foundation.BEAM.Ecosystem.Watch do
  @moduledoc false

  # What the steward does about time. A supervisor waits for the `init` of a member as long as it
  # takes: where that is too long, the member is killed, and the supervisor goes on with a member that
  # has failed to start.

  alias Foundation.BEAM.Ecosystem.{Additions, Reaper, Revival, Roster}

  @doc "Begins to watch the start of an ecosystem."
  @spec start(struct()) :: struct()
  def start(state), do: schedule(state)

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
    Process.send_after(self(), :watch, max(1, div(state.plan.start_timeout, 4)))
    %{state | watching?: true}
  end

  @doc "Looks whether anything has gone on since the last time."
  @spec look(struct()) :: struct()
  def look(%{ready?: false} = state), do: starting(%{state | watching?: false})

  def look(state),
    do: %{state | watching?: false} |> added() |> restarting() |> restarts()

  defp starting(%{builder: nil} = state), do: state

  defp starting(%{table: table, plan: plan} = state) do
    now = System.monotonic_time()
    count = Roster.progress(table)
    {before, since} = state.progress
    state = if count == before, do: state, else: %{state | progress: {count, now}}

    cond do
      over?(now - state.begun, plan.startup_timeout) -> give_up(state, plan.startup_timeout)
      count == before and over?(now - since, plan.start_timeout) -> too_long(state)
      true -> :ok
    end

    schedule(state)
  end

  @doc "Whether a duration in native units is that many milliseconds, or more."
  @spec over?(integer(), pos_integer()) :: boolean()
  def over?(duration, ms), do: System.convert_time_unit(duration, :native, :millisecond) >= ms

  defp too_long(%{table: table, plan: plan}) do
    case missing(table, plan) do
      [] ->
        :ok

      [first | _] = missing ->
        Roster.fault(table, first, {:timeout, plan.start_timeout})

        missing
        |> Enum.map(&part(&1, plan))
        |> Enum.uniq()
        |> Enum.each(&unblock(supervisor(table, &1), table, plan, &1, []))
    end
  end

  # The next one of each supervisor.
  defp missing(table, plan) do
    if Roster.member(table, 0) do
      for part <- 1..plan.parts, number = next(table, plan, part), do: number
    else
      [0]
    end
  end

  defp next(table, plan, part) do
    numbers = Stream.iterate(part, &(&1 + plan.parts))

    numbers
    |> Stream.take_while(&(&1 <= plan.count))
    |> Enum.find(&(Roster.member(table, &1) == nil))
  end

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

  # Another has its place since long, or nobody, and nothing that was said of it can be on its way.
  defp forgotten?({pid, {number, _, _, _}}, %{table: table, plan: plan}, now) do
    case Roster.member(table, number) do
      {_, ^pid, _, _, _, _} -> false
      {_, _, begun, _, _, _} -> over?(now - begun, 2 * plan.start_timeout)
      nil -> true
    end
  end

  # A child that the roster does not know is in its `init`. Where there is none, `start_link/1` itself
  # keeps the supervisor, or it has nothing to do. In a process of its own: to look may take time.
  defp unblock(nil, _table, _plan, _part, _numbers), do: nil

  defp unblock(supervisor, table, plan, part, numbers) do
    spawn(fn ->
      case strangers(supervisor, table, plan) do
        [] ->
          # It may have begun to start another meanwhile.
          if Revival.run(supervisor, table, plan, part, numbers) == :busy and
               strangers(supervisor, table, plan) == [],
             do: Reaper.kill_tree(supervisor)

        strangers ->
          Enum.each(strangers, &Process.exit(&1, :kill))
      end
    end)
  end

  # First the children: who starts meanwhile is known by then.
  defp strangers(supervisor, table, plan) do
    children = Reaper.children(supervisor)
    own = [Roster.get(table, :steward), Roster.get(table, :ticker)]
    supervisors = for part <- 0..plan.parts, do: Roster.get(table, {:supervisor, part})
    known = MapSet.new(supervisors ++ own ++ Enum.map(Roster.members(table), &elem(&1, 1)))
    Enum.reject(children, &MapSet.member?(known, &1))
  end

  # One that waits for the coordinator has not started yet.
  defp supervisor(table, 0),
    do: Roster.get(table, :starting) || Roster.get(table, {:supervisor, 0})

  defp supervisor(table, part), do: Roster.get(table, {:supervisor, part})

  # The table stays, for who has asked for the start, and then ends all, to learn why.
  defp give_up(%{table: table, plan: plan}, ms) do
    missing = missing(table, plan)
    Roster.fault(table, List.first(missing) || 0, {:timeout, ms})

    for number <- missing do
      case part(number, plan) do
        0 -> unblock(supervisor(table, 0), table, plan, 0, [])
        part -> spawn(fn -> table |> Roster.get({:supervisor, part}) |> Reaper.kill_tree() end)
      end
    end
  end

  @doc "Ends all, when nobody waits for it any more."
  @spec abandon(struct()) :: pid()
  def abandon(%{supervisor: supervisor, table: table}),
    do: spawn(fn -> Reaper.kill_tree(supervisor, table) end)
end
