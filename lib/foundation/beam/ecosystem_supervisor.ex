defmodule Foundation.BEAM.EcosystemSupervisor do
  @moduledoc """
  The supervisor of one ecosystem, for a tree of your own.

      children = [
        {Foundation.BEAM.EcosystemSupervisor,
         %{id: :indexing, coordinator: Indexer, workers: {IndexWorker, count: 8}}}
      ]

  `Foundation.BEAM.Processes.spawn_ecosystem/1` starts the same under Foundation's own supervisor, and
  says what the configuration may hold; the moduledoc there says what members are started with and what
  messages they get.

  It is found as `{:ecosystem_supervisor, id}` in the namespace `:production` of
  `Foundation.ProcessRegistry`. Below it stand the steward, a process that writes down failures and
  tells workers of a new coordinator, and the supervisor of the members: the coordinator, and workers
  under one `DynamicSupervisor`, or from 32 workers on under one for each 16, as many as schedulers
  are online at most.

  When members fail more often than `:max_restarts` allows, it ends with reason `:shutdown`, as a
  supervisor does; the log and the event `[:foundation, :ecosystem, :stopped]` say who has failed, and of what.

  The functions take the supervisor's pid, the id, or the struct of
  `Foundation.BEAM.Ecosystem`.
  """

  use DynamicSupervisor

  alias Foundation.BEAM.Ecosystem

  alias Foundation.BEAM.Ecosystem.{
    Addable,
    Config,
    Handle,
    Info,
    Inheritance,
    Launch,
    Living,
    Membership,
    Names,
    Roster,
    Shutdown,
    Steward
  }

  alias Foundation.{Error, Options}

  @doc """
  A child specification, with the id of the configuration in its own: of several in one tree, each needs an
  `:id`.

      iex> config = %{id: :doc_spec, coordinator: Agent, workers: {Agent, count: 1}}
      iex> spec = Foundation.BEAM.EcosystemSupervisor.child_spec(config)
      iex> {spec.id, spec.type, spec.shutdown}
      {{Foundation.BEAM.EcosystemSupervisor, :doc_spec}, :supervisor, :infinity}
  """
  @spec child_spec(map() | keyword()) :: Supervisor.child_spec()
  def child_spec(config) do
    id = if plain_map?(config) or Keyword.keyword?(config), do: config[:id]

    %{
      id: {__MODULE__, id},
      start: {__MODULE__, :start_link, [config]},
      shutdown: :infinity,
      type: :supervisor
    }
  end

  defp plain_map?(config), do: is_map(config) and not is_struct(config)

  @doc """
  Starts an ecosystem linked to the calling process; returns when the `init` of every member has.

  A start that fails is an error and neither an exit signal nor a message, whether the caller traps exits or
  not. A caller that ends before this returns takes with it what has started.

  Errors: `{:error, {:already_started, pid}}` for an id that is in use,
  `{:error, %Foundation.Error{}}` with `:validation_error`, `:start_failed` or `:not_started` as
  `Foundation.BEAM.Processes.spawn_ecosystem/1` has them.

      iex> config = %{coordinator: Foundation.BEAM.EcosystemSupervisor.DocMember,
      ...>            workers: {Foundation.BEAM.EcosystemSupervisor.DocMember, count: 2}}
      iex> {:error, error} = Foundation.BEAM.EcosystemSupervisor.start_link(config)
      iex> length(error.context.faults)
      2
  """
  @spec start_link(map() | keyword()) ::
          {:ok, pid()} | {:error, Error.t() | {:already_started, pid()}}
  def start_link(config) do
    with {:ok, plan} <- Config.new(config) do
      # Whoever ends this tree is to end workers before the coordinator.
      plan = %{plan | nested?: true, linked?: true}
      with {:ok, pid, _table} <- Launch.run(plan, fn -> under_caller(plan) end), do: {:ok, pid}
    end
  end

  defp under_caller(plan) do
    if Inheritance.running?(),
      do: start_empty(plan, self()),
      else: not_started("the application :foundation is not running")
  end

  @doc false
  @spec under_foundation(Config.t()) ::
          {:ok, pid(), Roster.table()} | {:ok, pid()} | :ignore | {:error, term()}
  def under_foundation(plan) do
    start = {__MODULE__, :start_empty, [plan, self()]}
    spec = %{id: plan.id, start: start, restart: :temporary, type: :supervisor}
    DynamicSupervisor.start_child(Foundation.BEAM.Ecosystems, spec)
  catch
    :exit, {:noproc, _call} -> not_started("the application :foundation is not running")
    :exit, _reason -> not_started("the supervisor of ecosystems has ended meanwhile")
  end

  defp not_started(text), do: {:error, Error.new(:not_started, text)}

  @doc false
  # With the steward alone, without any of the user's code: this may run in a supervisor that is not to
  # be kept. The steward ends it when `builder` dies before all have started.
  @spec start_empty(Config.t(), pid()) ::
          {:ok, pid(), Roster.table()} | :ignore | {:error, term()}
  def start_empty(plan, builder) do
    with {:ok, pid} <- DynamicSupervisor.start_link(__MODULE__, {plan, builder}),
         do: with_steward(pid, builder)
  rescue
    SystemLimitError -> {:error, :system_limit}
  else
    {:error, {:system_limit, _stack}} -> {:error, :system_limit}
    started -> started
  end

  defp with_steward(pid, builder) do
    steward = %{id: Steward, start: {Steward, :start_link, [builder]}}

    case DynamicSupervisor.start_child(pid, steward) do
      {:ok, _steward, table} ->
        {:ok, pid, table}

      {:error, reason} ->
        Process.exit(pid, :kill)
        {:error, reason}
    end
  catch
    # Its name has been there since before.
    :exit, _somebody_ended_it -> {:error, :ended}
  end

  @doc false
  def already_exists(id, pid) do
    text = "an ecosystem with the id #{Options.given(id)} exists already"
    Error.new(:already_exists, text, %{id: id, supervisor: pid})
  end

  @impl true
  def init({plan, builder}) do
    # Linked to the caller when all has started. So the end of one that does not start is an error, also for
    # a caller that does not trap exits, and no message to one that does. Until then the steward ends
    # it if the caller dies.
    if plan.linked?, do: Process.unlink(builder)
    table = Roster.new(plan)

    if Names.register(plan.id) do
      Inheritance.bequeath(table, plan)

      # It becomes a child when there can be some; who would be left without it has an owner from here.
      Steward.start_link(table, plan, builder)

      DynamicSupervisor.init(
        strategy: :one_for_one,
        extra_arguments: [table, plan],
        max_restarts: plan.max_restarts || 3,
        max_seconds: plan.max_seconds
      )
    else
      :ignore
    end
  end

  @doc """
  The coordinator that is alive now.

      iex> Foundation.BEAM.EcosystemSupervisor.get_coordinator(:no_such_ecosystem)
      {:error, :not_found}
  """
  @spec get_coordinator(Ecosystem.ref()) :: {:ok, pid()} | {:error, :not_found}
  def get_coordinator(ecosystem) do
    read(ecosystem, "get_coordinator/1", {:error, :not_found}, fn _supervisor, table ->
      case Roster.member(table, 0) do
        {0, pid, _, _, :up, _} ->
          if Living.living?(pid), do: {:ok, pid}, else: {:error, :not_found}

        _none ->
          {:error, :not_found}
      end
    end)
  end

  @doc """
  The workers that are alive now, by their numbers; `[]` where there is no such ecosystem.

      iex> Foundation.BEAM.EcosystemSupervisor.list_workers(:no_such_ecosystem)
      []
  """
  @spec list_workers(Ecosystem.ref()) :: [pid()]
  def list_workers(ecosystem) do
    read(ecosystem, "list_workers/1", [], fn _supervisor, table ->
      Living.of(for {_, pid, _, _, :up, _} <- Roster.workers(table), do: pid)
    end)
  end

  defp read(ecosystem, where, otherwise, fun) do
    case Handle.with_table(ecosystem, "EcosystemSupervisor." <> where, fun) do
      {:error, %Error{}} -> otherwise
      result -> result
    end
  end

  @doc """
  The same as `Foundation.BEAM.Processes.ecosystem_info/1`.

      iex> {:error, error} = Foundation.BEAM.EcosystemSupervisor.get_ecosystem_info(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec get_ecosystem_info(Ecosystem.ref()) :: {:ok, map()} | {:error, Error.t()}
  def get_ecosystem_info(ecosystem) do
    Handle.with_table(ecosystem, "EcosystemSupervisor.get_ecosystem_info/1", fn top, table ->
      {:ok, Info.info(top, table)}
    end)
  end

  @doc """
  Adds a worker of that module, with the options for it, under the next number. It is there when this
  returns, or nothing of it is; also where the calling process is killed meanwhile, one of the two.

  Where an ecosystem is `fault_tolerance: :standard`, a worker that was added and ends with reason
  `:normal` has done what it was for: it is forgotten, and is no failure. (One that has ended within
  microseconds of its start is forgotten as well, and may be a failure of reason `:noproc`, as the
  reason was not seen.) In a `:self_healing` one it comes back, whatever the reason, `:normal` included.

  Errors:

    * `:start_failed` - `context.role` and `context.reason`, which is `{:timeout, ms}` where its
      `start_link/1` took longer than the ecosystem's `:start_timeout`, and `{:supervisor, reason}` where the
      supervisor of workers ended in between, or is being restarted
    * `:not_ready` - the ecosystem is still starting, as for a member in its `init`
    * `:not_found`, `:foreign_node`

  A `start_link/1` that takes too long without having started a process keeps the supervisor itself,
  which is killed then, with the workers below it.

  Raises `ArgumentError` if the module does not exist or does not export `start_link/1`, or with
  `spawn_opt: true` among the options `start_link/2`; and for options that the ecosystem sets itself.

      iex> {:error, error} = Foundation.BEAM.EcosystemSupervisor.add_worker(:no_such_ecosystem, Task)
      iex> error.error_type
      :not_found
  """
  @spec add_worker(Ecosystem.ref(), module(), keyword()) :: {:ok, pid()} | {:error, Error.t()}
  def add_worker(ecosystem, module, opts \\ []) do
    Addable.check!(module, opts)

    Handle.with_table(ecosystem, "EcosystemSupervisor.add_worker/3", fn _supervisor, table ->
      Membership.add(table, module, opts)
    end)
  end

  @doc """
  Ends a worker for good: with `:shutdown`, and after the ecosystem's `:shutdown_timeout` by killing it. A
  worker that is dead is forgotten. Where the calling process is killed meanwhile, it is done all the same.

  A worker may remove itself, and so may a process of OTP's that it has started (a `Task`): then it is forgotten
  when this returns `:ok`, at once, and another process ends it. Nobody waits for his own end.

  `{:error, :not_found}` where the ecosystem has no worker with that pid, or is still starting: its
  successor, where it has come back already, has another.

      iex> Foundation.BEAM.EcosystemSupervisor.remove_worker(:no_such_ecosystem, self())
      {:error, :not_found}
  """
  @spec remove_worker(Ecosystem.ref(), pid()) :: :ok | {:error, :not_found}
  def remove_worker(ecosystem, worker) when is_pid(worker) do
    read(ecosystem, "remove_worker/2", {:error, :not_found}, fn _supervisor, table ->
      Membership.remove(table, worker)
    end)
  end

  def remove_worker(_ecosystem, worker) do
    raise ArgumentError, "invalid worker: expected a pid, got: #{Options.given(worker)}"
  end

  @doc """
  Ends the ecosystem: the same as `Foundation.BEAM.Processes.shutdown_ecosystem/1`.

      iex> Foundation.BEAM.EcosystemSupervisor.shutdown(:no_such_ecosystem)
      :ok
  """
  @spec shutdown(Ecosystem.ref()) :: :ok | {:error, Error.t()}
  def shutdown(ecosystem), do: Shutdown.run(ecosystem, "EcosystemSupervisor.shutdown/1", [])
end
