defmodule Foundation.BEAM.Memory.Isolation do
  @moduledoc false

  # A function in a process of its own, within limits. Three processes know of each other:
  #
  #   * the caller starts the other two, and waits; the time limit is its own, so that nothing can
  #     delay it
  #   * the worker runs the function, and sends what came of it to an alias of the caller: what comes
  #     too late goes nowhere (`Isolation.Worker`)
  #   * the guard kills the worker when the caller is gone, or the worker refers to too many bytes of
  #     binaries, and monitors it in the caller's place (`Isolation.Guard`): exit reasons are copied to
  #     whoever monitors, and may be of any size

  alias Foundation.BEAM.Memory.Isolation.{Guard, Worker}
  alias Foundation.BEAM.Term.Size
  alias Foundation.{Error, Options}

  @where "Memory.isolate/2"

  # Below is what the VM gives every process, above is what it takes as a limit.
  @smallest_heap 233
  @largest_heap 0x7FF_FFFF_FFFF_FFFF
  # A gibibyte: the VM allocates it before the function runs, or ends.
  @largest_first 134_217_728

  @schema Options.schema!(
            max_heap_size: [
              type: {:or, [{:integer, @smallest_heap, @largest_heap}, {:in, [:infinity]}]},
              default: :infinity,
              doc:
                "Words of heap (8 bytes each) past which the VM ends the work, at a collection."
            ],
            min_heap_size: [
              type: {:integer, 0, @largest_first},
              doc:
                "Words of heap to begin with, which the VM rounds up: with as many as are needed, " <>
                  "nothing is ever collected. Default: the VM's."
            ],
            max_binary_bytes: [
              type: {:or, [:pos_integer, {:in, [:infinity]}]},
              default: :infinity,
              doc:
                "Bytes of binaries above 64 bytes, which lie outside the heap, that the work may " <>
                  "refer to, those that it was given included. Looked at every 10 ms."
            ],
            timeout: [
              type: :timeout,
              default: 60_000,
              doc: "Milliseconds that the work may take."
            ],
            max_size: [
              type: :pos_integer,
              default: 1_073_741_824,
              doc:
                "Bytes of heap and binaries that the function's variables, and its result, may " <>
                  "have, parts met twice counted twice; with `result: :binary` also that of its " <>
                  "external format, as `:erlang.external_size/1` puts it."
            ],
            result: [
              type: {:in, [:copy, :shared_term, :binary]},
              default: :copy,
              doc:
                "How the result comes: itself, as one message; as the handle of a " <>
                  "`Foundation.BEAM.SharedTerm`; or in external format, for `:erlang.binary_to_term/1`, as a " <>
                  "binary that is not copied."
            ]
          )

  # The monitor is of the guard, and the owner's, as is the alias. `awaited` is 1 from when somebody does.
  @enforce_keys [:owner, :worker, :monitor, :alias, :deadline, :opts, :awaited]
  defstruct @enforce_keys

  @opaque t :: %__MODULE__{}

  @spec schema() :: Options.schema()
  def schema, do: @schema

  @spec isolate((() -> term()), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def isolate(fun, opts), do: with(%__MODULE__{} = work <- start(fun, opts), do: await(work))

  @doc "Starts the work; the process that did so awaits it."
  @spec start((() -> term()), keyword(), String.t()) :: t() | {:error, Error.t()}
  def start(fun, opts, where \\ @where)

  def start(fun, opts, where) when is_function(fun, 0) do
    opts = Options.validate!(opts, @schema, where)

    # A function that shares its variables' parts without end could not be copied into the worker.
    if Size.measure(fun, opts.max_size).complete?,
      do: spawned(fun, opts, where),
      else: {:error, Worker.too_large("the function's variables are", opts.max_size)}
  end

  def start(fun, _opts, where) do
    raise ArgumentError, "expected a function of arity 0 in #{where}, got: #{Options.given(fun)}"
  end

  @doc "What came of the work, once. Nothing of it stays: no process, no message."
  @spec await(t(), String.t()) :: {:ok, term()} | {:error, Error.t()}
  def await(work, where \\ @where)

  def await(%__MODULE__{owner: owner} = work, where) when owner == self() do
    :atomics.exchange(work.awaited, 1, 1) == 0 ||
      raise ArgumentError, "the work given to #{where} has been awaited already"

    outcome(work)
  end

  def await(%__MODULE__{owner: owner}, where) do
    raise ArgumentError,
          "the work given to #{where} was started by another process, #{inspect(owner)}: " <>
            "the one that starts it awaits it"
  end

  def await(other, where), do: Options.refuse!("work of start_isolated_work/2", where, other)

  defp outcome(%{alias: reply, monitor: monitor} = work) do
    receive do
      {^reply, outcome} -> settle(work, outcome)
      {:DOWN, ^monitor, :process, _, reason} -> settle(work, {:error, ended(work, reason)})
    after
      left(work.deadline) ->
        Process.exit(work.worker, :kill)
        settle(work, {:error, timeout(work.opts.timeout)})
    end
  end

  defp spawned(fun, opts, where) do
    callers = [self() | List.wrap(Process.get(:"$callers"))]
    {guard, monitor} = Guard.start(opts.max_binary_bytes)
    reply = :erlang.alias()

    try do
      spawn_limited([fun, reply, callers, guard, opts], opts, where)
    catch
      kind, reason ->
        Process.exit(guard, :kill)
        Process.demonitor(monitor, [:flush])
        :erlang.unalias(reply)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      worker ->
        Guard.guard(guard, worker)

        %__MODULE__{
          owner: self(),
          worker: worker,
          monitor: monitor,
          alias: reply,
          deadline: deadline(opts.timeout),
          opts: opts,
          awaited: :atomics.new(1, [])
        }
    end
  end

  defp spawn_limited(arguments, opts, where) do
    :erlang.spawn_opt(Worker, :run, arguments, heap(opts))
  catch
    :error, :system_limit ->
      :erlang.error(:system_limit)

    # What is left for the VM to refuse: a first heap that it would round up past the limit.
    :error, :badarg ->
      raise ArgumentError,
            "invalid options in #{where}: expected a :min_heap_size which, rounded up to the VM's " <>
              "next size of a heap, is at most :max_heap_size, got: " <>
              "#{opts.min_heap_size || "the VM's"} and #{opts.max_heap_size}"
  end

  # What is not given stays as the VM was started with.
  defp heap(%{min_heap_size: min, max_heap_size: max}) do
    first = if min, do: [min_heap_size: min], else: []

    if max == :infinity,
      do: first,
      else: [{:max_heap_size, %{size: max, kill: true, error_logger: false}} | first]
  end

  # Once the alias is gone, nothing can arrive that is not here already. What did arrive in time, or
  # while the work was being ended, is the outcome.
  defp settle(%{alias: reply, monitor: monitor}, outcome) do
    Process.demonitor(monitor, [:flush])
    :erlang.unalias(reply)

    receive do
      {^reply, arrived} -> arrived
    after
      0 -> outcome
    end
  end

  defp ended(_work, {:isolated, {:failed, error}}), do: error

  defp ended(work, {:isolated, {:binary_limit, bytes}}),
    do: binary_limit(bytes, work.opts.max_binary_bytes)

  # The VM says no more of its own limit.
  defp ended(%{opts: %{max_heap_size: max}}, {:isolated, :killed}) when max != :infinity,
    do: heap_limit(max)

  defp ended(_work, {:isolated, :killed}), do: killed()

  # Somebody killed the guard, and the work is without one.
  defp ended(work, _reason) do
    Process.exit(work.worker, :kill)
    killed()
  end

  defp killed, do: Error.new(:killed, "the work was killed")

  defp heap_limit(max) do
    text = "the work was ended past max_heap_size, #{max} words"
    Error.new(:heap_limit, text, %{max_heap_size: max})
  end

  defp binary_limit(bytes, max) do
    text = "the work was ended past max_binary_bytes, #{max}: it referred to #{bytes}"
    Error.new(:binary_limit, text, %{max_binary_bytes: max, bytes: bytes})
  end

  defp timeout(ms), do: Error.new(:timeout, "the work took more than #{ms} ms", %{timeout: ms})

  defp deadline(:infinity), do: :infinity
  defp deadline(ms), do: System.monotonic_time(:millisecond) + ms

  defp left(:infinity), do: :infinity
  defp left(deadline), do: max(0, deadline - System.monotonic_time(:millisecond))
end
