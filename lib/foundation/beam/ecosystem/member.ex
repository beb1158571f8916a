defmodule Foundation.BEAM.Ecosystem.Member do
  @moduledoc false

  # Starts members. The functions run in the supervisor that the member stands under, at the start and
  # at each restart: what they need comes with the context, which that supervisor holds once for all its
  # children, and a worker adds no more to it than its number.

  alias Foundation.BEAM.Ecosystem.{
    Additions,
    Config,
    Events,
    Reaper,
    Roster,
    Snapshots,
    Strategies,
    Tell
  }

  alias Foundation.BEAM.Ecosystem.Snapshots.Trial
  alias Foundation.Options

  # Milliseconds that a restored member may take before it comes to it, or half of `start_timeout`.
  @patience 1_000

  @enforce_keys [
    :table,
    :id,
    :worker,
    :flags,
    :spawn_opt?,
    :store,
    :patience,
    :shutdown,
    :window,
    :alone?
  ]
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
      shutdown: plan.shutdown_timeout,
      # See `Snapshots.Trial`.
      window: 1_000 * plan.max_seconds,
      alone?: plan.supervision != :one_for_all
    }
  end

  @spec start_coordinator(Roster.table(), Config.t()) :: DynamicSupervisor.on_start_child()
  def start_coordinator(table, %{coordinator: {module, opts}} = plan) do
    with {0, old, _, _, _, _} <- Roster.member(table, 0),
         do: Reaper.gone(old, plan.shutdown_timeout)

    begun = System.monotonic_time()
    context = new(table, plan, 0, nil)

    result = start_link([ecosystem_id: plan.id, role: :coordinator], context, 0, module, opts)

    with {_when, pid, _coordinator} <- started(result, context, 0, module, begun, :any),
         do: {:ok, pid}
  end

  @doc "A worker of the ecosystem's own module."
  @spec start_worker(t(), pos_integer()) :: DynamicSupervisor.on_start_child()
  def start_worker(%{worker: {module, opts}} = context, number) do
    # What comes with the start of the ecosystem is told at its end, where there is need.
    case start(context, number, module, opts, :any) do
      {:first, pid, _coordinator} -> {:ok, pid}
      other -> informed(other, context)
    end
  end

  @doc "One that comes back to another supervisor than it was first with; `:ignore` where it has been removed."
  @spec start_worker(t(), pos_integer(), :again) :: DynamicSupervisor.on_start_child()
  def start_worker(%{worker: {module, opts}} = context, number, :again) do
    if Additions.back?(context.table, number),
      do: context |> start(number, module, opts, :again) |> informed(context),
      else: :ignore
  end

  @doc "A worker that is added, or was, with a module and options of its own; `:ignore` as above."
  @spec start_worker(t(), pos_integer(), module(), keyword(), boolean()) ::
          DynamicSupervisor.on_start_child()
  def start_worker(%{table: table} = context, number, module, opts, spawn_opt?) do
    context = %{context | spawn_opt?: spawn_opt?}

    case Additions.enter(table, number) do
      :again ->
        context |> start(number, module, opts, :again) |> informed(context)

      :first ->
        own = {:own, [module, opts, spawn_opt?]}
        started = start(context, number, module, opts, own)
        table |> Additions.entered(number, started) |> informed(context)

      :removed ->
        :ignore
    end
  end

  # How it gets into the roster: whether it is there or not, only if it is, or as one that is added.
  defp start(%{table: table, id: id} = context, number, module, opts, how) do
    begun = System.monotonic_time()
    coordinator = Roster.coordinator(table)
    role = {:worker, number}
    own = [ecosystem_id: id, role: role, worker_id: number, coordinator: coordinator]

    own
    |> start_link(context, number, module, opts)
    |> started(context, number, module, begun, how, coordinator)
  end

  # A coordinator that has come back since was not told of this worker: its row was not there yet.
  # Where the row was there, the worker is told twice.
  defp informed({:error, _reason} = error, _context), do: error
  defp informed(:ignore, _context), do: :ignore

  defp informed({_when, pid, told}, %{table: table}) do
    Roster.changed(table)
    inform(table, pid, told)
    {:ok, pid}
  end

  # Another may have come when this was sent, and the steward has told of it before.
  defp inform(table, pid, told) do
    with changed when changed != told <- Roster.coordinator(table) do
      send(pid, {:coordinator_changed, changed})
      inform(table, pid, changed)
    end
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

  # The coordinator that it was told of comes back with it.
  defp started(result, context, number, module, begun, how, coordinator \\ nil)

  # A supervisor that takes itself for its child waits for its own end.
  defp started({:ok, pid} = result, context, number, module, _begun, _how, _coordinator)
       when pid == self(),
       do: failed(context, number, bad_return(module, result))

  defp started({:ok, pid}, %{table: table} = context, number, module, begun, how, coordinator)
       when is_pid(pid) do
    case enlist(how, table, number, pid, module, begun) do
      :first ->
        {:first, pid, coordinator}

      {:again, old} ->
        Tell.steward(table, {:restarted, number, old, pid, begun, System.monotonic_time()})
        {:again, pid, coordinator}

      :removed ->
        Reaper.gone(pid, context.shutdown)
        :ignore
    end
  end

  defp started({:ok, pid, _more}, context, number, module, begun, how, coordinator),
    do: started({:ok, pid}, context, number, module, begun, how, coordinator)

  defp started({:error, reason}, context, number, _, _, _, _), do: failed(context, number, reason)
  defp started(:ignore, context, number, _, _, _, _), do: failed(context, number, :ignore)

  defp started(other, context, number, module, _, _, _),
    do: failed(context, number, bad_return(module, other))

  # Who is known already was to be restarted, and its supervisor does not tell what comes of that.
  defp failed(%{table: table}, number, reason) do
    with {_, old, _, _, _, _} <- Roster.member(table, number),
         do: Tell.steward(table, {:not_restarted, number, old, reason})

    {:error, reason}
  end

  defp enlist(:any, table, number, pid, module, begun),
    do: Roster.started(table, number, pid, module, begun)

  defp enlist(:again, table, number, pid, module, begun),
    do: Roster.again(table, number, pid, module, begun)

  defp enlist({:own, own}, table, number, pid, module, begun),
    do: Roster.added(table, number, pid, module, begun, own)

  defp bad_return(module, result),
    do: {:bad_return, {module, :start_link, Options.given(result)}}
end
