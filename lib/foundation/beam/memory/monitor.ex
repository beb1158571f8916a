defmodule Foundation.BEAM.Memory.Monitor do
  @moduledoc """
  Watches how much of the memory that this VM may use is used, and tells when it becomes scarce.

  The level is `:low`, `:medium` or `:high`, from the fullest of these limits:

    * `:container` - the control group's (version 1 or 2; `memory.max`, `memory.high` or
      `memory.limit_in_bytes`), and those of every group above it that can be seen. Page cache that the
      kernel drops first (`inactive_file`) does not count as used.
    * `:machine` - the machine's memory, against what of it is not available. What others use counts:
      it is not there for this VM.
    * `:vm` - the VM's own reservation, where it was started with `+MMsco true`.
    * `:process` - the limits of addresses and data (`ulimit -v`, `ulimit -d`).

  "Fullest" is by the part that is used, not by size. Swap is no limit here. Where the system does not
  tell (no Linux), no limit is known and the level stays `:low`; `info/1` says under `:source` where the
  figures come from.

  Every `interval` the monitor looks at what the VM has mapped itself. When this has moved by a hundredth of
  the limit, or by 64 MiB, it reads the system's figures in this look and the next, otherwise in every
  fourth. The level rises in the reading that finds a threshold reached: one `interval` after the VM has
  taken a large piece at the latest, four after it grew in small ones or others took memory. It falls when
  the part is below the threshold by `hysteresis`. Looks are due at fixed times: one that is late does not
  move the next, those that were missed are left out. A limit that has been changed, and a move to another
  control group, take up to 5 seconds more.

  At the default interval an allocation of 500 MB that crosses a threshold is noticed within a second, and
  the monitor takes under 0.1 % of one core. Nearly all of that is the busy waiting of the VM's threads once
  they have been woken (`+sbwt`, `+sbwtdio`), which a shorter interval pays more often;
  `mix run bench/memory/monitor.exs` prints both.

  ## Starting one

      config :foundation, memory_monitor: true
      config :foundation, memory_monitor: [interval: 1_000, high: 0.85]

  starts it with the application `:foundation`, or it goes into your own tree:

      children = [{Foundation.BEAM.Memory.Monitor, name: MyApp.Memory, medium: 0.6}]

  ## Who is told

    * Every process that called `subscribe/1`, by a message at each change:

          {:foundation_memory_pressure,
           %{level: :high, previous: :medium, fraction: 0.93, kind: :container, limit: 536_870_912,
             used: 499_289_948, monitor: pid}}

      `limit` and `used` in bytes; `kind` and `limit` are `nil` where no limit is known any more.
      Subscribers that end are forgotten. One on another node misses the change while the connection to
      it is full: the monitor waits for nobody.
    * Handlers of the telemetry event `[:foundation, :ecosystem, :memory_pressure]`, at each change, with
      the measurements `fraction`, `used` and `limit` (0 where none is known) and the metadata `level`,
      `previous`, `kind` and `monitor` (ecosystems execute it too, with `id` in its place). They run in the monitor, after the messages have been sent: a slow
      one delays the next reading and the answers of `subscribe/1` and `info/1`.

  Before its first reading the level counts as `:low`: one that starts under pressure tells of it.

  ## Example

      iex> alias Foundation.BEAM.Memory.Monitor
      iex> {:ok, monitor} = Monitor.start_link(name: nil, medium: 0.6, high: 0.8)
      iex> {:ok, level} = Monitor.subscribe(monitor)
      iex> level in [:low, :medium, :high]
      true
      iex> Monitor.info(monitor).fraction >= 0.0
      true
      iex> GenServer.stop(monitor)
      :ok
  """

  alias Foundation.BEAM.Memory.Monitor.Server
  alias Foundation.BEAM.Memory.Pressure
  alias Foundation.{Error, Options}

  @patience 5_000

  @typedoc "The process: its pid, its name, or `{name, node}`."
  @type monitor :: GenServer.server()

  @type level :: :low | :medium | :high

  @typedoc """
  The last reading: how full the fullest limit is, all limits with what is used of them (bytes), and how
  many readings there were; `resident` is the memory of this VM that is resident now (bytes, `nil` where
  unknown).

  `source` is `:os`, `:vm` where only `:erlang.memory(:total)` tells how much is used, or `:none`.
  """
  @type info :: %{
          level: level(),
          fraction: float(),
          kind: :container | :machine | :vm | :process | nil,
          limit: non_neg_integer() | nil,
          used: non_neg_integer(),
          limits: [map()],
          resident: non_neg_integer() | nil,
          source: :os | :vm | :none,
          readings: pos_integer(),
          subscribers: non_neg_integer(),
          interval: pos_integer(),
          thresholds: %{medium: number(), high: number(), hysteresis: number()}
        }

  @where "Memory.Monitor.start_link/1"

  @server_name {:custom, "an atom, `{:global, term}`, `{:via, module, term}` or `nil`",
                &__MODULE__.name?/1}

  @schema Options.schema!(
            [
              name: [
                type: @server_name,
                default: __MODULE__,
                doc: "What the process is registered as; `nil` for no name."
              ],
              interval: [
                type: {:integer, 10, 86_400_000},
                default: 900,
                doc: "Milliseconds from one look to the next."
              ]
            ] ++
              Pressure.options() ++
              [
                root: [
                  type: {:custom, "a path", &is_binary/1},
                  default: "/",
                  doc: "The folder in which `proc` and `sys` are; for tests that imitate them."
                ]
              ]
          )

  @doc """
  Starts a monitor, linked to the caller.

  Raises `ArgumentError` for an unknown option, a value of the wrong type and thresholds out of order
  (`0 < medium < high`, `hysteresis < medium`).

  ## Options

  #{Options.docs(@schema)}

      iex> Foundation.BEAM.Memory.Monitor.start_link(medium: 0.9, high: 0.8)
      ** (ArgumentError) invalid option :high in Memory.Monitor.start_link/1: expected a number above :medium (0.9), got: 0.8
  """
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts \\ []) do
    options = options!(opts)
    name = if options.name, do: [name: options.name], else: []
    GenServer.start_link(Server, options, name)
  end

  @doc """
  For a supervisor; options as in `start_link/1`, checked here. The child's id is the monitor's name.

      iex> Foundation.BEAM.Memory.Monitor.child_spec(name: :my_monitor).id
      :my_monitor
  """
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts) do
    %{id: options!(opts).name || __MODULE__, start: {__MODULE__, :start_link, [opts]}}
  end

  @doc false
  # What `config :foundation, memory_monitor: ...` asks for, as children of the application.
  @spec configured() :: [{module(), keyword()}]
  def configured do
    case Application.get_env(:foundation, :memory_monitor, false) do
      off when off in [false, nil] ->
        []

      true ->
        [{__MODULE__, []}]

      opts when is_list(opts) ->
        [{__MODULE__, opts}]

      other ->
        raise ArgumentError,
              "invalid config :foundation, memory_monitor: expected a boolean or " <>
                "a keyword list of options, got: #{Options.given(other)}"
    end
  end

  @doc """
  Subscribes the caller to changes of the level and returns the present one; no change is missed between
  the answer and the first message. A second call only returns the level.

  `{:error, %Foundation.Error{}}` with `error_type` `:noproc` where no such monitor is alive, `:timeout`
  where it does not answer within 5 seconds (messages may come all the same).

      iex> {:ok, monitor} = Foundation.BEAM.Memory.Monitor.start_link(name: nil)
      iex> {:ok, level} = Foundation.BEAM.Memory.Monitor.subscribe(monitor)
      iex> level in [:low, :medium, :high]
      true
      iex> GenServer.stop(monitor)
      iex> {:error, error} = Foundation.BEAM.Memory.Monitor.subscribe(monitor)
      iex> error.error_type
      :noproc
  """
  @spec subscribe(monitor()) :: {:ok, level()} | {:error, Error.t()}
  def subscribe(monitor \\ __MODULE__), do: call(monitor, :subscribe)

  @doc """
  Ends the caller's subscription: after the answer no message is sent; those that came before stay in the
  caller's queue. Errors are those of `subscribe/1`.

      iex> {:ok, monitor} = Foundation.BEAM.Memory.Monitor.start_link(name: nil)
      iex> Foundation.BEAM.Memory.Monitor.unsubscribe(monitor)
      :ok
      iex> GenServer.stop(monitor)
      :ok
  """
  @spec unsubscribe(monitor()) :: :ok | {:error, Error.t()}
  def unsubscribe(monitor \\ __MODULE__), do: call(monitor, :unsubscribe)

  @doc """
  The level of the last reading. Of a monitor that is named by an atom it is read without a message, in
  under a microsecond: cheap enough to ask before each piece of work. Errors are those of `subscribe/1`;
  an atom that names a process which is no monitor is `:noproc` too, and that process is not called.

      iex> {:ok, _} = Foundation.BEAM.Memory.Monitor.start_link(name: :doc_monitor)
      iex> Foundation.BEAM.Memory.Monitor.level(:doc_monitor) in [:low, :medium, :high]
      true
      iex> GenServer.stop(:doc_monitor)
      :ok
  """
  @spec level(monitor()) :: level() | {:error, Error.t()}
  def level(monitor \\ __MODULE__)

  def level(name) when is_atom(name) do
    # A monitor that was killed leaves its last level behind.
    case Process.whereis(name) && Server.published(name) do
      nil -> gone(name)
      :unread -> call(name, :level)
      level -> level
    end
  end

  def level(monitor), do: call(monitor, :level)

  @doc """
  The last reading with the monitor's options. Errors are those of `subscribe/1`.

      iex> {:ok, monitor} = Foundation.BEAM.Memory.Monitor.start_link(name: nil, high: 0.8)
      iex> Foundation.BEAM.Memory.Monitor.info(monitor).thresholds.high
      0.8
      iex> GenServer.stop(monitor)
      :ok
  """
  @spec info(monitor()) :: info() | {:error, Error.t()}
  def info(monitor \\ __MODULE__), do: call(monitor, :info)

  @doc false
  def name?(name) when is_atom(name), do: name not in [:undefined, true, false]
  def name?({:global, _term}), do: true
  def name?({:via, module, _term}), do: is_atom(module)
  def name?(_other), do: false

  defp options!(opts) do
    opts |> Options.validate!(@schema, @where) |> Pressure.in_order!(@where)
  end

  defp call(monitor, request) when is_pid(monitor) or is_atom(monitor) or is_tuple(monitor) do
    GenServer.call(monitor, request, @patience)
  catch
    # What else goes wrong, such as a call from within the monitor, is a mistake.
    :exit, {:timeout, _call} ->
      {:error, Error.new(:timeout, "the monitor has not answered within #{@patience} ms")}

    :exit, {reason, _call} when reason in [:noproc, :normal, :shutdown, :killed] ->
      gone(monitor)

    :exit, {{reason, _}, _call} when reason in [:nodedown, :shutdown] ->
      gone(monitor)
  end

  defp call(other, _request) do
    raise ArgumentError, "expected a monitor (its pid or name), got: #{Options.given(other)}"
  end

  defp gone(monitor) do
    {:error, Error.new(:noproc, "no such monitor is alive", %{monitor: monitor})}
  end
end
