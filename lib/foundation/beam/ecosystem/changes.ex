defmodule Foundation.BEAM.Ecosystem.Changes do
  @moduledoc false

  # What follows from members that come and go: the token of a ring finds its next holder, and those who
  # have asked for it are told. The steward calls this, when it has written the change into the roster.
  #
  # Whoever subscribes writes its row first, and reads the roster then: a change is in what it reads, or
  # is told, or both.

  alias Foundation.BEAM.Ecosystem.{RingToken, Roster}
  alias Foundation.BEAM.Topology

  @type member :: {Topology.role(), pid()}

  @doc "A member is gone, `left`, or has come, `joined`; either may be nobody."
  @spec happened(Roster.table(), term(), [member()], [member()]) :: :ok
  def happened(table, id, left, joined) do
    heal(table, left)
    tell(table, {:members_changed, id, %{joined: joined, left: left}})
  end

  @doc "Sees to it that the token is with a member; after those ends nobody can tell where it was."
  @spec heal(Roster.table(), [member()] | :unknown) :: term()
  def heal(table, []), do: RingToken.heal(table, fn -> Roster.living(table) end)
  def heal(table, :unknown), do: RingToken.heal(table, fn -> Roster.living(table) end, :unknown)

  def heal(table, left) do
    for {_role, pid} <- left,
        do: RingToken.heal(table, fn -> Roster.living(table) end, pid)
  end

  @spec tell(Roster.table(), term()) :: :ok
  def tell(table, message), do: table |> subscribers() |> Enum.each(&send(&1, message))

  @doc "Who is told."
  @spec subscribers(Roster.table()) :: [pid()]
  def subscribers(table), do: :ets.select(table, [{{{:subscriber, :"$1"}}, [], [:"$1"]}])

  @spec subscribe(Roster.table(), pid()) :: boolean()
  def subscribe(table, pid), do: :ets.insert_new(table, {{:subscriber, pid}})

  @spec unsubscribe(Roster.table(), pid()) :: true
  def unsubscribe(table, pid), do: :ets.delete(table, {:subscriber, pid})
end
