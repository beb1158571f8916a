defmodule Foundation.BEAM.Processes do
  alias Foundation.BEAM.{Ecosystem, EcosystemSupervisor}
  alias Foundation.BEAM.Ecosystem.{Config, Failures, Handle, Health, Info, Roster, Shutdown}
  alias Foundation.BEAM.Memory.Isolation
  alias Foundation.BEAM.Processes.Work
  alias Foundation.{Error, Options}

  @moduledoc """
  Ecosystems: a coordinator and its workers, started, watched, restarted and ended as one.

      iex> defmodule DocCounter do
      ...>   use GenServer
      ...>   def start_link(opts), do: GenServer.start_link(__MODULE__, opts)
      ...>   def init(opts), do: {:ok, opts[:role]}
      ...>   def handle_call(:role, _from, role), do: {:reply, role, role}
      ...> end
      iex> alias Foundation.BEAM.Processes
      iex> {:ok, ecosystem} = Processes.spawn_ecosystem(%{
      ...>   coordinator: DocCounter,
      ...>   workers: {DocCounter, count: 3},
      ...>   fault_tolerance: :self_healing
      ...> })
      iex> Enum.map(ecosystem.workers, &GenServer.call(&1, :role))
      [{:worker, 1}, {:worker, 2}, {:worker, 3}]
      iex> {:ok, info} = Processes.ecosystem_info(ecosystem)
      iex> {info.total_processes, info.coordinator.status}
      {4, :alive}
      iex> Processes.shutdown_ecosystem(ecosystem)
      :ok

  It is plain OTP: supervisors start and restart members, and every process is where `:observer` shows it.
  What is added: a start through several supervisors at once, roles that stay with restarted
  members, a record of failures, and figures that no busy member delays.

  ## Members

  A member's module exports `start_link/1`, as that of any child of a supervisor does, and returns
  `{:ok, pid}` of a process that it has linked. The argument is a keyword list:

    * `:ecosystem_id` - of the ecosystem
    * `:role` - `:coordinator`, or `{:worker, n}`, with `n` from 1
    * `:coordinator` - the pid of the coordinator, for workers
    * `:worker_id` - `n`, for workers
    * the options that the configuration has for it

  A restarted member gets the same, with the coordinator of that time. Workers whose coordinator comes back
  are sent `{:coordinator_changed, pid}`; it may come twice, and it is the only message that a member
  gets without having asked for any.

  ## When a member ends

  With `fault_tolerance: :standard`, it is dead and shows as such. With `:self_healing` it is
  restarted, whatever the reason, with those that `:supervision` names. An end with the reason `:shutdown`
  is one that a supervisor asked for, and no failure. When restarts are more than `:max_restarts`
  within `:max_seconds`, the ecosystem ends, and the log and the event
  `[:foundation, :ecosystem, :stopped]` say why.

  An ecosystem of `spawn_ecosystem/1` goes on when the process that called it ends. To have it end with
  others, put it into your own supervision tree (`child_spec/1`).

  ## What functions take

  The struct, the pid of its supervisor, or the id. Anything else raises `ArgumentError`. Those
  that return an error give `:not_found` for an ecosystem that has ended or never was, and
  `:foreign_node` for a struct or pid of another node.
  """

  @typedoc "What `ecosystem_info/1` tells of a member; figures are `nil` where it did not tell them."
  @type member :: %{
          role: :coordinator | {:worker, pos_integer()},
          module: module(),
          pid: pid(),
          status: :alive | :dead | :restarting | :unresponsive,
          memory: non_neg_integer() | nil,
          message_queue_len: non_neg_integer() | nil,
          restarts: non_neg_integer()
        }

  @typedoc "What `ecosystem_info/1` tells; see there."
  @type info :: %{
          id: Ecosystem.id(),
          supervisor: pid(),
          coordinator: member(),
          workers: [member()],
          total_processes: non_neg_integer(),
          total_memory: non_neg_integer(),
          topology: :tree
        }

  @typedoc "What `ecosystem_health/1` tells; see there."
  @type health :: %{
          status: :healthy | :degraded | :critical,
          coordinator: :alive | :dead | :restarting | :unresponsive,
          workers: %{
            alive: non_neg_integer(),
            dead: non_neg_integer(),
            restarting: non_neg_integer(),
            unresponsive: non_neg_integer(),
            total: non_neg_integer()
          },
          memory_pressure: :low | :medium | :high,
          message_backlog: non_neg_integer(),
          failures: non_neg_integer(),
          last_failure: Failures.failure() | nil
        }

  @typedoc "A failure; see `failures/1`."
  @type failure :: Failures.failure()

  @doc """
  Starts an ecosystem under Foundation's supervisor. When it returns, the `init` of every member has.

  Errors, with nothing left running:

    * `:validation_error` - `context.faults` has all that is wrong with the configuration, each a map with
      `:key` and `:message`
    * `:already_exists` - an ecosystem has that id; `context.supervisor` is it
    * `:start_failed` - a member did not start: `context.role` and `context.reason`, which is
      `{:timeout, ms}` where it took too long
    * `:not_started` - the application `:foundation` is not running

  ## Configuration

  A map or a keyword list:

  #{Config.docs()}

  ## Example

      iex> {:error, error} = Foundation.BEAM.Processes.spawn_ecosystem(%{workers: {Nowhere, count: 0}})
      iex> error.error_type
      :validation_error
      iex> Enum.map(error.context.faults, & &1.key)
      [:coordinator, :workers, :workers]
  """
  @spec spawn_ecosystem(map() | keyword()) :: {:ok, Ecosystem.t()} | {:error, Error.t()}
  def spawn_ecosystem(config) do
    with {:ok, plan} <- Config.new(config),
         begun = System.monotonic_time(),
         {:ok, supervisor, table} <- launch(plan, begun) do
      monitored(plan, Info.struct(supervisor, table))
    else
      {:error, {:already_started, pid}} ->
        {:error, EcosystemSupervisor.already_exists(Config.id(config), pid)}

      {:error, %Error{}} = error ->
        error
    end
  end

  defp launch(plan, begun) do
    spec = %{
      id: plan.id,
      start: {EcosystemSupervisor, :start_empty, [plan, self()]},
      restart: :temporary,
      shutdown: :infinity,
      type: :supervisor
    }

    Foundation.BEAM.Ecosystems
    |> DynamicSupervisor.start_child(spec)
    |> EcosystemSupervisor.fill(plan, begun)
  catch
    :exit, {:noproc, _call} ->
      {:error, Error.new(:not_started, "the application :foundation is not running")}
  end

  defp monitored(%{monitor: false}, ecosystem), do: {:ok, ecosystem}

  defp monitored(%{monitor: true}, ecosystem) do
    members = [ecosystem.coordinator | ecosystem.workers]
    {:ok, %{ecosystem | monitors: for(pid <- members, pid, do: Process.monitor(pid))}}
  end

  @doc """
  As `spawn_ecosystem/1`, but raises the error.

      iex> Foundation.BEAM.Processes.spawn_ecosystem!(%{coordinator: Agent, workers: {Agent, count: -1}})
      ** (Foundation.Error) invalid ecosystem: invalid :count of :workers: expected an integer from 1, :cpu_count or :auto_scale, got: -1
  """
  @spec spawn_ecosystem!(map() | keyword()) :: Ecosystem.t()
  def spawn_ecosystem!(config), do: config |> spawn_ecosystem() |> Error.unwrap!()

  @doc """
  For a supervision tree of your own: `Foundation.BEAM.EcosystemSupervisor.child_spec/1`.

      iex> Foundation.BEAM.Processes.child_spec(id: :mine, coordinator: Agent, workers: {Agent, []}).id
      {Foundation.BEAM.EcosystemSupervisor, :mine}
  """
  @spec child_spec(map() | keyword()) :: Supervisor.child_spec()
  defdelegate child_spec(config), to: EcosystemSupervisor

  @doc """
  The struct as it is now: members that have come back, and workers that were added.

      iex> {:error, error} = Foundation.BEAM.Processes.current(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec current(Ecosystem.ref()) :: {:ok, Ecosystem.t()} | {:error, Error.t()}
  def current(ecosystem) do
    Handle.with_table(ecosystem, "Processes.current/1", fn supervisor, table ->
      monitors = with %Ecosystem{monitors: monitors} <- ecosystem, do: monitors
      monitors = if is_list(monitors), do: monitors, else: []
      {:ok, %{Info.struct(supervisor, table) | monitors: monitors}}
    end)
  end

  @doc """
  Every member with its status, its memory in bytes and the length of its message queue.

  `:total_processes` and `:total_memory` are of the members that live. A status is

    * `:alive`
    * `:dead` - it has ended and stays so (`fault_tolerance: :standard`)
    * `:restarting` - it has ended and comes back
    * `:unresponsive` - it lives, but did not tell its figures in time: it is inside a long native
      function, for one. They are `nil` then

  No process of the ecosystem is called, and a member that is busy delays the answer by at most 100 ms, all
  of them together as well; above a thousand members, by 10 us more for each.

      iex> {:error, error} = Foundation.BEAM.Processes.ecosystem_info(self())
      iex> error.error_type
      :not_found
  """
  @spec ecosystem_info(Ecosystem.ref()) :: {:ok, info()} | {:error, Error.t()}
  def ecosystem_info(ecosystem) do
    Handle.with_table(ecosystem, "Processes.ecosystem_info/1", fn supervisor, table ->
      {:ok, Info.info(supervisor, table)}
    end)
  end

  @doc """
  How the ecosystem is.

  `:status` is

    * `:critical` - the coordinator is dead, or fewer than half of the workers live
    * `:healthy` - the coordinator and all workers live and answer, and the memory's pressure is not `:high`
    * `:degraded` - anything else

  Statuses of members are those of `ecosystem_info/1`; `:memory_pressure` is
  `Foundation.BEAM.Memory.pressure/0`, of the whole VM; `:message_backlog` the sum of the members'
  message queues; `:failures` how many there have been, and `:last_failure` the newest of `failures/1`.

      iex> {:error, error} = Foundation.BEAM.Processes.ecosystem_health("no such ecosystem")
      iex> error.error_type
      :not_found
  """
  @spec ecosystem_health(Ecosystem.ref()) :: {:ok, health()} | {:error, Error.t()}
  def ecosystem_health(ecosystem) do
    Handle.with_table(ecosystem, "Processes.ecosystem_health/1", fn _supervisor, table ->
      {:ok, Health.look(table)}
    end)
  end

  @doc """
  The newest #{Failures.kept()} failures, the newest first.

    * `:role` and `:pid` of who failed
    * `:reason` - of the exit; one above 2 KiB is `{:too_large, text}`. Of a member that dies within
      microseconds of its start it may not be seen, and is `:noproc`, or `:unknown`
    * `:at` - system time in milliseconds
    * `:healed_us` - microseconds until the member was back, `nil` if it is not

      iex> {:error, error} = Foundation.BEAM.Processes.failures(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec failures(Ecosystem.ref()) :: {:ok, [failure()]} | {:error, Error.t()}
  def failures(ecosystem) do
    Handle.with_table(ecosystem, "Processes.failures/1", fn _supervisor, table ->
      {:ok, table |> Failures.list() |> elem(0) |> Enum.reverse()}
    end)
  end

  @doc """
  All ecosystems of the node, those in trees of your own as well, in no order.

      iex> Enum.filter(Foundation.BEAM.Processes.list_ecosystems(), &(&1.id == :no_such_ecosystem))
      []
  """
  @spec list_ecosystems() :: [
          %{id: Ecosystem.id(), supervisor: pid(), started_at: integer(), members: pos_integer()}
        ]
  def list_ecosystems do
    for {id, supervisor} <- Roster.all(),
        %{} = ecosystem <- [
          Handle.with_table(supervisor, "list_ecosystems/0", &summary(id, &1, &2))
        ],
        not is_struct(ecosystem, Error),
        do: ecosystem
  end

  defp summary(id, supervisor, table) do
    members = table |> Roster.members() |> length()
    %{id: id, supervisor: supervisor, started_at: Roster.started_at(table), members: members}
  end

  @doc """
  The supervisor of the ecosystem with that id, or `nil`.

      iex> Foundation.BEAM.Processes.whereis(:no_such_ecosystem)
      nil
  """
  @spec whereis(Ecosystem.id()) :: pid() | nil
  def whereis(id) do
    case Handle.find(id, "Processes.whereis/1") do
      {:ok, {supervisor, _table}} -> supervisor
      {:error, _not_found} -> nil
    end
  end

  @doc """
  Ends the ecosystem and waits for it; `:ok` also when it had ended before.

  Workers get `:shutdown`, all those of one supervisor at once, and are killed when they have not ended
  after the `:shutdown_timeout` of the configuration; then the coordinator, in the same way. What is left
  after `:timeout` is killed. In a supervision tree of your own, the supervisor above starts it
  again if the restart of its child specification is `:permanent`, which it is by default.

  Error: `:foreign_node`.

  ## Options

  #{Options.docs(Shutdown.schema())}

  ## Example

      iex> Foundation.BEAM.Processes.shutdown_ecosystem(:no_such_ecosystem)
      :ok
  """
  @spec shutdown_ecosystem(Ecosystem.ref(), keyword()) :: :ok | {:error, Error.t()}
  def shutdown_ecosystem(ecosystem, opts \\ []),
    do: Shutdown.run(ecosystem, "Processes.shutdown_ecosystem/2", opts)

  # Work apart

  @doc """
  Runs a function in a process of its own and has the result sent: what
  `Foundation.BEAM.Memory.isolate/2` does, without waiting.

  The caller, or the process given as second argument or as `:caller`, gets `{:work_complete, result}`, or
  `{:work_error, reason}`: the exception that the function raised, what it threw or exited with, or the
  `%Foundation.Error{}` that `Foundation.BEAM.Memory.isolate/2` would return for a limit that was
  passed. The pid is that of the process that sends the message; to kill it ends the work, and so does
  the end of the process that the result is for.

  Errors: `:too_large`, where the function's variables are.

  ## Options

  #{Options.docs(Work.schema())}

  ## Example

      iex> {:ok, _pid} = Foundation.BEAM.Processes.isolate_memory_intensive_work(fn -> Enum.sum(1..10) end)
      iex> receive do: (message -> message)
      {:work_complete, 55}
  """
  @spec isolate_memory_intensive_work((() -> term()), pid() | keyword()) ::
          {:ok, pid()} | {:error, Error.t()}
  def isolate_memory_intensive_work(fun, caller_or_opts \\ [])

  def isolate_memory_intensive_work(fun, caller) when is_pid(caller),
    do: isolate_memory_intensive_work(fun, caller: caller)

  def isolate_memory_intensive_work(fun, opts),
    do: Work.start(fun, opts, "Processes.isolate_memory_intensive_work/2")

  @doc """
  Starts work as `Foundation.BEAM.Memory.isolate/2` does, to be awaited later by the same process, with
  `await_isolated_work/1`. The options are the same.

      iex> alias Foundation.BEAM.Processes
      iex> {:ok, work} = Processes.start_isolated_work(fn -> Enum.sum(1..10) end, timeout: 1_000)
      iex> Processes.await_isolated_work(work)
      {:ok, 55}
  """
  @spec start_isolated_work((() -> term()), keyword()) ::
          {:ok, Isolation.t()} | {:error, Error.t()}
  def start_isolated_work(fun, opts \\ []) do
    with %Isolation{} = work <- Isolation.start(fun, opts, "Processes.start_isolated_work/2"),
         do: {:ok, work}
  end

  @doc """
  What came of the work that this process started: as `Foundation.BEAM.Memory.isolate/2` returns it. Once.

  The time limit of the work counts from its start.

      iex> {:ok, work} = Foundation.BEAM.Processes.start_isolated_work(fn -> exit(:no) end)
      iex> {:error, error} = Foundation.BEAM.Processes.await_isolated_work(work)
      iex> {error.error_type, error.context.reason}
      {:work_failed, :no}
  """
  @spec await_isolated_work(Isolation.t()) :: {:ok, term()} | {:error, Error.t()}
  def await_isolated_work(work), do: Isolation.await(work)
end
