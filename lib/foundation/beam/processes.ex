defmodule Foundation.BEAM.Processes do
  alias Foundation.BEAM.{Ecosystem, EcosystemSupervisor, SharedStore, Topology}

  alias Foundation.BEAM.Ecosystem.{
    Arrangement,
    Checkpoint,
    Config,
    Failures,
    Handle,
    Health,
    Info,
    Launch,
    Names,
    Roster,
    Routes,
    Schema,
    Shutdown,
    Strategies
  }

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
  members, a record of failures, and figures that no busy member delays. The guide "Ecosystems" says when plain
  OTP is enough.

  ## Members

  A member's module exports `start_link/1`, as that of any child of a supervisor does, and returns
  `{:ok, pid}` of a process that it has linked. (Of the end of one that is not linked no supervisor hears: it
  comes back no sooner than after `:start_timeout`, and the log says so. What a `start_link/1` has spawned
  without a link is known to nobody before that returns: where it takes too long, or its supervisor is
  killed meanwhile, it may stay behind.) The argument is a keyword list:

    * `:ecosystem_id` - of the ecosystem
    * `:role` - `:coordinator`, or `{:worker, n}`, with `n` from 1
    * `:coordinator` - the pid of the coordinator, for workers
    * `:worker_id` - `n`, for workers
    * `:shared_store` - with `memory_strategy: :shared_heap`, see `share/2`
    * the options that the configuration has for it

  A restarted member gets the same, with the coordinator of that time.

  These messages come to members that have not asked for any:

    * `{:coordinator_changed, pid}` - to every worker, when the coordinator is back; it may come twice
    * `{:ecosystem_message, from, message}` and `{:ecosystem_forward, hop}` - to every member, where
      somebody uses `broadcast/2` or `send_to/3`, see "Topologies"
    * `{:ecosystem_token, token}` - to members of a ring that has a token, see `start_token/2`

  So a `handle_info/2` needs a clause for each of them, or one for everything that it does not know. Without,
  all workers crash of the same message, and when that repeats within `:max_seconds`, the ecosystem ends.

  The module's own child specification is not asked: `use GenServer, restart: :transient, shutdown: 100` says
  nothing here. See "When a member ends".

  ## When a member ends

  With `fault_tolerance: :standard`, it is dead and shows as such, until
  `Foundation.BEAM.EcosystemSupervisor.remove_worker/2` takes it away; a worker that was added to what the
  ecosystem began with, and ends with `:normal`, is forgotten by itself.

  With `:self_healing` it is restarted, whatever the reason, with those that `:supervision` names: an end with
  `:normal` is a failure too, there is no `restart: :transient`. An end with the reason `:shutdown` is one that a
  supervisor asked for, and none. A failure makes the health `:degraded` for `:max_seconds`.

  When restarts are more than `:max_restarts` within `:max_seconds`, the ecosystem ends, and the log and the event
  `[:foundation, :ecosystem, :stopped]` say why. Unless `:max_restarts` says otherwise, one worker that
  fails four times within `:max_seconds` is enough for that, among however many; a restart that fails in
  its `init` counts as well.

  An ecosystem of `spawn_ecosystem/1` goes on when the process that called it ends. To have it end with
  others, put it into your own supervision tree (`child_spec/1`).

  When an ecosystem's supervisor is killed, every member ends too, also one that traps exits or is not linked
  to anybody: it is asked by `:shutdown`, and killed after `:shutdown_timeout`. The id is free for another
  ecosystem when all of them have ended: a start under it waits for that.

  An ecosystem of your own tree goes on when the application `:foundation` is stopped. Until that runs again
  it is found by the struct alone, not by its id or its supervisor's pid. When `Foundation.ProcessRegistry`
  is started anew by its supervisor, ecosystems are found as before, and have their names in it again soon
  after.

  ## While it starts

  An ecosystem is found by its id, also in `list_ecosystems/0`, from before its first member starts: a
  member may call these functions in its `init`. All of them answer then, of the members that there
  are: `start_link/1` of a member has to return before it is one (`:not_a_member` until then, also for
  itself). `ecosystem_health/1` says `:starting` until all have started, and a coordinator that has not is
  `:starting` as well, without a pid. Only workers are added and removed when all have started: until then
  `Foundation.BEAM.EcosystemSupervisor.add_worker/3` refuses it as `:not_ready`, and `remove_worker/2`
  finds nobody.

  ## What functions take

  The struct, the pid of its supervisor, or the id. Anything else raises `ArgumentError`. Those
  that return an error give `:not_found` for an ecosystem that has ended or never was, and
  `:foreign_node` for a struct or pid of another node.

  ## Snapshots

  A member of a `:self_healing` ecosystem whose module exports `snapshot/1` (from its state to what is to
  be kept) and `restore/2` (from the state of its new start and what was kept to the state that it goes on
  with) is asked for a snapshot each `:snapshot_interval`, between two callbacks. When it comes back, it has
  what was kept last before others find it. A fault in either function is logged, and the event
  `[:foundation, :ecosystem, :snapshot_refused]` tells of it; one above 2 KiB is `{:too_large, text}`.
  `checkpoint/1` and `checkpoint/2` take one in between.

  To be asked is a system message: it starts a `GenServer`'s own timeout anew, and `hibernate_after`, and wakes
  who hibernates. So a member that has done nothing since its last snapshot is not asked; a timeout comes
  when it is over after the snapshot that follows the member's last callback. What others ask of a
  member by system messages or for its figures (`sample_interval`, `:sys.get_state/1`) counts as something done.

  What was kept may be what a member dies of. One that has been given its snapshot twice within
  `:max_seconds`, and fails again within them, comes back without: the snapshot is dropped, with a line in the
  log and the event `:snapshot_refused` with the reason `{:poisoned, 2}`. That is its third restart, which
  `:max_restarts` allows unless it says less than 3. It does not matter whether another snapshot was taken in
  between: the state that it is of came of the one before. Members that are restarted for another's
  sake keep theirs.

  ## Topologies

  `:topology` says who is next to whom, and by whom members' messages go that `broadcast/2` and
  `send_to/3` send; `Foundation.BEAM.Topology` compares the three. Such a message comes as

    * `{:ecosystem_message, from, message}` - for the member that gets it. `from` is the sender's role, or its
      pid where it is no member
    * `{:ecosystem_forward, hop}` - to be passed on, by `forward/2`: to coordinators of a `:tree`, and
      to members of a `:ring`. A member that does not pass it on keeps the message from those behind it

  In a ring everybody gets messages in the order in which they pass each member, if that passes them on
  in the order in which they come. A message is lost with a member that ends before it has passed it on.

  A ring may have a token, which one member has at a time: `start_token/2`, `pass_token/2`. Members that
  need to know all others ask for them by `subscribe/1`.

  ## Strategies

  `memory_strategy` and `gc_strategy` become spawn options of members. They are set inside a member
  when its `start_link/1` has returned, before others find it, which needs a process that
  answers system messages (`GenServer`, `:gen_statem`, `Agent`, supervisors). A member of which the
  configuration says `spawn_opt: true` is started by `start_link/2` instead, where its strategies have any
  flags; the second argument is `[spawn_opt: flags]`. Where neither is possible, the log says so once for
  each module, and its members do without.

  #{Strategies.docs() |> String.trim_trailing() |> String.replace("\n", "\n  ")}
  """

  @typedoc "What `ecosystem_info/1` tells of a member; figures are `nil` where it did not tell them."
  @type member :: %{
          role: :coordinator | {:worker, pos_integer()},
          module: module(),
          pid: pid() | nil,
          status: :starting | :alive | :dead | :restarting | :unresponsive,
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
          topology: Topology.name()
        }

  @typedoc "What `ecosystem_health/1` tells; see there."
  @type health :: %{
          status: :starting | :healthy | :degraded | :critical,
          coordinator: :starting | :alive | :dead | :restarting | :unresponsive,
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
          last_failure: failure() | nil
        }

  @typedoc "A failure; see `failures/1`."
  @type failure :: %{
          role: :coordinator | {:worker, pos_integer()},
          pid: pid(),
          reason: term(),
          at: integer(),
          healed_us: non_neg_integer() | nil
        }

  @typedoc "Work that was started apart; see `start_isolated_work/2`."
  @opaque isolated_work :: Isolation.t()

  @doc """
  Starts an ecosystem under Foundation's supervisor. When it returns, the `init` of every member has.

  Errors, with nothing left running:

    * `:validation_error` - `context.faults` has all that is wrong with the configuration, each a map with
      `:key` and `:message`
    * `:already_exists` - an ecosystem has that id; `context.supervisor` is it, or whoever has taken its
      name in `Foundation.ProcessRegistry`
    * `:start_failed` - a member did not start: `context.role` and `context.reason`, which is
      `{:timeout, ms}` where it took too long; or the ecosystem did not, then the role is `nil`, and the
      reason for example `:ended` where somebody has ended it meanwhile, or `:system_limit` where the VM had no
      room for another process
    * `:not_started` - the application `:foundation` is not running, or ends meanwhile

  ## Configuration

  A map or a keyword list:

  #{Schema.docs()}

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
         {:ok, supervisor, table} <-
           Launch.run(plan, fn -> EcosystemSupervisor.under_foundation(plan) end),
         {:ok, ecosystem} <- Launch.struct(plan, supervisor, table) do
      monitored(plan, ecosystem)
    else
      {:error, {:already_started, pid}} ->
        {:error, EcosystemSupervisor.already_exists(Config.id(config), pid)}

      {:error, %Error{}} = error ->
        error
    end
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
    * `:unresponsive` - it lives, but the VM could not tell its figures in time; they are `nil` then. A
      process that runs a native function (a BIF or a NIF) which does not yield tells nothing until that
      returns, and one that shares a scheduler with it may have to wait as well
    * `:starting` - of the coordinator of an ecosystem that starts, before it has one: `:pid` is `nil`

  A member inside a callback, whatever keeps it there - it computes, or waits for an answer that never
  comes -, is `:alive`: its figures can be told, and its messages wait. `:message_queue_len` shows that.

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

  `:status` is the first of these that is so:

    * `:starting` - not all members have started yet; workers are counted as far as there are
    * `:critical` - the coordinator is dead, or fewer than half of the workers live
    * `:healthy` - the coordinator and all workers are `:alive`, none has failed within the last
      `:max_seconds` of the configuration, in no member's queue wait `:max_queue_size` messages or more,
      and the memory's pressure is not `:high`
    * `:degraded` - anything else

  So a member that fails again and again shows, though it is back each time somebody looks, and so does
  one that is stuck in a callback, when enough messages wait for it. A worker that is `:unresponsive` lives; a
  coordinator that is `:restarting` is not dead.

  Statuses of members are those of `ecosystem_info/1`; `:memory_pressure` is
  `Foundation.BEAM.Memory.pressure/0`, of the whole VM (that of the last look, or `:low` before the first, where to
  read it takes longer than members may); `:message_backlog` the sum of the members'
  message queues; `:failures` how many there have been, and `:last_failure` the newest of `failures/1`.

      iex> {:error, error} = Foundation.BEAM.Processes.ecosystem_health("no such ecosystem")
      iex> error.error_type
      :not_found
  """
  @spec ecosystem_health(Ecosystem.ref()) :: {:ok, health()} | {:error, Error.t()}
  def ecosystem_health(ecosystem) do
    Handle.with_table(ecosystem, "Processes.ecosystem_health/1", fn _supervisor, table ->
      {:ok, Health.look(table, Info.look(table))}
    end)
  end

  @doc """
  The newest #{Failures.kept()} failures, the newest first.

    * `:role` and `:pid` of who failed
    * `:reason` - of the exit; one above 2 KiB is `{:too_large, text}`. It is `:noproc`, or `:unknown`
      where the member was back already, if it was not seen, see below
    * `:at` - system time in milliseconds
    * `:healed_us` - microseconds until the member was back, `nil` if it is not

  The steward monitors members when it is told that all have started, or that one is back, and nobody
  waits for that: the reason is not seen of a member that dies within some 0.1 ms of the return of `spawn_ecosystem/1`
  with ten workers, 5 ms with 10,000, of its start where it has come back or was added, and later
  where the VM is busy. It is a failure all the same. But when members are restarted together, the
  reason would tell who has failed and who was asked to end. Where it was not seen, workers that are
  restarted with their coordinator are no failures, and of those that `:one_for_all` restarts one is,
  which need not be the one that failed.

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
  All ecosystems of the node, those in trees of your own and those that are starting as well, in no
  order. `:members` is how many members there are, dead ones included: 0 before the coordinator has started.

      iex> Enum.filter(Foundation.BEAM.Processes.list_ecosystems(), &(&1.id == :no_such_ecosystem))
      []
  """
  @spec list_ecosystems() :: [
          %{
            id: Ecosystem.id(),
            supervisor: pid(),
            started_at: integer(),
            members: non_neg_integer()
          }
        ]
  def list_ecosystems do
    for {id, supervisor} <- Names.all(),
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

  A member may call it as well, and a process of OTP's that one has started (a `Task`): then it returns
  `:ok` at once and another process ends the ecosystem, the member among the others. Nobody waits for his
  own end.

  When the application `:foundation` stops, the ecosystems under its supervisor are ended in this way, all at
  once.

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

  # Topology

  @typedoc "What names a member: its role, or its pid."
  @type who :: Topology.role() | pid()

  @doc """
  The living members next to one, in the order of roles.

  Errors: `:not_found`, `:foreign_node`, `:not_a_member`.

      iex> {:error, error} = Foundation.BEAM.Processes.neighbours(:no_such_ecosystem, :coordinator)
      iex> error.error_type
      :not_found
  """
  @spec neighbours(Ecosystem.ref(), who()) ::
          {:ok, [{Topology.role(), pid()}]} | {:error, Error.t()}
  def neighbours(ecosystem, member) do
    Handle.with_table(ecosystem, "Processes.neighbours/2", fn _supervisor, table ->
      Routes.neighbours(table, member)
    end)
  end

  @doc """
  Sends a message to every other member, by the topology, see "Topologies". From a process that is no
  member it goes straight to each.

  Nobody waits for it to arrive: `:ok` also where a member ends before.

      iex> {:error, error} = Foundation.BEAM.Processes.broadcast(:no_such_ecosystem, :hello)
      iex> error.error_type
      :not_found
  """
  @spec broadcast(Ecosystem.ref(), message :: term()) :: :ok | {:error, Error.t()}
  def broadcast(ecosystem, message) do
    Handle.with_table(ecosystem, "Processes.broadcast/2", fn _supervisor, table ->
      Routes.broadcast(table, message)
    end)
  end

  @doc """
  Sends a message to one member, by the topology, see "Topologies". From a process that is no member it
  goes straight there.

  A member is found by its role without a look at the others; by its pid it is looked for among all, and the
  message is for that process alone, not for one that comes back in its place meanwhile. Who sends
  is looked for once in a member's life. The struct, and for members the id of their own ecosystem, need no
  registry.

  Errors: `:not_a_member` for who it is for; `:no_route` where that one, or whoever is in between, is down.

      iex> {:error, error} = Foundation.BEAM.Processes.send_to(:no_such_ecosystem, {:worker, 1}, :hello)
      iex> error.error_type
      :not_found
  """
  @spec send_to(Ecosystem.ref(), who(), message :: term()) :: :ok | {:error, Error.t()}
  def send_to(ecosystem, member, message) do
    Handle.with_table(ecosystem, "Processes.send_to/3", fn _supervisor, table ->
      Routes.send_to(table, member, message)
    end)
  end

  @doc """
  Passes on what came with `{:ecosystem_forward, hop}`; for the member that got it.

  Errors: `:not_a_member`, and `:no_route` where who comes next, or who it is for, is down: the message is lost
  then. Raises `ArgumentError` for what is no hop.

      iex> {:error, error} = Foundation.BEAM.Processes.forward(:no_such_ecosystem, :hop)
      iex> error.error_type
      :not_found
  """
  @spec forward(Ecosystem.ref(), hop :: term()) :: :ok | {:error, Error.t()}
  def forward(ecosystem, hop) do
    Handle.with_table(ecosystem, "Processes.forward/2", fn _supervisor, table ->
      Routes.forward(table, hop)
    end)
  end

  @doc """
  Makes the token of a ring. The first living member gets it, or the one of that role, as
  `{:ecosystem_token, token}`.

  There is one at a time. A holder that ends loses it to its successor, who gets a new one, of a larger
  `epoch`; the old one is refused from then on. Where a member ends while it passes the token, its
  successor may be sent the same one twice; where a process that is no member is killed while it starts or
  passes one, that is done all the same. In the life of an ecosystem `{epoch, seq}` only grows, over all
  its rings as well. `Foundation.BEAM.Topology.Token` has the rules.

  Errors: `:not_a_ring`, `:already_exists`, `:not_a_member`, `:no_token` where nobody lives.

      iex> {:error, error} = Foundation.BEAM.Processes.start_token(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec start_token(Ecosystem.ref(), Topology.role() | nil) ::
          {:ok, Topology.Token.t()} | {:error, Error.t()}
  def start_token(ecosystem, role \\ nil) do
    Handle.with_table(ecosystem, "Processes.start_token/2", fn _supervisor, table ->
      Arrangement.start_token(table, role)
    end)
  end

  @doc """
  Passes the token on to the successor of who holds it, and returns what that one gets.

  No process stands in between: whoever presents the current token replaces it.

  Errors: `:stale_token` for any other than the current one, `:no_token`, `:not_a_ring`.

      iex> {:error, error} = Foundation.BEAM.Processes.pass_token(:no_such_ecosystem, :token)
      iex> error.error_type
      :not_found
  """
  @spec pass_token(Ecosystem.ref(), Topology.Token.t()) ::
          {:ok, Topology.Token.t()} | {:error, Error.t()}
  def pass_token(ecosystem, token) do
    Handle.with_table(ecosystem, "Processes.pass_token/2", fn _supervisor, table ->
      Arrangement.pass_token(table, token)
    end)
  end

  @doc """
  Changes the topology. Messages on their way end it by the one that they began with; a ring's token is
  worth nothing when it is no ring any more, also when it is one again.

  Subscribers get `{:topology_changed, id, topology}` soon after. What they get last is what the topology is,
  whoever has changed it; of several changes at once they may hear of the last alone. Raises
  `ArgumentError` for any other than `:tree`, `:mesh` and `:ring`.

      iex> {:error, error} = Foundation.BEAM.Processes.set_topology(:no_such_ecosystem, :mesh)
      iex> error.error_type
      :not_found
  """
  @spec set_topology(Ecosystem.ref(), Topology.name()) :: :ok | {:error, Error.t()}
  def set_topology(ecosystem, topology) when topology in [:tree, :mesh, :ring] do
    Handle.with_table(ecosystem, "Processes.set_topology/2", fn _supervisor, table ->
      Arrangement.set(table, topology)
    end)
  end

  def set_topology(_ecosystem, other) do
    raise ArgumentError,
          "expected a topology (:tree, :mesh or :ring) in Processes.set_topology/2, " <>
            "got: #{Options.given(other)}"
  end

  @doc """
  Has the calling process told of members that come and go, and returns those that live now, with their
  roles.

  It gets `{:members_changed, id, %{joined: members, left: members}}`, lists of `{role, pid}`. Who joins under
  a role is in the place of whoever had it; one that is known already may be told again, so keep them as
  a map, by role. Also `{:topology_changed, id, topology}`. A member that calls it in its `init`, with
  its `:ecosystem_id`, hears of those that start after it when all have started.

  Every change is in what this returns, or is told, or both, also where the steward that tells of it was
  killed; what happened meanwhile is then told as one. Who has left may be told again, too. Nothing is
  told of the ecosystem's own end: to know of that, monitor its supervisor.

  It ends with the process, or by `unsubscribe/1`.

      iex> {:error, error} = Foundation.BEAM.Processes.subscribe(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec subscribe(Ecosystem.ref()) :: {:ok, [{Topology.role(), pid()}]} | {:error, Error.t()}
  def subscribe(ecosystem) do
    Handle.with_table(ecosystem, "Processes.subscribe/1", fn _supervisor, table ->
      Arrangement.subscribe(table)
    end)
  end

  @doc """
  Ends what `subscribe/1` began; messages that are on their way still come.

      iex> {:error, error} = Foundation.BEAM.Processes.unsubscribe(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec unsubscribe(Ecosystem.ref()) :: :ok | {:error, Error.t()}
  def unsubscribe(ecosystem) do
    Handle.with_table(ecosystem, "Processes.unsubscribe/1", fn _supervisor, table ->
      Arrangement.unsubscribe(table)
    end)
  end

  # What members have in common, and what they leave behind

  @doc """
  Puts entries into the store that an ecosystem with `memory_strategy: :shared_heap` has, and returns
  that store; `%{}` puts nothing.

  It is a `Foundation.BEAM.SharedStore`, which ends with the ecosystem. Members get it as `:shared_store`
  of the argument of their `start_link/1`, and read it by `Foundation.BEAM.SharedStore.fetch/2`, or parts
  of a value by `fetch_in/3`. It is no heap of several processes, which the BEAM does not have: what a member reads is
  copied to its heap, what it writes from there, and each heap is collected for itself. What is shared is
  one copy outside of all heaps.

  Errors: `:not_shared` for an ecosystem of another strategy, and those of
  `Foundation.BEAM.SharedStore.put_many/3`.

      iex> {:error, error} = Foundation.BEAM.Processes.share(:no_such_ecosystem, %{})
      iex> error.error_type
      :not_found
  """
  @spec share(Ecosystem.ref(), map() | [{term(), term()}]) ::
          {:ok, SharedStore.store()} | {:error, Error.t()}
  def share(ecosystem, entries) do
    Handle.with_table(ecosystem, "Processes.share/2", fn _supervisor, table ->
      case Roster.get(table, :store) do
        nil -> {:error, not_shared(table)}
        store -> with :ok <- SharedStore.put_many(store, entries), do: {:ok, store}
      end
    end)
  end

  defp not_shared(table) do
    text = "the ecosystem has no store: its memory_strategy is not :shared_heap"
    Error.new(:not_shared, text, %{ecosystem: Roster.id(table)})
  end

  @doc """
  Takes a snapshot of the calling member as soon as it has come out of its callback; see "Snapshots".

  A crash inside that callback loses it: `checkpoint/2` does not wait.

  Errors: `:not_a_member`, `:no_snapshots` where its module does not export `snapshot/1` and `restore/2`, or
  members do not come back (`fault_tolerance: :standard`). One that is refused later is told of as those of
  the interval are.

      iex> {:error, error} = Foundation.BEAM.Processes.checkpoint(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec checkpoint(Ecosystem.ref()) :: :ok | {:error, Error.t()}
  def checkpoint(ecosystem) do
    Handle.with_table(ecosystem, "Processes.checkpoint/1", fn _supervisor, table ->
      Checkpoint.soon(table)
    end)
  end

  @doc """
  Keeps the term as the snapshot of the calling member: it is kept when this returns.

  Errors: `:not_a_member`, `:no_snapshots` as for `checkpoint/1`, but that only `restore/2` is needed, `:too_large`,
  which leaves the one before.

      iex> {:error, error} = Foundation.BEAM.Processes.checkpoint(:no_such_ecosystem, %{done: 3})
      iex> error.error_type
      :not_found
  """
  @spec checkpoint(Ecosystem.ref(), snapshot :: term()) :: :ok | {:error, Error.t()}
  def checkpoint(ecosystem, snapshot) do
    Handle.with_table(ecosystem, "Processes.checkpoint/2", fn _supervisor, table ->
      Checkpoint.now(table, snapshot)
    end)
  end

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
          {:ok, isolated_work()} | {:error, Error.t()}
  def start_isolated_work(fun, opts \\ []) do
    case Isolation.start(fun, opts, "Processes.start_isolated_work/2") do
      {:error, _too_large} = error -> error
      work -> {:ok, work}
    end
  end

  @doc """
  What came of the work that this process started: as `Foundation.BEAM.Memory.isolate/2` returns it.

  The time limit of the work counts from its start. Raises `ArgumentError` for work that has been awaited
  already, or that another process has started: the result comes once, to the process that started it.

      iex> {:ok, work} = Foundation.BEAM.Processes.start_isolated_work(fn -> exit(:no) end)
      iex> {:error, error} = Foundation.BEAM.Processes.await_isolated_work(work)
      iex> {error.error_type, error.context.reason}
      {:work_failed, :no}
  """
  @spec await_isolated_work(isolated_work()) :: {:ok, term()} | {:error, Error.t()}
  def await_isolated_work(work), do: Isolation.await(work, "Processes.await_isolated_work/1")
end
