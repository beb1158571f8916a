defmodule Foundation.BEAM.Topology.Router do
  @moduledoc """
  Neighbours and ways by the name of a topology (`Foundation.BEAM.Topology` says what each is for).

      iex> alias Foundation.BEAM.Topology.Router
      iex> members = [:coordinator, {:worker, 1}, {:worker, 2}]
      iex> Router.route(:tree, members, {:worker, 1}, {:worker, 2})
      {:ok, [{:worker, 1}, :coordinator, {:worker, 2}]}
      iex> Router.route(:mesh, members, {:worker, 1}, {:worker, 2})
      {:ok, [{:worker, 1}, {:worker, 2}]}
      iex> Router.route(:ring, members, {:worker, 2}, {:worker, 1})
      {:ok, [{:worker, 2}, :coordinator, {:worker, 1}]}
  """

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.{Mesh, Ring, Tree}
  alias Foundation.{Error, Options}

  @modules %{tree: Tree, mesh: Mesh, ring: Ring}

  @doc """
  The topologies there are.

      iex> Foundation.BEAM.Topology.Router.names()
      [:tree, :mesh, :ring]
  """
  @spec names() :: [Topology.name()]
  def names, do: [:tree, :mesh, :ring]

  @doc """
  The members next to one.

      iex> members = [:coordinator, {:worker, 1}, {:worker, 2}, {:worker, 3}]
      iex> Foundation.BEAM.Topology.Router.neighbours(:tree, members, {:worker, 2})
      [:coordinator]
      iex> Foundation.BEAM.Topology.Router.neighbours(:mesh, members, {:worker, 2})
      [:coordinator, {:worker, 1}, {:worker, 3}]
      iex> Foundation.BEAM.Topology.Router.neighbours(:ring, members, {:worker, 2})
      [{:worker, 1}, {:worker, 3}]
  """
  @spec neighbours(Topology.name(), Topology.members(), Topology.role()) :: [Topology.role()]
  def neighbours(name, members, role), do: module!(name).neighbours(members, role)

  @doc """
  The way from one member to another, both in it.

  Error: `:no_route`.

      iex> Foundation.BEAM.Topology.Router.route(:ring, [:coordinator, {:worker, 3}], :coordinator, {:worker, 3})
      {:ok, [:coordinator, {:worker, 3}]}
      iex> {:error, error} = Foundation.BEAM.Topology.Router.route(:tree, [{:worker, 1}, {:worker, 2}], {:worker, 1}, {:worker, 2})
      iex> error.error_type
      :no_route
  """
  @spec route(Topology.name(), Topology.members(), Topology.role(), Topology.role()) ::
          {:ok, [Topology.role(), ...]} | {:error, Error.t()}
  def route(name, members, from, to) do
    name |> module!() |> apply(:route, [members, from, to]) |> found(name, from, to)
  end

  @doc """
  Where a message goes next on its way.

  Error: `:no_route`, also when it is there already.

      iex> Foundation.BEAM.Topology.Router.next_hop(:ring, [:coordinator, {:worker, 1}, {:worker, 2}], {:worker, 1}, :coordinator)
      {:ok, {:worker, 2}}
  """
  @spec next_hop(Topology.name(), Topology.members(), Topology.role(), Topology.role()) ::
          {:ok, Topology.role()} | {:error, Error.t()}
  def next_hop(name, members, from, to) do
    name |> module!() |> apply(:next_hop, [members, from, to]) |> found(name, from, to)
  end

  @doc """
  To whom member `at` passes on what member `origin` tells all.

      iex> members = [:coordinator, {:worker, 1}, {:worker, 2}]
      iex> Foundation.BEAM.Topology.Router.forward(:tree, members, {:worker, 1}, {:worker, 1})
      [:coordinator]
      iex> Foundation.BEAM.Topology.Router.forward(:tree, members, {:worker, 1}, :coordinator)
      [{:worker, 2}]
      iex> Foundation.BEAM.Topology.Router.forward(:ring, members, {:worker, 1}, :coordinator)
      []
  """
  @spec forward(Topology.name(), Topology.members(), Topology.role(), Topology.role()) :: [
          Topology.role()
        ]
  def forward(name, members, origin, at), do: module!(name).forward(members, origin, at)

  defp found(:error, name, from, to), do: no_route(name, from, to)
  defp found(found, _name, _from, _to), do: found

  @doc false
  @spec no_route(Topology.name(), Topology.role(), Topology.role()) :: {:error, Error.t()}
  def no_route(name, from, to) do
    {:error,
     Error.new(:no_route, "no way leads from the one member to the other", %{
       topology: name,
       from: from,
       to: to
     })}
  end

  defp module!(name) when is_map_key(@modules, name), do: Map.fetch!(@modules, name)

  defp module!(name) do
    raise ArgumentError,
          "expected a topology (:tree, :mesh or :ring), got: #{Options.given(name)}"
  end
end
