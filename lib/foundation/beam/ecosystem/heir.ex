defmodule Foundation.BEAM.Ecosystem.Heir do
  @moduledoc false

  # Inherits the tables of ecosystems whose top supervisor has ended, however it did: who a killed one has
  # left behind is in its table. Each goes on to a process of its own, `Orphans`, which ends who is
  # left, and the table with it. One that is killed in between leaves the table to this process again.
  # Where this process was killed as well, the list of `Inheritance` says whom the next is to look after.
  #
  # It also has top supervisors take their names again when the registry has lost them.
  #
  # It is not the steward who inherits: that may be killed together with its supervisor.

  use GenServer

  alias Foundation.BEAM.Ecosystem.{Config, Inheritance, Names, Orphans, Roster}
  alias Foundation.ProcessRegistry

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: Inheritance)

  @doc "Lists ecosystems of trees of somebody's own that are from before the application was started anew."
  @spec outlived() :: :ok
  # Before anybody can start one: who is refused has a table as well.
  def outlived do
    tables = for table <- :ets.all(), :ets.info(table, :name) == Roster, do: table
    Enum.each(tables, &list/1)
  end

  defp list(table) do
    {id, top, _started_at, _config} = Roster.about(table)
    timeout = Roster.plan(table).shutdown_timeout
    if :ets.info(table, :owner) == top, do: Inheritance.list(id, table, top, timeout)
  rescue
    # It has ended meanwhile, or is no ecosystem's.
    _error in [ArgumentError, MatchError] -> false
  end

  # The state is the processes of the registry, each with a monitor.
  @impl true
  def init(_arg) do
    {:ok, registry([]), {:continue, :adopt}}
  end

  # Those of a time when another was the heir, or the registry. Supervisors may be busy: each is asked for
  # itself.
  @impl true
  def handle_continue(:adopt, state) do
    heir = self()
    for row <- Inheritance.all(), do: spawn(fn -> adopt(row, heir) end)
    {:noreply, state}
  end

  defp adopt({_id, table, top, _timeout} = row, heir) do
    case :ets.info(table, :owner) do
      # With who was killed while there was no heir.
      :undefined ->
        Orphans.lost(row)

      ^heir ->
        :ok

      ^top ->
        if asked(row) == :ended, do: adopt(row, heir)

      # It may be killed before it comes to this.
      orphans ->
        send(orphans, {:heir, heir})
        ended(orphans)
        adopt(row, heir)
    end
  end

  defp asked({id, _table, top, _timeout} = row) do
    child = %{id: __MODULE__, start: {__MODULE__, :bequeath, []}, restart: :temporary}
    DynamicSupervisor.start_child(top, child)

    # One that had found the name free is about to end.
    with pid when pid not in [nil, top] <- Names.registered(id) do
      for ended <- [pid, top], do: Process.monitor(ended)
      receive(do: ({:DOWN, _monitor, :process, _pid, _reason} -> asked(row)))
    end
  catch
    :exit, _it_has_ended -> ended(top)
  end

  defp ended(pid) do
    monitor = Process.monitor(pid)
    receive do: ({:DOWN, ^monitor, :process, ^pid, _reason} -> :ended)
  end

  @doc "As a child that does not start: this runs in the top supervisor, who alone may say it."
  @spec bequeath(Roster.table(), Config.t()) :: :ignore
  def bequeath(table, plan) do
    Inheritance.bequeath(table)
    Names.register(plan.id)
    :ignore
  end

  # All processes of the registry are started anew when one ends, and what they knew is gone.
  defp registry(known) do
    pids = for {_, pid, _, _} <- Supervisor.which_children(ProcessRegistry), is_pid(pid), do: pid
    for pid <- pids -- known, do: :erlang.monitor(:process, pid, tag: :registry)
    pids
  catch
    :exit, _it_is_started_anew_itself ->
      Process.send_after(self(), {:registry, nil, :process, nil, nil}, 10)
      known
  end

  @impl true
  def handle_call(:handed_on, _from, state), do: {:reply, :ok, state}

  @impl true
  def handle_info({:"ETS-TRANSFER", table, top, _data}, state) do
    hand_on(table, top)
    {:noreply, state}
  end

  def handle_info({:registry, _monitor, :process, pid, _reason}, state) do
    {:noreply, registry(List.delete(state, pid)), {:continue, :adopt}}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp hand_on(table, top) do
    :ets.give_away(table, spawn(Orphans, :run, []), top)
  rescue
    # Killed before it had the table; or somebody has deleted that.
    ArgumentError ->
      if :ets.info(table, :owner) == self(), do: hand_on(table, top)

    # No room for another process: there is when these have ended.
    SystemLimitError ->
      Process.send_after(self(), {:"ETS-TRANSFER", table, top, nil}, 10)
  end
end
