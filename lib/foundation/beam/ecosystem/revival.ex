defmodule Foundation.BEAM.Ecosystem.Revival do
  @moduledoc false

  # Brings back members that nobody else brings back, which the steward finds out when they have been
  # down for too long while their supervisor had time: the process that was to start the workers of
  # a restarted supervisor is gone, or the supervisor has not heard of the end, as the
  # process was not linked to it.

  require Logger

  alias Foundation.BEAM.Ecosystem.{Living, Members, Roster, Workers}

  # Milliseconds in which a supervisor answers that does not start somebody just now.
  @patience 1_000

  @doc """
  Starts members of those numbers that are dead; `:busy` where the supervisor does not answer, as it waits
  for a `start_link/1`.
  """
  @spec run(pid(), Roster.table(), struct(), non_neg_integer(), [non_neg_integer()]) ::
          :ok | :busy
  def run(supervisor, table, plan, part, numbers) do
    case children(supervisor, plan) do
      {:ok, children} -> revive(children, numbers, {supervisor, table, plan, part})
      :busy -> :busy
      :gone -> :ok
    end
  catch
    # It has ended meanwhile.
    :exit, _reason -> :ok
  end

  defp children(supervisor, plan) do
    patience = min(@patience, plan.start_timeout)

    {:ok,
     for({_, child, _, _} <- GenServer.call(supervisor, :which_children, patience), do: child)}
  catch
    :exit, {:timeout, _call} -> :busy
    :exit, _gone -> :gone
  end

  defp revive(children, numbers, {supervisor, table, plan, part}) do
    # One that it tries to restart itself fails again and again; that is counted.
    for number <- numbers,
        :restarting not in children,
        {_, pid, _, _, _, module} <- [Roster.member(table, number)],
        not Living.living?(pid) do
      if pid in children, do: warn_once(table, module)
      bring_back(part, supervisor, table, plan, number, pid)
    end

    :ok
  end

  defp bring_back(0, supervisor, _table, %{nested?: true}, 0, _pid) do
    Supervisor.terminate_child(supervisor, :coordinator)
    Supervisor.restart_child(supervisor, :coordinator)
  end

  defp bring_back(0, supervisor, _table, plan, 0, pid) do
    DynamicSupervisor.terminate_child(supervisor, pid)
    {coordinator, _parts, _last} = Members.specs(plan)
    DynamicSupervisor.start_child(supervisor, coordinator)
  end

  defp bring_back(_part, supervisor, table, plan, number, pid) do
    DynamicSupervisor.terminate_child(supervisor, pid)
    Workers.restart(supervisor, table, plan, number)
  end

  defp warn_once(table, module) do
    if :ets.insert_new(table, {{:unlinked, module}, true}) do
      Logger.warning(
        "ecosystem #{inspect(Roster.id(table))}: the supervisor of a member of #{inspect(module)} has not " <>
          "heard of its end: start_link/1 has returned a process that it has not linked"
      )
    end
  end
end
