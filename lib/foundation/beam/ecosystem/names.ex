defmodule Foundation.BEAM.Ecosystem.Names do
  @moduledoc false

  # Ecosystems by their ids. What is found here is what `Inheritance` lists. The names in
  # `Foundation.ProcessRegistry` are for others, and see to it that an id is given once: but whoever likes may
  # take such a name, and all are gone when the registry is started anew, until `Heir` has had them
  # taken again.

  alias Foundation.BEAM.Ecosystem
  alias Foundation.BEAM.Ecosystem.{Inheritance, Roster}
  alias Foundation.ProcessRegistry

  @type found :: {:ok, {pid(), Roster.table()}} | :error

  @key :ecosystem_supervisor

  @doc "Gives the calling process the name of that ecosystem; `false` where another has it."
  @spec register(Ecosystem.id()) :: boolean()
  # Directly: an id has been checked, and a start is to cost little.
  def register(id) do
    name = {:production, {@key, id}}
    match?({:ok, _}, Registry.register(ProcessRegistry, name, %{}))
  rescue
    # The registry is not there, or is being started anew.
    ArgumentError -> false
  end

  @doc "Whoever has that name."
  @spec registered(Ecosystem.id()) :: pid() | nil
  def registered(id) do
    case ProcessRegistry.lookup(:production, {@key, id}) do
      {:ok, pid} -> pid
      :error -> nil
    end
  rescue
    ArgumentError -> nil
  end

  @doc "Whoever keeps others from that id: its ecosystem, or another process that has taken the name."
  @spec holder(Ecosystem.id()) :: pid() | nil
  def holder(id) do
    case whereis(id) do
      {:ok, {top, _table}} -> top
      :error -> registered(id)
    end
  end

  @spec whereis(Ecosystem.id()) :: found()
  defdelegate whereis(id), to: Inheritance, as: :find

  @doc "The table of a top supervisor."
  @spec of(pid()) :: found()
  def of(supervisor) when node(supervisor) == node() do
    # By its name where it has one: there may be many ecosystems.
    with {:ok, id} <- name(supervisor),
         {:ok, {^supervisor, _table}} = found <- whereis(id),
         do: found,
         else: (_ -> Inheritance.of(supervisor))
  end

  def of(_elsewhere), do: :error

  defp name(supervisor) do
    Enum.find_value(Registry.keys(ProcessRegistry, supervisor), :error, fn key ->
      with {:production, {@key, id}} <- key, do: {:ok, id}, else: (_other -> nil)
    end)
  rescue
    ArgumentError -> :error
  end

  @doc "Ids and top supervisors of all ecosystems of the node, in no order."
  @spec all() :: [{Ecosystem.id(), pid()}]
  def all, do: for({id, _table, top, _} <- Inheritance.living(), do: {id, top})
end
