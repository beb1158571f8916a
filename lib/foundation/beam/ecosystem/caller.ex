defmodule Foundation.BEAM.Ecosystem.Caller do
  @moduledoc false

  # Which member of which ecosystem the calling process is. A member keeps it in its dictionary, so that it
  # is looked for once: no other process takes its role while it lives, and nobody takes the id of an
  # ecosystem that has its table. Beside it, and by processes that are no members as well, the ecosystem is
  # kept that was spoken with last and is not the caller's: one, so that nothing adds up.

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.BEAM.{Ecosystem, Topology}

  # Above so many links, to compare them costs more than what it saves.
  @links 8

  @doc "The role of the calling process, `nil` where it is no member, or none yet."
  @spec role(Roster.table()) :: Topology.role() | nil
  def role(table) do
    case Process.get(__MODULE__) do
      {{own, _, _}, role, _other, _links} when own == table -> role
      {_own, _role, {other, _, _}, links} when other == table -> stranger(table, links)
      _unknown -> look(table, links())
    end
  end

  @doc "The ecosystem of that id, if it is one of the two."
  @spec find(Ecosystem.id()) :: {:ok, {pid(), Roster.table()}} | :error
  def find(id) do
    case Process.get(__MODULE__) do
      {{_, ^id, _} = own, _role, _other, _links} -> running(own)
      {_own, _role, {_, ^id, _} = other, _links} -> running(other)
      _neither -> :error
    end
  end

  defp running({table, _id, supervisor}) do
    if :ets.info(table, :owner) == supervisor, do: {:ok, {supervisor, table}}, else: :error
  end

  defp links do
    {:links, links} = Process.info(self(), :links)
    links
  end

  # Who was none is none, unless it has been linked to somebody since.
  defp stranger(table, before) do
    links = links()
    if links == before, do: nil, else: look(table, links)
  end

  # Whoever is not linked to one of the supervisors is no member: most of those that are none need not be
  # looked for among all.
  defp look(table, links) do
    if linked?(table, links), do: among_all(table), else: keep_other(table, links)
  end

  # That of the coordinator may still be starting it; parts start beside each other.
  defp linked?(table, links) do
    Roster.get(table, :starting) in links or Roster.get(table, {:supervisor, 0}) in links or
      Enum.any?(1..Roster.plan(table).parts, &(Roster.get(table, {:supervisor, &1}) in links))
  end

  # In its start it is linked already, and has no role yet.
  defp among_all(table) do
    with number when number != nil <- Roster.place(table, self()) do
      role = Roster.role(number)
      Process.put(__MODULE__, {about(table), role, nil, []})
      role
    end
  end

  defp keep_other(table, links) do
    if Enum.count_until(links, @links + 1) <= @links do
      {own, role, _other, _links} = Process.get(__MODULE__, {nil, nil, nil, []})
      Process.put(__MODULE__, {own, role, about(table), links})
    end

    nil
  end

  defp about(table), do: {table, Roster.id(table), Roster.supervisor(table)}
end
