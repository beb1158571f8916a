defmodule Foundation.BEAM.Topology.Mesh do
  @moduledoc """
  Everybody is next to everybody else.

  Choose it where members find each other without the coordinator, and where its absence must not
  hold up the rest. What it costs: each member knows all others, and telling all is one member's work.

      iex> Foundation.BEAM.Topology.Mesh.neighbours([{:worker, 1}, {:worker, 2}, {:worker, 3}], {:worker, 1})
      [{:worker, 2}, {:worker, 3}]
  """

  @behaviour Foundation.BEAM.Topology

  @impl true
  def neighbours(members, role) do
    if role in members, do: List.delete(members, role), else: []
  end

  @impl true
  def route(members, from, to) do
    cond do
      from not in members or to not in members -> :error
      from == to -> {:ok, [from]}
      true -> {:ok, [from, to]}
    end
  end

  @impl true
  def next_hop(members, from, to) do
    if from != to and from in members and to in members, do: {:ok, to}, else: :error
  end

  @impl true
  def forward(members, origin, at), do: if(origin == at, do: neighbours(members, at), else: [])
end
