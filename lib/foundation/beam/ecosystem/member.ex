defmodule Foundation.BEAM.Ecosystem.Member do
  @moduledoc false

  # Starts members. The functions run in the supervisor that the member stands under, at the start and
  # at each restart: what they need comes with the context, which that supervisor holds once for all its
  # children, and a worker adds no more to it than its number.

  alias Foundation.BEAM.Ecosystem.{Config, Reaper, Roster}
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
    with {0, old, _, _, _, _} <- Roster.member(table, 0),
         do: Reaper.gone(old, plan.shutdown_timeout)

    begun = System.monotonic_time()

    result = start_link([ecosystem_id: plan.id, role: :coordinator], module, opts)
    with {_when, pid} when is_pid(pid) <- started(result, table, 0, module, begun), do: {:ok, pid}
  end

  @doc "A worker of the ecosystem's own module."
  @spec start_worker(t(), pos_integer()) :: DynamicSupervisor.on_start_child()
  def start_worker(%{worker: {module, opts}} = context, number) do
    # What comes with the start of the ecosystem is told at its end, where there is need.
    case start(context, number, module, opts) do
      {:first, pid, _coordinator} -> {:ok, pid}
      other -> informed(other, context)
    end
  end

  @doc "A worker that was added with a module and options of its own."
  @spec start_worker(t(), pos_integer(), module(), keyword()) ::
          DynamicSupervisor.on_start_child()
  def start_worker(context, number, module, opts),
    do: context |> start(number, module, opts) |> informed(context)

  defp start(%{table: table, id: id}, number, module, opts) do
    begun = System.monotonic_time()
    coordinator = Roster.coordinator(table)
    role = {:worker, number}
    own = [ecosystem_id: id, role: role, worker_id: number, coordinator: coordinator]

    with {first_or_again, pid} when is_pid(pid) <-
           own |> start_link(module, opts) |> started(table, number, module, begun),
         do: {first_or_again, pid, coordinator}
  end

  # A coordinator that has come back since was not told of this worker: its row was not there yet.
  # Where the row was there, the worker is told twice.
  defp informed({:error, _reason} = error, _context), do: error

  defp informed({_when, pid, told}, %{table: table}) do
    case Roster.coordinator(table) do
      ^told -> :ok
      changed -> send(pid, {:coordinator_changed, changed})
    end

    {:ok, pid}
  end

  defp start_link(own, module, []), do: module.start_link(own)
  defp start_link(own, module, opts), do: module.start_link(own ++ opts)

  defp started({:ok, pid}, table, number, module, begun) when is_pid(pid) do
    case Roster.started(table, number, pid, module, begun) do
      :first ->
        {:first, pid}

      {:again, old} ->
        restarted = {:restarted, number, old, pid, begun, System.monotonic_time()}
        if steward = Roster.get(table, :steward), do: send(steward, restarted)
        {:again, pid}
    end
  end

  defp started({:ok, pid, _more}, table, number, module, begun),
    do: started({:ok, pid}, table, number, module, begun)

  defp started({:error, _reason} = error, _table, _number, _module, _begun), do: error
  defp started(:ignore, _table, _number, _module, _begun), do: {:error, :ignore}

  defp started(other, _table, _number, module, _begun),
    do: {:error, {:bad_return, {module, :start_link, Options.given(other)}}}
end
