defmodule Foundation.BEAM.Ecosystem.Arrangement do
  @moduledoc false

  # The topology of an ecosystem at run time: changing it, the token of a ring, and who is told of members.

  alias Foundation.BEAM.Ecosystem.{Changes, Events, RingToken, Roster, Routes, Steward}
  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Token
  alias Foundation.Error

  @doc "Changes the topology; a token of the ring before is worth nothing then."
  @spec set(Roster.table(), Topology.name()) :: :ok
  def set(table, name) do
    previous = Roster.topology(table)

    if name != previous do
      Roster.put(table, :topology, name)
      if name != :ring, do: RingToken.stop(table)
      id = Roster.id(table)
      Changes.tell(table, {:topology_changed, id, name})
      Events.topology_changed(id, name, previous)
    end

    :ok
  end

  @doc "Makes the token of a ring and hands it to that role, or to the first member."
  @spec start_token(Roster.table(), Topology.role() | nil) ::
          {:ok, Token.t()} | {:error, Error.t()}
  def start_token(table, role) do
    with :ok <- ring(table),
         {:ok, role} <- if(role, do: Routes.role(table, role), else: {:ok, nil}) do
      result = RingToken.start(table, Changes.members(table), role)
      # Whoever has changed the topology meanwhile may have seen no token yet.
      with {:error, _no_ring} = error <- ring(table) do
        RingToken.stop(table)
        error
      else
        :ok -> told(result, table)
      end
    end
  end

  @spec pass_token(Roster.table(), Token.t()) :: {:ok, Token.t()} | {:error, Error.t()}
  def pass_token(table, token) do
    with :ok <- ring(table),
         do: table |> RingToken.pass(token, Changes.members(table)) |> told(table)
  end

  defp told({:ok, token}, _table), do: {:ok, token}

  defp told({:error, :exists}, table),
    do: error(table, :already_exists, "the ring has its token already")

  defp told({:error, :stale}, table),
    do: error(table, :stale_token, "that token is not the current one")

  defp told(:error, table), do: error(table, :no_token, "there is no token, or nobody to hold it")

  defp ring(table) do
    case Roster.topology(table) do
      :ring ->
        :ok

      other ->
        error(table, :not_a_ring, "the topology is #{inspect(other)}: only rings have a token")
    end
  end

  defp error(table, type, text),
    do: {:error, Error.new(type, text, %{ecosystem: Roster.id(table)})}

  @doc "Has the calling process told of changes; the members there are now."
  @spec subscribe(Roster.table()) :: {:ok, [Changes.member()]}
  def subscribe(table) do
    # The row is for a steward that comes after this one. A second time, it is known already.
    if Changes.subscribe(table, self()), do: Steward.subscribed(table, self())
    {:ok, Roster.living(table)}
  end

  @spec unsubscribe(Roster.table()) :: :ok
  def unsubscribe(table) do
    Changes.unsubscribe(table, self())
    Steward.unsubscribed(table, self())
  end
end
