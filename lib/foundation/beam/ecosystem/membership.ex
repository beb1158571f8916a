defmodule Foundation.BEAM.Ecosystem.Membership do
  @moduledoc false

  # Which member of which ecosystem the calling process is. A member keeps it in its dictionary, so that it
  # is looked for once: no other process takes its role while it lives, and nobody takes the id of an
  # ecosystem that has its table. Beside it stands the ecosystem of others that it has spoken with last.
  # Processes that are no members keep nothing.

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.BEAM.{Ecosystem, Topology}

  @doc "The role of the calling process, `nil` where it is no member, or none yet."
  @spec role(Roster.table()) :: Topology.role() | nil
  def role(table) do
    case Process.get(__MODULE__) do
      {role, {table_of_it, _, _}, _other} when table_of_it == table -> role
      {_role, _own, {other, _, _}} when other == table -> nil
      known -> look(table, known)
    end
  end

  @doc "The ecosystem of that id, if it is one of the two."
  @spec find(Ecosystem.id()) :: {:ok, {pid(), Roster.table()}} | :error
  def find(id) do
    case Process.get(__MODULE__) do
      {_role, {_, ^id, _} = own, _other} -> running(own)
      {_role, _own, {_, ^id, _} = other} -> running(other)
      _neither -> :error
    end
  end

  defp running({table, _id, supervisor}) do
    if :ets.info(table, :owner) == supervisor, do: {:ok, {supervisor, table}}, else: :error
  end

  # Whoever is not linked to one of the supervisors is no member: most of those that are none need not be
  # looked for among all.
  defp look(table, known) do
    {:links, links} = Process.info(self(), :links)

    if linked?(table, links, 0),
      do: among_all(table),
      else: stranger(table, known)
  end

  defp linked?(_table, [], _part), do: false

  defp linked?(table, links, part) do
    case Roster.get(table, {:supervisor, part}) do
      nil -> false
      pid -> pid in links or linked?(table, links, part + 1)
    end
  end

  # In its start it is linked already, and has no role yet.
  defp among_all(table) do
    with number when number != nil <- Roster.place(table, self()) do
      role = Roster.role(number)
      Process.put(__MODULE__, {role, about(table), nil})
      role
    end
  end

  # One that may still be linked, by whoever has started it, is asked anew.
  defp stranger(_table, nil), do: nil

  defp stranger(table, {role, own, _other}) do
    Process.put(__MODULE__, {role, own, about(table)})
    nil
  end

  defp about(table), do: {table, Roster.id(table), Roster.supervisor(table)}
end
