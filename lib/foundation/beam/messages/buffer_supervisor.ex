defmodule Foundation.BEAM.Messages.BufferSupervisor do
  @moduledoc false

  # The buffers and the registry that finds the one of a destination. A registry that has lost its
  # names could let two buffers serve one destination: the buffers end with it.

  use Supervisor

  alias Foundation.BEAM.Messages.Destination

  @registry Module.concat(__MODULE__, Registry)
  @buffers Module.concat(__MODULE__, Buffers)

  @spec start_link(term()) :: Supervisor.on_start()
  def start_link(_arg), do: Supervisor.start_link(__MODULE__, [], name: __MODULE__)

  @impl true
  def init([]) do
    children = [{Registry, keys: :unique, name: @registry}, {DynamicSupervisor, name: @buffers}]
    Supervisor.init(children, strategy: :rest_for_one)
  end

  @doc "The name of a target's buffer."
  @spec name(Destination.target()) :: {:via, module(), term()}
  def name(target), do: {:via, Registry, {@registry, target}}

  @doc "The target's buffer, if it has one; `:not_started` where there is no registry."
  @spec whereis(Destination.target()) :: pid() | nil | :not_started
  def whereis(target) do
    case Registry.lookup(@registry, target) do
      # The registry may not have heard yet that a buffer has ended: that one delays nobody.
      [{buffer, _}] -> if Process.alive?(buffer), do: buffer
      [] -> nil
    end
  rescue
    ArgumentError -> :not_started
  end

  @doc """
  The target's buffer, started if need be: two callers at once get the same one. `:not_started` while
  the application is not running, or this supervisor restarts.
  """
  @spec ensure(Destination.target(), Supervisor.child_spec() | {module(), term()}) ::
          pid() | :not_started
  def ensure(target, child), do: whereis(target) || start(child)

  defp start(child) do
    case DynamicSupervisor.start_child(@buffers, child) do
      {:ok, buffer} -> buffer
      {:error, {:already_started, buffer}} -> buffer
      # A buffer fails to start only where the registry is gone.
      {:error, _} -> :not_started
    end
  catch
    :exit, _no_supervisor -> :not_started
  end
end
