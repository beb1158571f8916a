defmodule Foundation.BEAM.Ecosystem.Arrangement do
  @moduledoc false

  # The topology of an ecosystem at run time: changing it, the token of a ring, and who is told of members.
  #
  # The topology is the row `{:topology, name, change, told}`: `change` counts, and the token of a ring belongs
  # to it (`RingToken`), so that to change the topology is one step. The steward alone tells of it,
  # `told` says how far (`Changes.topology/1`): what it has told last is what it is.
  #
  # These may be called anywhere, also in an `init` that the start waits for, and in the steward, by handlers of
  # its events: nobody waits for it.

  alias Foundation.BEAM.Ecosystem.{
    Apart,
    Caller,
    Changes,
    Events,
    RingToken,
    Roster,
    Routes,
    Steward,
    Tell
  }

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Token
  alias Foundation.Error

  @doc "Changes the topology; a token of the ring before is worth nothing then."
  @spec set(Roster.table(), Topology.name()) :: :ok
  def set(table, name) do
    # A caller that is killed when it is changed does not keep that from those who are to be told.
    with {:changed, previous} <- Apart.run(fn -> changed(table, name) end),
         do: Events.topology_changed(Roster.id(table), name, previous)

    :ok
  end

  defp changed(table, name) do
    case :ets.lookup(table, :topology) do
      [{:topology, ^name, _change, _told}] ->
        :same

      [{:topology, previous, change, _told}] ->
        new = {{:topology, name, change + 1, :"$1"}}
        spec = [{{:topology, previous, change, :"$1"}, [], [new]}]

        if :ets.select_replace(table, spec) == 1 do
          Tell.steward(table, :topology)
          {:changed, previous}
        else
          changed(table, name)
        end
    end
  end

  @doc "Makes the token of a ring and hands it to that role, or to the first member."
  @spec start_token(Roster.table(), Topology.role() | nil) ::
          {:ok, Token.t()} | {:error, Error.t()}
  def start_token(table, role) do
    started =
      with {:ok, _ring} <- RingToken.ring(table),
           {:ok, role} <- if(role == nil, do: {:ok, nil}, else: Routes.role(table, role)),
           do: handed(table, fn -> RingToken.start(table, Changes.members(table), role) end)

    told(started, table)
  end

  @spec pass_token(Roster.table(), Token.t()) :: {:ok, Token.t()} | {:error, Error.t()}
  def pass_token(table, token) do
    passed =
      with {:ok, _ring} <- RingToken.ring(table),
           do: handed(table, fn -> RingToken.pass(table, token, Changes.members(table)) end)

    told(passed, table)
  end

  # Of a member's end the steward hears, and sees to what it was about to hand over; not of others' ends, and
  # of no member's while they start.
  defp handed(table, fun) do
    if Roster.get(table, :state) == :ready and Caller.role(table) != nil,
      do: fun.(),
      else: Apart.run(fun)
  end

  defp told({:error, :no_ring}, table),
    do: error(table, :not_a_ring, "it is no ring, and only rings have a token")

  defp told({:error, :exists}, table),
    do: error(table, :already_exists, "the ring has its token already")

  defp told({:error, :stale}, table),
    do: error(table, :stale_token, "that token is not the current one")

  defp told(:error, table), do: error(table, :no_token, "there is no token, or nobody to hold it")
  defp told(token_or_error, _table), do: token_or_error

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
