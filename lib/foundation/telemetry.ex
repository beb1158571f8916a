defmodule Foundation.Telemetry do
  @moduledoc """
  Events that tell what happens inside the library, and that your application may send too.

  The functions, their arguments and their results are those of the Erlang library `:telemetry`.
  Where that library is part of your application, it is what they speak to: handlers that were
  attached with `:telemetry` hear this library's events, and the handlers of both are one set.
  Where it is not, the events are dispatched here, with the same contract.

  ## Events

  | event | measurements | metadata | when |
  |---|---|---|---|
  | `[:foundation, :messages, :expired]` | `%{count: n}` | `%{destination: d, reason: r}` | `n` messages outlived their `ttl` before they were delivered or read |
  | `[:foundation, :messages, :refused]` | `%{count: n}` | `%{destination: d, reason: r}` | `n` messages were dropped by flow control |
  | `[:foundation, :shared_store, :expired]` | `%{count: n}` | `%{store: name, id: id}` | `n` entries of a store have been freed at the end of their ttl |
  | `[:foundation, :shared_store, :evicted]` | `%{count: n}` | `%{store: name, id: id}` | `n` entries have made room for others in a store with limits |
  | `[:foundation, :ecosystem, :started]` | `%{duration: t, workers: n}` | `%{id: id, supervisor: pid}` | every member of an ecosystem has started |
  | `[:foundation, :ecosystem, :stopped]` | `%{duration: t, failures: n}` | `%{id: id, supervisor: pid, reason: r}` | an ecosystem that had started ends, after `duration` |
  | `[:foundation, :ecosystem, :worker_died]`, `[:foundation, :ecosystem, :coordinator_died]` | `%{count: 1}` | `%{id: id, role: role, pid: pid, reason: r}` | a member has failed |
  | `[:foundation, :ecosystem, :worker_restarted]`, `[:foundation, :ecosystem, :coordinator_restarted]` | `%{duration: t}` | `%{id: id, role: role, pid: new, previous: old, reason: r}` | a member is back, after `duration` |
  | `[:foundation, :ecosystem, :topology_changed]` | `%{count: 1}` | `%{id: id, topology: name, previous: name}` | `Foundation.BEAM.Processes.set_topology/2` has changed it |
  | `[:foundation, :ecosystem, :snapshot_refused]` | `%{count: 1}` | `%{id: id, role: role, pid: pid, reason: r}` | a snapshot was not taken, not restored, or dropped |
  | `[:foundation, :ecosystem, :message_processed]` | `%{count: n, duration: t, members: m}` | `%{id: id}` | each `sample_interval`, where the ecosystem has one: its members began to handle `n` messages in `duration` |
  | `[:foundation, :ecosystem, :gc_completed]` | `%{collections: n, heap_bytes: b, duration: t, members: m}` | `%{id: id}` | as often: there were at least `n` collections, and heaps have `b` bytes |
  | `[:foundation, :ecosystem, :memory_pressure]` | `%{fraction: f, used: u, limit: l}`, of an ecosystem also `memory: b, members: m` | `%{level: l, previous: p, kind: k}` and `monitor: pid` or `id: id` | memory has become scarcer or less scarce: seen by a `Foundation.BEAM.Memory.Monitor`, or by an ecosystem that has a `sample_interval` |

  Times of ecosystems are in the VM's native unit. `reason` of `:stopped` is `:shutdown` where somebody
  asked for it, `{:max_restarts, role, reason}` where that member failed once more than is allowed
  (`:max_restarts` alone, where its end was not heard of in time), or what the supervisor ended with.
  Their events are executed in the steward of the ecosystem, `:started` in the process that starts it, `:topology_changed` in the one that asks for it, those of snapshots and
  samples in a process of the ecosystem that has them to do (`reason` of a snapshot not restored is
  `{:not_restored, reason}`, of one that is dropped as its member failed each time that it was restored
  `{:poisoned, times}`, and these events are executed in the supervisor of the member). A handler holds up
  the process that it runs in: while one of a member's end or return goes on, failures are not written down,
  and others hear of no change; members are restarted all the same. One that hangs is killed with the
  steward when the ecosystem is shut down.

  Messages and collections are counted without a trace: by the statistics that `:sys` keeps in members
  which answer system messages, and by the VM's count of minor collections, which a full collection
  sets back, so that some are missed. `members` is how many told these figures in time, half a second;
  messages of one that is busy count with the next sample, which does not ask it again. Response times and
  the duration of collections are not among them: the first are known to who asks (`span/3`), the second
  only to a trace.

  Memory's pressure is that of the whole VM, wherever it is seen: each ecosystem that looks tells of a change,
  so that handlers of its events hear it beside what its members did, with `memory`, the bytes that they
  have. It looks at a sample, once a second at most, needs no monitor, and has the limits and thresholds that a
  monitor without options has; before its first look the level counts as `:low`.

  The events of stores come once a second at most, for each store that has lost entries since; `store`
  is `nil` for one without a name, `id` is that of `Foundation.BEAM.SharedStore.info/1`.

  `destination` is what the message was sent to, `nil` where that is not known. `reason` of `:expired`
  is `:expired`; of `:refused` it is

    * `{:queue_full, n}` - `n` messages wait in the receiver's queue
    * `{:buffer_full, n}` - the buffer of `backpressure_strategy: :queue` may hold `n` messages and does
    * `:buffered` - messages that came before wait in the receiver's buffer
    * `:unresponsive` - the receiver did not tell its queue's length in time
    * `:noproc`, `:noconnection`, `:noconnect` - nobody is there, or the node is not connected
    * anything else - why the buffer ended that held the messages, such as `:shutdown`

  No event is sent per message: what is executed for each of a million messages costs more than
  what it tells.

  An event without handlers costs under 50 ns, with handlers on other events only under 100 ns
  (`mix run bench/telemetry.exs` prints the figures). Handlers run in the process that executes the
  event, one after the other in the order in which they were attached: keep them short.

  ## What a handler may rely on

    * A handler that raises, throws or exits is detached and the failure is logged as an error; the
      other handlers are still called, and `execute/3` still returns `:ok`. Then the event
      `[:telemetry, :handler, :failure]` is executed, with the metadata `event_name`, `handler_id`,
      `handler_config`, `kind`, `reason` and `stacktrace`.
    * When `attach/4` has returned, every later event is heard. When `detach/1` has returned, a
      process that was executing the event already may still call the handler.
    * A handler attached to several events starts to hear all of them at once.

  ## Which of the two it is

  It is decided when the application `:foundation` starts: events go to `:telemetry` if that
  application has been started. Where it is started later, the next call of this module notices (at
  most a second later, and before `attach/4` or `detach/1` do their work) and hands over what has been
  attached until then. While `:foundation` is not started, events go nowhere.

  ## Example

      iex> parent = self()
      iex> handler = fn _event, measurements, metadata, prefix ->
      ...>   send(parent, {prefix, measurements.count, metadata.reason})
      ...> end
      iex> Foundation.Telemetry.attach("log-refused", [:foundation, :messages, :refused], handler, :seen)
      :ok
      iex> metadata = %{destination: self(), reason: :queue_full}
      iex> Foundation.Telemetry.execute([:foundation, :messages, :refused], %{count: 3}, metadata)
      :ok
      iex> receive do: (message -> message)
      {:seen, 3, :queue_full}
      iex> Foundation.Telemetry.detach("log-refused")
      :ok
  """

  alias Foundation.BEAM.Ecosystem
  alias Foundation.BEAM.Ecosystem.{Handle, Metrics}
  alias Foundation.Error
  alias Foundation.Telemetry.Dispatch

  @typedoc "An event's name: a non-empty list of atoms, from the general to the particular."
  @type event_name :: [atom(), ...]

  @typedoc "Figures: numbers under their names."
  @type measurements :: map()

  @typedoc "What the figures are about."
  @type metadata :: map()

  @typedoc "Names one attachment; any term, compared with `===`."
  @type handler_id :: term()

  @typedoc "Called with the event, its measurements, its metadata and the `config` given on attaching."
  @type handler_function :: (event_name(), measurements(), metadata(), config :: term() -> any())

  @typedoc "One event that one attachment listens to."
  @type handler :: %{
          id: handler_id(),
          event_name: event_name(),
          function: handler_function(),
          config: term()
        }

  @typedoc "What the function given to `span/3` returns."
  @type span_result ::
          {result :: any(), metadata()} | {result :: any(), measurements(), metadata()}

  @doc """
  Calls every handler of the event, in this process, and returns `:ok`.

  Raises `ArgumentError` if the event is no non-empty proper list, or measurements or metadata are no
  maps, whether anybody listens or not. That the list's elements are atoms is not checked here but on
  attaching: nobody hears another one.

      iex> Foundation.Telemetry.execute([:my_app, :request, :done], %{bytes: 512}, %{path: "/"})
      :ok
  """
  @spec execute(event_name(), measurements(), metadata()) :: :ok
  def execute(event, measurements, metadata \\ %{}) do
    Dispatch.execute(event, measurements, metadata)
  end

  @doc """
  An ecosystem in figures, as they are now: the struct, the pid of its supervisor, or its id.

    * `:id`, `:topology`, `:uptime_ms`
    * `:status`, `:coordinator`, `:workers`, `:memory_pressure` - as
      `Foundation.BEAM.Processes.ecosystem_health/1` has them
    * `:memory`, `:message_queue_len` - of the members that tell it in time, in bytes and messages:
      `%{total: n, mean: n, max: n}`
    * `:failures` - how many there have been, `:restarts` - of the members that there are
    * `:heal_us` - microseconds until members were back, of the failures that are kept:
      `%{mean: n, max: n}`, or `nil`
    * `:snapshots` - `%{count: n, bytes: n}`
    * `:sample` - what the events `:message_processed` and `:gc_completed` told last, in one map, with
      `:memory`, the bytes of members, and `:counted`, how many told their messages; or `nil`

  It waits for members no longer than `Foundation.BEAM.Processes.ecosystem_info/1` does. Errors: `:not_found`,
  `:foreign_node`.

      iex> {:error, error} = Foundation.Telemetry.ecosystem_metrics(:no_such_ecosystem)
      iex> error.error_type
      :not_found
  """
  @spec ecosystem_metrics(Ecosystem.ref()) :: {:ok, map()} | {:error, Error.t()}
  def ecosystem_metrics(ecosystem) do
    Handle.with_table(ecosystem, "Telemetry.ecosystem_metrics/1", fn _supervisor, table ->
      {:ok, Metrics.look(table)}
    end)
  end

  @doc """
  Runs the function between two events and returns its result.

  | event | measurements | metadata |
  |---|---|---|
  | `prefix ++ [:start]` | `monotonic_time`, `system_time` | `metadata` |
  | `prefix ++ [:stop]` | `duration`, `monotonic_time`, and those that the function returns | what the function returns |
  | `prefix ++ [:exception]` | `duration`, `monotonic_time` | `metadata`, `kind`, `reason`, `stacktrace` |

  Times are in the VM's native unit (`System.convert_time_unit/3`). The function returns
  `{result, metadata}` or `{result, measurements, metadata}`; its measurements cannot replace
  `duration` and `monotonic_time`. What it raises, throws or exits with goes on after the exception
  event, with its stack trace. The metadata of the events of one span share a `telemetry_span_context`, a
  reference made here unless given in the metadata.

  Raises `ArgumentError` if an argument is of the wrong type or the function returns anything else.

      iex> Foundation.Telemetry.span([:my_app, :sum], %{items: 3}, fn ->
      ...>   {Enum.sum([1, 2, 3]), %{items: 3}}
      ...> end)
      6
  """
  @spec span(event_name(), metadata(), (() -> span_result())) :: any()
  def span(prefix, metadata, function), do: Dispatch.span(prefix, metadata, function)

  @doc """
  Attaches the function to one event, under an id; `config` is passed to it at each call.

  Returns `{:error, :already_exists}` if the id is taken and `{:error, %Foundation.Error{}}` with
  `error_type: :not_started` if the application `:foundation` is not started. Raises `ArgumentError`
  if the event is no non-empty list of atoms or the function's arity is not 4.

      iex> Foundation.Telemetry.attach(:doc, [:my_app, :done], fn _, _, _, _ -> :ok end, nil)
      :ok
      iex> Foundation.Telemetry.attach(:doc, [:my_app, :done], fn _, _, _, _ -> :ok end, nil)
      {:error, :already_exists}
      iex> Foundation.Telemetry.detach(:doc)
      :ok
  """
  @spec attach(handler_id(), event_name(), handler_function(), config :: term()) ::
          :ok | {:error, :already_exists | Error.t()}
  def attach(id, event, function, config) do
    Dispatch.attach_many(id, [event], function, config)
  end

  @doc """
  Attaches the function to several events under one id; `detach/1` takes it from all of them.

  An event that is named twice counts once. Results and errors are those of `attach/4`.

      iex> events = [[:my_app, :start], [:my_app, :stop]]
      iex> Foundation.Telemetry.attach_many(:doc_many, events, fn _, _, _, _ -> :ok end, nil)
      :ok
      iex> Foundation.Telemetry.detach(:doc_many)
      :ok
  """
  @spec attach_many(handler_id(), [event_name()], handler_function(), config :: term()) ::
          :ok | {:error, :already_exists | Error.t()}
  def attach_many(id, events, function, config) do
    Dispatch.attach_many(id, events, function, config)
  end

  @doc """
  Detaches what was attached under the id, from all its events.

      iex> Foundation.Telemetry.detach(:never_attached)
      {:error, :not_found}
  """
  @spec detach(handler_id()) :: :ok | {:error, :not_found}
  def detach(id), do: Dispatch.detach(id)

  @doc """
  The handlers of every event whose name starts with the prefix; `[]` as prefix gives them all.

  Raises `ArgumentError` if the prefix is no list of atoms.

      iex> Foundation.Telemetry.attach(:doc_list, [:doc, :list, :done], fn _, _, _, _ -> :ok end, 7)
      :ok
      iex> [handler] = Foundation.Telemetry.list_handlers([:doc, :list])
      iex> {handler.id, handler.event_name, handler.config}
      {:doc_list, [:doc, :list, :done], 7}
      iex> Foundation.Telemetry.detach(:doc_list)
      :ok
  """
  @spec list_handlers([atom()]) :: [handler()]
  def list_handlers(prefix), do: Dispatch.list_handlers(prefix)
end
