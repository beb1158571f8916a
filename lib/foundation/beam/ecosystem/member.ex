defmodule Foundation.BEAM.Ecosystem.Member do
  @moduledoc false

  # Starts members. The functions run in the supervisor that the member stands under, at the start and
  # at each restart: what they need comes with the context, which that supervisor holds once for all its
  # children, and a worker adds no more to it than its number.

  alias Foundation.BEAM.Ecosystem.{Config, Roster}
  alias Foundation.Options

  @enforce_keys [:table, :id, :worker]
  defstruct [:table, :id, :worker]

  @type t :: %__MODULE__{}

  @doc "What starts of workers need."
  @spec new(Roster.table(), Config.t()) :: t()
  def new(table, plan),
    do: %__MODULE__{table: table, id: plan.id, worker: plan.worker}

  @spec start_coordinator(Roster.table(), Config.t()) :: Supervisor.on_start_child()
  def start_coordinator(table, %{coordinator: {module, opts}} = plan) do
    begun = System.monotonic_time()

    [ecosystem_id: plan.id, role: :coordinator]
    |> start_link(module, opts)
    |> started(table, 0, module, begun)
  end

  @doc "A worker of the ecosystem's own module."
  @spec start_worker(t(), pos_integer()) :: DynamicSupervisor.on_start_child()
  def start_worker(%{worker: {module, opts}} = context, number),
    do: start_worker(context, number, module, opts)

  @doc "A worker that was added with a module and options of its own."
  @spec start_worker(t(), pos_integer(), module(), keyword()) ::
          DynamicSupervisor.on_start_child()
  def start_worker(%{table: table, id: id}, number, module, opts) do
    begun = System.monotonic_time()
    coordinator = Roster.coordinator(table)
    role = {:worker, number}

    result =
      [ecosystem_id: id, role: role, worker_id: number, coordinator: coordinator]
      |> start_link(module, opts)
      |> started(table, number, module, begun)

    with {:ok, pid} <- result, do: tell_if_changed(table, pid, coordinator)
    result
  end

  defp start_link(own, module, []), do: module.start_link(own)
  defp start_link(own, module, opts), do: module.start_link(own ++ opts)

  defp started({:ok, pid} = started, table, number, module, begun) when is_pid(pid) do
    with {:again, old} <- Roster.started(table, number, pid, module, begun),
         steward when is_pid(steward) <- Roster.get(table, :steward) do
      send(steward, {:restarted, number, old, pid, begun, System.monotonic_time()})
    end

    started
  end

  defp started({:ok, pid, _more}, table, number, module, begun),
    do: started({:ok, pid}, table, number, module, begun)

  defp started({:error, _reason} = error, _table, _number, _module, _begun), do: error
  defp started(:ignore, _table, _number, _module, _begun), do: {:error, :ignore}

  defp started(other, _table, _number, module, _begun),
    do: {:error, {:bad_return, {module, :start_link, Options.given(other)}}}

  # A coordinator that has come back since was not told of this worker: its row was not there yet.
  # Where the row was there, the worker is told twice.
  defp tell_if_changed(table, pid, told) do
    case Roster.coordinator(table) do
      ^told -> :ok
      changed -> send(pid, {:coordinator_changed, changed})
    end
  end
end
