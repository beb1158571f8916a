defmodule Foundation.BEAM.Topology.Ring do
  @moduledoc """
  Members in a circle: each passes on to its successor, the last one to the first.

  Messages go one way. Between two processes they keep their order, so what one member sends after
  another thing arrives after it everywhere on the ring, as long as each passes on in the order in
  which it received. With a token (`Foundation.BEAM.Topology.Token`), which travels the same way,
  everybody sees what all have sent in one order.

  A member that is gone is closed over: its predecessor's successor is the one behind it. So the
  functions also answer for a role that is no member: who would come after it.

      iex> alias Foundation.BEAM.Topology.Ring
      iex> Ring.successor([:coordinator, {:worker, 1}, {:worker, 2}], {:worker, 2})
      {:ok, :coordinator}
      iex> Ring.successor([:coordinator, {:worker, 2}], {:worker, 1})
      {:ok, {:worker, 2}}
  """

  alias Foundation.BEAM.Topology

  @behaviour Topology

  @doc """
  The member after a role, the first one after the last; `:error` where there is no other.

      iex> Foundation.BEAM.Topology.Ring.successor([:coordinator], :coordinator)
      :error
  """
  @spec successor(Topology.members(), Topology.role()) :: {:ok, Topology.role()} | :error
  def successor(members, role) do
    case Enum.find(members, &(&1 > role)) || List.first(members) do
      other when other in [nil, role] -> :error
      next -> {:ok, next}
    end
  end

  @doc """
  The member before a role, the last one before the first; `:error` where there is no other.

      iex> Foundation.BEAM.Topology.Ring.predecessor([:coordinator, {:worker, 1}], :coordinator)
      {:ok, {:worker, 1}}
  """
  @spec predecessor(Topology.members(), Topology.role()) :: {:ok, Topology.role()} | :error
  def predecessor(members, role) do
    case List.last(Enum.take_while(members, &(&1 < role))) || List.last(members) do
      other when other in [nil, role] -> :error
      previous -> {:ok, previous}
    end
  end

  @impl true
  def neighbours(members, role) do
    with true <- role in members,
         {:ok, previous} <- predecessor(members, role),
         {:ok, next} <- successor(members, role) do
      if previous == next, do: [next], else: [previous, next]
    else
      _alone -> []
    end
  end

  @impl true
  def route(members, from, to) do
    if from in members and to in members do
      {before, from_on} = Enum.split_while(members, &(&1 != from))
      {between, [^to | _rest]} = Enum.split_while(from_on ++ before, &(&1 != to))
      {:ok, between ++ [to]}
    else
      :error
    end
  end

  @impl true
  def next_hop(members, from, to) do
    if from != to and from in members and to in members,
      do: successor(members, from),
      else: :error
  end

  @impl true
  def forward(members, origin, at) do
    with true <- at in members,
         {:ok, next} <- successor(members, at),
         false <- past?(origin, at, next) do
      [next]
    else
      _end_of_the_round -> []
    end
  end

  @doc """
  Whether the step from one place to the next reaches or passes over a third one, which may be gone by
  then: what has gone round has come back to where it began. Places are roles, or numbers in their order.

      iex> alias Foundation.BEAM.Topology.Ring
      iex> {Ring.past?({:worker, 2}, {:worker, 1}, {:worker, 3}), Ring.past?({:worker, 2}, {:worker, 3}, :coordinator)}
      {true, false}
  """
  @spec past?(place, at :: place, next :: place) :: boolean()
        when place: Topology.role() | non_neg_integer()
  def past?(origin, at, next) when at < next, do: at < origin and origin <= next
  def past?(origin, at, next), do: origin > at or origin <= next
end
