defmodule Foundation.BEAM.Ecosystem.Orphans do
  @moduledoc false

  # Ends what is left of an ecosystem whose top supervisor has ended: nobody, unless that was killed.
  #
  # Supervisors below it notice, and end their children by themselves. The coordinator, where it stood
  # below the top, and members of a supervisor that was killed as well are told by their links, which one
  # that traps exits need not heed; one that has not linked itself hears nothing at all. They are asked
  # here as a supervisor would ask them, and then killed.

  alias Foundation.BEAM.Ecosystem.{
    Inheritance,
    Living,
    Members,
    Reaper,
    Roster,
    Shutdown,
    Workers
  }

  @doc "Runs in the process that the table is given to, and ends with it."
  @spec run() :: :ok
  def run do
    receive do
      {:"ETS-TRANSFER", table, _heir, _data} ->
        Process.put(__MODULE__, table)
        plan = Roster.plan(table)
        supervisors(table, plan.shutdown_timeout, &all_supervisors/1)
        rest(table, plan.shutdown_timeout, &left/1)
        Inheritance.forget(plan.id, table)
        :ets.delete(table)
        :ok
    end
  end

  @doc "Returns when nobody is left of ecosystems that had the id and whose top supervisor has ended."
  @spec await(Inheritance.id()) :: :ok
  def await(id) do
    for {_id, table, _top, _timeout} = row <- Inheritance.ended(id) do
      Inheritance.gone(table)
      lost(row)
    end

    :ok
  end

  @doc """
  Ends who is left of an ecosystem that is on the list still, but whose table is gone with who had it: by
  what the VM knows. Members of a supervisor that was killed as well are not found any more, if they have not ended
  with it.
  """
  @spec lost(Inheritance.row()) :: :ok
  def lost({id, table, top, timeout}) do
    if Inheritance.listed?(id, table) do
      # What is sent to it stays there.
      {pid, monitor} =
        spawn_monitor(fn ->
          supervisors(top, timeout, &supervisors_below/1)
          rest(top, timeout, &started_by([&1]))
          Inheritance.forget(id, table)
        end)

      receive do: ({:DOWN, ^monitor, :process, ^pid, _reason} -> :ok)
    end

    :ok
  end

  # One that ends may be starting another just then: until there is none.
  defp supervisors(of, timeout, list) do
    with [_ | _] = living <- Living.of(list.(of)) do
      for left <- await(living, Shutdown.limit(%{shutdown_timeout: timeout})),
          do: Reaper.kill_tree(left)

      supervisors(of, timeout, list)
    end
  end

  defp all_supervisors(table) do
    parts = for [pid] <- :ets.match(table, {{:supervisor, :_}, :"$1"}), do: pid
    Enum.reject([Roster.get(table, :starting) | parts], &is_nil/1)
  end

  # Another of the user's may be a coordinator.
  defp supervisors_below(top) do
    for pid <- started_by([top]),
        {:supervisor, module, 1} <- [:proc_lib.translate_initial_call(pid)],
        module in [Members, Workers],
        do: pid
  end

  defp rest(of, timeout, list) do
    with [_ | _] = living <- Living.of(list.(of)) do
      Enum.each(living, &Process.exit(&1, :shutdown))
      kill(await(living, timeout))
      rest(of, timeout, list)
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
      else: Enum.uniq(Reaper.members(table) ++ started_by(above(table)))
  end

  defp above(table), do: [Roster.supervisor(table) | all_supervisors(table)]

  defp started_by(supervisors),
    do: for(pid <- Process.list(), Reaper.parent(pid) in supervisors, do: pid)

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

      # The one before was killed.
      {:heir, heir} ->
        :ets.setopts(Process.get(__MODULE__), {:heir, heir, nil})
        receive_all(monitors)

      :late ->
        for {monitor, pid} <- monitors do
          Process.demonitor(monitor, [:flush])
          pid
        end
    end
  end
end
