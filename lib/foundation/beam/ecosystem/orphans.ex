defmodule Foundation.BEAM.Ecosystem.Orphans do
  @moduledoc false

  # Ends what is left of an ecosystem whose top supervisor has ended: nobody, unless that was killed.
  #
  # Supervisors below it notice, and end their children by themselves. The coordinator, where it stood
  # below the top, and members of a supervisor that was killed as well are told by their links, which one
  # that traps exits need not heed; one that has not linked itself hears nothing at all. They are asked
  # here as a supervisor would ask them, and then killed.

  alias Foundation.BEAM.Ecosystem.{Inheritance, Reaper, Roster, Shutdown}

  @doc "Runs in the process that the table is given to, and ends with it."
  @spec run() :: :ok
  def run do
    receive do
      {:"ETS-TRANSFER", table, _heir, _data} ->
        plan = Roster.plan(table)
        supervisors(table, plan)
        rest(table, plan)
        Inheritance.forget(plan.id, table)
        :ets.delete(table)
        :ok
    end
  end

  # One that ends may be starting another just then: until there is none.
  defp supervisors(table, plan) do
    with [_ | _] = living <- Enum.filter(all_supervisors(table), &Process.alive?/1) do
      for left <- await(living, Shutdown.limit(plan)), do: Reaper.kill_tree(left)
      supervisors(table, plan)
    end
  end

  defp all_supervisors(table) do
    parts = for [pid] <- :ets.match(table, {{:supervisor, :_}, :"$1"}), do: pid
    Enum.reject([Roster.get(table, :starting) | parts], &is_nil/1)
  end

  defp rest(table, plan) do
    with [_ | _] = living <- Enum.filter(left(table), &Process.alive?/1) do
      Enum.each(living, &Process.exit(&1, :shutdown))
      kill(await(living, plan.shutdown_timeout))
      rest(table, plan)
    end
  end

  defp kill(pids) do
    Enum.each(pids, &Process.exit(&1, :kill))
    await(pids, :infinity)
  end

  # A member in its `init` is in no row yet. To look at all processes of the VM takes time, and is only
  # needed where the end was none that the steward has seen coming.
  defp left(table) do
    if Roster.get(table, :state) == :ended,
      do: Reaper.members(table),
      else: Enum.uniq(Reaper.members(table) ++ started_by(table))
  end

  defp started_by(table) do
    {_id, top, _started_at, _config} = Roster.about(table)
    supervisors = [top | all_supervisors(table)]
    for pid <- Process.list(), Reaper.parent(pid) in supervisors, do: pid
  end

  # Who has not ended by then.
  defp await(pids, timeout) do
    monitors = Map.new(pids, &{Process.monitor(&1), &1})
    timer = if timeout != :infinity, do: Process.send_after(self(), :late, timeout)
    late = receive_all(monitors)
    if timer, do: Process.cancel_timer(timer)

    receive do
      :late -> :ok
    after
      0 -> :ok
    end

    late
  end

  defp receive_all(monitors) when monitors == %{}, do: []

  defp receive_all(monitors) do
    receive do
      {:DOWN, monitor, :process, _pid, _reason} ->
        receive_all(Map.delete(monitors, monitor))

      :late ->
        for {monitor, pid} <- monitors do
          Process.demonitor(monitor, [:flush])
          pid
        end
    end
  end
end
