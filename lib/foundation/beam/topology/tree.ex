defmodule Foundation.BEAM.Topology.Tree do
  @moduledoc """
  The coordinator at the root, workers as its leaves: what workers have for each other goes by the
  coordinator.

  Choose it where one process knows who does what. While the coordinator is gone there are no routes.

      iex> Foundation.BEAM.Topology.Tree.route([{:worker, 1}, {:worker, 2}], {:worker, 1}, {:worker, 2})
      :error
  """

  @behaviour Foundation.BEAM.Topology

  @impl true
  def neighbours([:coordinator | workers], :coordinator), do: workers

  def neighbours([:coordinator | workers], role),
    do: if(role in workers, do: [:coordinator], else: [])

  def neighbours(_without_coordinator, _role), do: []

  @impl true
  def route(members, from, to) do
    cond do
      from not in members or to not in members -> :error
      from == to -> {:ok, [from]}
      :coordinator in [from, to] -> {:ok, [from, to]}
      hd(members) == :coordinator -> {:ok, [from, :coordinator, to]}
      true -> :error
    end
  end

  @impl true
  def next_hop(members, from, to) do
    case route(members, from, to) do
      {:ok, [_from, next | _rest]} -> {:ok, next}
      _nowhere -> :error
    end
  end

  @impl true
  def forward(members, origin, at) when origin == at, do: neighbours(members, at)

  # Also of one that is gone by then.
  def forward([:coordinator | workers], origin, :coordinator), do: List.delete(workers, origin)

  def forward(_members, _origin, _leaf), do: []
end
