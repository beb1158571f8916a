defmodule Foundation.BEAM.Ecosystem.Heir do
  @moduledoc false

  # Inherits the tables of ecosystems whose top supervisor has ended, however it did: who a killed one has
  # left behind is in its table. Each goes on to a process of its own, `Orphans`, which ends who is
  # left, and the table with it. One that is killed in between leaves the table to this process again.
  #
  # It is not the steward who inherits: that may be killed together with its supervisor.

  use GenServer

  alias Foundation.BEAM.Ecosystem.{Config, Inheritance, Orphans, Roster}

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: Inheritance)

  @impl true
  def init(_arg) do
    for {id, table, top} <- Inheritance.all(), do: adopt(id, table, top)
    {:ok, nil}
  end

  # Those of a time when another was the heir. Supervisors may be busy: each is asked for itself.
  defp adopt(id, table, top) do
    if :ets.info(table, :owner) == :undefined do
      Inheritance.forget(id, table)
    else
      child = %{id: __MODULE__, start: {__MODULE__, :bequeath, []}, restart: :temporary}
      spawn(fn -> DynamicSupervisor.start_child(top, child) end)
    end
  end

  @doc "As a child that does not start: this runs in the top supervisor, who alone may say it."
  @spec bequeath(Roster.table(), Config.t()) :: :ignore
  def bequeath(table, _plan) do
    Inheritance.bequeath(table)
    :ignore
  end

  @impl true
  def handle_call(:handed_on, _from, state), do: {:reply, :ok, state}

  @impl true
  def handle_info({:"ETS-TRANSFER", table, top, _data}, state) do
    hand_on(table, top)
    {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp hand_on(table, top) do
    :ets.give_away(table, spawn(Orphans, :run, []), top)
  rescue
    # Killed before it had the table; or somebody has deleted that.
    ArgumentError -> if :ets.info(table, :owner) == self(), do: hand_on(table, top)
  end
end
