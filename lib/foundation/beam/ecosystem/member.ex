defmodule Foundation.BEAM.Ecosystem.Member do
  @moduledoc false

  # Starts members. The functions run in the supervisor that the member stands under, at the start and
  # at each restart: what they need comes with the context, which that supervisor holds once for all its
  # children, and a worker adds no more to it than its number.

  alias Foundation.BEAM.Ecosystem.{Config, Events, Reaper, Roster, Snapshots, Strategies}
  alias Foundation.BEAM.Ecosystem.Snapshots.Trial
  alias Foundation.Options

  # Milliseconds that a restored member may take before it comes to it, or half of `start_timeout`.
  @patience 1_000

  @enforce_keys [:table, :id, :worker, :flags, :spawn_opt?, :store, :patience, :window, :alone?]
  defstruct @enforce_keys

  @type t :: %__MODULE__{}

  @doc "What starts of workers need."
  @spec new(Roster.table(), Config.t()) :: t()
  def new(table, plan), do: new(table, plan, 1, plan.worker)

  # Of coordinators the first of what the plan has in pairs, of workers the second.
  defp new(table, plan, kind, worker) do
    %__MODULE__{
      table: table,
      id: plan.id,
      worker: worker,
      flags: elem(plan.flags, kind),
      spawn_opt?: elem(plan.spawn_opt, kind),
      store: if(plan.shared?, do: Roster.get(table, :store)),
      patience: min(@patience, max(1, div(plan.start_timeout, 2))),
      # See `Snapshots.Trial`.
      window: 1_000 * plan.max_seconds,
      alone?: plan.supervision != :one_for_all
    }
  end

  @spec start_coordinator(Roster.table(), Config.t()) :: Supervisor.on_start_child()
  def start_coordinator(table, %{coordinator: {module, opts}} = plan) do
    with {0, old, _, _, _, _} <- Roster.member(table, 0),
         do: Reaper.gone(old, plan.shutdown_timeout)

    begun = System.monotonic_time()
    context = new(table, plan, 0, nil)

    result = start_link([ecosystem_id: plan.id, role: :coordinator], context, 0, module, opts)
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
  @spec start_worker(t(), pos_integer(), module(), keyword(), boolean()) ::
          DynamicSupervisor.on_start_child()
  def start_worker(context, number, module, opts, spawn_opt?),
    do: %{context | spawn_opt?: spawn_opt?} |> start(number, module, opts) |> informed(context)

  defp start(%{table: table, id: id} = context, number, module, opts) do
    begun = System.monotonic_time()
    coordinator = Roster.coordinator(table)
    role = {:worker, number}
    own = [ecosystem_id: id, role: role, worker_id: number, coordinator: coordinator]

    with {first_or_again, pid} when is_pid(pid) <-
           own
           |> start_link(context, number, module, opts)
           |> started(table, number, module, begun),
         do: {first_or_again, pid, coordinator}
  end

  # A coordinator that has come back since was not told of this worker: its row was not there yet.
  # Where the row was there, the worker is told twice.
  defp informed({:error, _reason} = error, _context), do: error

  defp informed({_when, pid, told}, %{table: table}) do
    Roster.changed(table)

    case Roster.coordinator(table) do
      ^told -> :ok
      changed -> send(pid, {:coordinator_changed, changed})
    end

    {:ok, pid}
  end

  # Before anybody finds it in the roster, it has its spawn options, and what was kept for it.
  defp start_link(own, %{flags: flags} = context, number, module, opts) do
    argument = own |> with_store(context.store) |> with_options(opts)
    {result, how} = Strategies.start_link(module, argument, flags, context.spawn_opt?)
    if how == :impossible, do: Strategies.warn_once(context.table, context.id, module)

    if :ets.member(context.table, {:snapshot, number}),
      do: restore(result, context, number, module)

    result
  end

  defp with_store(own, nil), do: own
  defp with_store(own, store), do: own ++ [shared_store: store]

  defp with_options(own, []), do: own
  defp with_options(own, opts), do: own ++ opts

  defp restore({:ok, pid, _more}, context, number, module),
    do: restore({:ok, pid}, context, number, module)

  defp restore({:ok, pid}, %{table: table, id: id} = context, number, module) when is_pid(pid) do
    if Trial.over?(table, number, context.window, context.alone?) do
      Snapshots.forget(table, number)
      Events.snapshot_refused(id, number, pid, {:poisoned, Trial.restores()})
    else
      with {:failed, reason} <- Snapshots.restore(table, number, pid, module, context.patience),
           do: Events.snapshot_refused(id, number, pid, {:not_restored, reason})
    end
  end

  defp restore(_not_started, _context, _number, _module), do: :ok

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

  defp started({:error, reason}, table, number, _module, _begun),
    do: failed(table, number, reason)

  defp started(:ignore, table, number, _module, _begun), do: failed(table, number, :ignore)

  defp started(other, table, number, module, _begun),
    do: failed(table, number, {:bad_return, {module, :start_link, Options.given(other)}})

  # Who is known already was to be restarted, and its supervisor does not tell what comes of that.
  defp failed(table, number, reason) do
    with {_, old, _, _, _, _} <- Roster.member(table, number),
         steward when is_pid(steward) <- Roster.get(table, :steward),
         do: send(steward, {:not_restarted, number, old, reason})

    {:error, reason}
  end
end
