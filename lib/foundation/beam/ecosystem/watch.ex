defmodule Foundation.BEAM.Ecosystem.Watch do
  @moduledoc false

  # What the steward does about time. A supervisor waits for the `init` of a member as long as it
  # takes: where that is too long, the member is killed, and the supervisor goes on with a member that
  # has failed to start.

  alias Foundation.BEAM.Ecosystem.{Reaper, Roster}

  @doc "Begins to watch the start of an ecosystem."
  @spec start(struct()) :: struct()
  def start(state), do: schedule(state)

  @doc "Begins to watch restarts, where there is somebody to come back."
  @spec restarts(struct()) :: struct()
  def restarts(%{pending: pending} = state) when pending == %{}, do: state
  def restarts(state), do: schedule(state)

  defp schedule(%{watching?: true} = state), do: state

  defp schedule(state) do
    Process.send_after(self(), :watch, max(1, div(state.plan.start_timeout, 4)))
    %{state | watching?: true}
  end

  @doc "Looks whether anything has gone on since the last time."
  @spec look(struct()) :: struct()
  def look(%{ready?: false} = state), do: starting(%{state | watching?: false})
  def look(state), do: restarting(%{state | watching?: false})

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

  defp over?(duration, ms), do: System.convert_time_unit(duration, :native, :millisecond) >= ms

  defp too_long(%{table: table, plan: plan}) do
    case missing(table, plan) do
      [] ->
        :ok

      [first | _] = missing ->
        Roster.fault(table, first, {:timeout, plan.start_timeout})

        missing
        |> Enum.map(&part(&1, plan))
        |> Enum.uniq()
        |> Enum.each(&kill_starting(table, &1))
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

  defp restarting(%{pending: pending} = state) when pending == %{}, do: state

  defp restarting(%{table: table, plan: plan} = state) do
    oldest = state.pending |> Enum.map(fn {_pid, {_, _, _, since}} -> since end) |> Enum.min()
    since = max(oldest, elem(state.progress, 1))

    if over?(System.monotonic_time() - since, plan.start_timeout) do
      numbers = for {_pid, {number, _, _, _}} <- state.pending, do: part(number, plan)
      numbers |> Enum.uniq() |> Enum.each(&kill_starting(table, &1))
      schedule(%{state | progress: {0, System.monotonic_time()}})
    else
      schedule(state)
    end
  end

  # A child that the roster does not know is in its `init`. Where there is none, `start_link/1` itself
  # keeps the supervisor. Both in a process of their own: to look at a process may take time.
  defp kill_starting(table, part) do
    spawn(fn ->
      supervisor = supervisor(table, part)

      own = [Roster.get(table, :steward), Roster.get(table, :ticker)]
      known = MapSet.new(own ++ Enum.map(Roster.members(table), &elem(&1, 1)))

      supervisors =
        for part <- 0..System.schedulers_online(), do: Roster.get(table, {:supervisor, part})

      case Reaper.children(supervisor) -- supervisors do
        children when children != [] ->
          strangers = Enum.reject(children, &MapSet.member?(known, &1))
          if strangers == [], do: Reaper.kill_tree(supervisor)
          Enum.each(strangers, &Process.exit(&1, :kill))

        [] ->
          Reaper.kill_tree(supervisor)
      end
    end)
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
        0 -> kill_starting(table, 0)
        part -> spawn(fn -> table |> Roster.get({:supervisor, part}) |> Reaper.kill_tree() end)
      end
    end
  end

  @doc "Ends all, when nobody waits for it any more."
  @spec abandon(struct()) :: pid()
  def abandon(%{supervisor: supervisor, table: table}),
    do: spawn(fn -> Reaper.kill_tree(supervisor, table) end)
end
