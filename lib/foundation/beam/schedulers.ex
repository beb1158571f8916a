defmodule Foundation.BEAM.Schedulers do
  @moduledoc """
  Heavy work that leaves the system responsive, work shared out over the schedulers, and what the
  schedulers do meanwhile.

    * `cpu_intensive/3` - a function over data, in chunks between which others run; or a native
      kernel, in slices. `kernels/0` lists these.
    * `cancel_handle/0`, `cancel/1`, `cancelled?/1` - a way to end such work.
    * `balance_work_across_schedulers/3` - a parallel map whose processes take what there is to do.
    * `get_scheduler_utilization/1`, `utilization_stream/1` - how busy each scheduler was.
    * `yield_every/2`, `reductions/1` - reductions, the VM's own measure of work.
  """

  alias Foundation.BEAM.Schedulers.{Balance, Cancel, Cpu, Items, Kernel, Kernels, Reductions}
  alias Foundation.BEAM.Schedulers.{Utilization, Yielding}
  alias Foundation.{Error, Options}

  # Heavy work

  @typedoc "A handle by which work is cancelled: made here, used on this node, freed with its last holder."
  @opaque cancel_handle :: Cancel.t()

  @typedoc "A native kernel, or what is quicker of that and of Elixir for the data."
  @type kernel :: {:native, atom()} | {:auto, atom()}

  @doc """
  Calls `fun` with `data` in chunks, and lets other processes run between them; or has a native
  kernel work on it, which the second half of this page is about.

  A list is cut into chunks: `fun` gets a chunk, a list, as often as there are chunks, and the lists
  that it returns are joined in order. Only one level is joined: elements that are lists stay lists.
  A result that is no list is one element. The function is not called for an empty list. The size of
  the chunks is not a part of the contract (unless `:chunk_size` gives it), so the function must give
  the same for a list as for its parts: `&Enum.map(&1, f)`, a filter; not a sort.

      iex> Foundation.BEAM.Schedulers.cpu_intensive([1, 2, 3], fn chunk ->
      ...>   Enum.map(chunk, &(&1 * &1))
      ...> end)
      [1, 4, 9]

      iex> Foundation.BEAM.Schedulers.cpu_intensive([1, 2, 3, 4, 5], &Enum.sum/1, chunk_size: 2)
      [3, 7, 5]

  Other data `fun` gets whole, and its result is returned as it is. With a number as `:chunk_size`,
  whatever is enumerable (a map, a range, a stream) is worked on in chunks as well.

      iex> Foundation.BEAM.Schedulers.cpu_intensive("abc", &String.upcase/1)
      "ABC"

      iex> Foundation.BEAM.Schedulers.cpu_intensive(1..5, & &1, chunk_size: 2)
      [1, 2, 3, 4, 5]

  ## Options

  #{Cpu.docs()}

  ## Where the function runs

  In the caller, so that its process dictionary is its own and an error needs no way back. With
  `:timeout`, `:cancel` or `:max_concurrency` it runs in other processes, one or as many as
  `:max_concurrency` says: something must be able to end it. They have `$callers` and `$ancestors` as
  a `Task` has; they end, whatever they are doing, before the call returns, and when the caller dies.
  A stream is then read in a process that does nothing else.

  Several share the work: who has nothing to do takes the next chunks, and in the end those that
  others have not begun. So no chunk waits behind a heavy one unless everybody works. A chunk itself
  is not divided: with `chunk_size: 1` heavy neighbours are shared out one by one.

  The data and the results are copied, in messages of 4,096 items at the most, unless a chunk has or
  gives more. Data that is worked on whole, its result, and what a stream holds are copied in one
  step that nothing interrupts: about a millisecond for a million words.

  What the function raises, throws or exits with reaches the caller with its own stack trace, and
  ends the work; of several workers' errors the first to arrive. A worker that is killed makes the
  caller exit with `{reason, {Foundation.BEAM.Schedulers, :cpu_intensive, 3}}`. After an error a
  stream is closed, for which it has half a second; a timeout, a cancellation and a kill leave it as
  it is. The function of `:progress` runs in the caller always; what it raises ends the work, and
  `:timeout` and `:cancel` do not interrupt it. Where it receives messages that are not its own, the
  results may be among them: then the call raises `ArgumentError`.

  ## Errors

  `{:error, %Foundation.Error{}}`, without the results so far:

  | `error_type` | it means |
  |---|---|
  | `:timeout` | the work was not done within `:timeout` |
  | `:cancelled` | somebody called `cancel/1`, during the work or before |

  ## Cost

  A chunk of `:auto` costs about `:reduction_limit` reductions, as far as that is known from the
  chunk before: chunks begin with one item and double. Work that reductions do not count, as of
  native functions, is counted by its time, 125 ns a reduction. Where calling the function costs more
  than that by itself, chunks grow until about half of what is done is work on items.

  The VM interrupts a process after 4,000 reductions anyhow. What chunks add: native work, which it
  does not interrupt, ends in time; work can be seen and ended. Cutting, measuring and joining take
  some 15 ns an item of 100,000 where items cost nothing to speak of (two to five times that for
  millions, whose memory is collected meanwhile), and about a tenth of a chunk's own time at the most
  where they do (`bench/schedulers.exs cpu` prints both for 100,000 and 20,000).

  #{Kernels.Docs.section()}
  """
  @spec cpu_intensive(term(), (term() -> term()) | kernel(), keyword()) ::
          term() | {:error, Error.t()}
  def cpu_intensive(data, fun_or_kernel, opts \\ []), do: Cpu.run(data, fun_or_kernel, opts)

  @doc """
  The native kernels that `cpu_intensive/3` takes, each with what it works on and its options.

      iex> kernels = Foundation.BEAM.Schedulers.kernels()
      iex> Enum.find(kernels, &(&1.name == :sort)).takes
      :numbers
  """
  @spec kernels() :: [Kernel.t(), ...]
  def kernels, do: Kernels.all()

  @doc """
  A new handle for the `:cancel` option, of one call or of many.

      iex> handle = Foundation.BEAM.Schedulers.cancel_handle()
      iex> Foundation.BEAM.Schedulers.cancelled?(handle)
      false
  """
  @spec cancel_handle() :: cancel_handle()
  def cancel_handle, do: Cancel.new()

  @doc """
  Cancels all work that was started with the handle, and all that will be. Again does nothing.

  Any process may call it. It returns at once; the calls that it ends return
  `{:error, %Foundation.Error{error_type: :cancelled}}`.

      iex> alias Foundation.BEAM.Schedulers
      iex> handle = Schedulers.cancel_handle()
      iex> Schedulers.cancel(handle)
      :ok
      iex> {:error, error} = Schedulers.cpu_intensive([1, 2], & &1, cancel: handle)
      iex> error.error_type
      :cancelled
  """
  @spec cancel(cancel_handle()) :: :ok
  def cancel(handle) do
    Cancel.handle?(handle) || no_handle!("Schedulers.cancel/1", handle)
    Cancel.cancel(handle)
  end

  @doc """
  Whether the handle was cancelled, for work that wants to end by itself. Takes nanoseconds.

      iex> handle = Foundation.BEAM.Schedulers.cancel_handle()
      iex> Foundation.BEAM.Schedulers.cancel(handle)
      iex> Foundation.BEAM.Schedulers.cancelled?(handle)
      true
  """
  @spec cancelled?(cancel_handle()) :: boolean()
  def cancelled?(handle) do
    Cancel.handle?(handle) || no_handle!("Schedulers.cancelled?/1", handle)
    Cancel.cancelled?(handle)
  end

  # Utilization

  @typedoc "Schedulers of one kind: the share of each by its number, and their mean; 0.0 to 1.0."
  @type shares :: %{individual: [{pos_integer(), float()}], average: float()}

  @typedoc "What `get_scheduler_utilization/1` tells."
  @type utilization :: %{
          individual: [{pos_integer(), float()}],
          average: float(),
          scheduler_count: pos_integer(),
          weighted: float(),
          dirty_cpu: shares(),
          dirty_io: shares(),
          run_queues: %{
            individual: [{pos_integer(), non_neg_integer()}],
            total: non_neg_integer(),
            dirty_cpu: non_neg_integer(),
            dirty_io: non_neg_integer()
          },
          window_ms: float()
        }

  @doc """
  The share of a time window that each scheduler worked, 0.0 to 1.0. Takes `:sample_ms`.

    * `:individual` - `[{number, share}]` of the normal schedulers online.
    * `:average` - the mean of these.
    * `:scheduler_count` - how many these are.
    * `:weighted` - the time that normal and dirty CPU schedulers worked, over the time that the
      machine's processors had. It exceeds 1.0 where more schedulers work than there are processors.
    * `:dirty_cpu`, `:dirty_io` - `:individual` and `:average` of the dirty schedulers of each kind,
      under the VM's numbers.
    * `:run_queues` - what waits, when the window ends, for each normal scheduler
      (`:individual`), for all of these (`:total`), and for the dirty schedulers.
    * `:window_ms` - milliseconds from the first reading of the clocks to the last.

  The figures are those of `:erlang.statistics(:scheduler_wall_time_all)`: a scheduler works when it
  runs a process, a port, a NIF or a collection, and does not while it looks for work. A scheduler
  that the system has taken off its processor counts as working. Each reading waits for the normal
  schedulers to answer: one that is inside a long call of native code delays it.

  The VM's clocks run while some process asks for them. Here that is a process of the call's own,
  which ends with the call and with the caller: nobody else's `:scheduler_wall_time` is changed.

  ## Options

  #{Utilization.docs()}

  ## Example

      iex> usage = Foundation.BEAM.Schedulers.get_scheduler_utilization(sample_ms: 20)
      iex> [{1, share} | _] = usage.individual
      iex> share >= 0.0 and share <= 1.0
      true
      iex> usage.scheduler_count == System.schedulers_online()
      true
  """
  @spec get_scheduler_utilization(keyword()) :: utilization()
  def get_scheduler_utilization(opts \\ []), do: Utilization.sample(opts)

  @doc """
  A stream of what `get_scheduler_utilization/1` returns, without an end.

  Each window begins where the last one ended and lasts at least `:sample_ms`, longer where the
  consumer takes longer: no time is left out. The clocks run until the stream is left, or the
  process ends that began it; raises `RuntimeError` where another process goes on with it then.

  ## Options

  #{Utilization.docs()}

  ## Example

      iex> [first, second] =
      ...>   Foundation.BEAM.Schedulers.utilization_stream(sample_ms: 10) |> Enum.take(2)
      iex> {first.window_ms >= 10, second.window_ms >= 10}
      {true, true}
  """
  @spec utilization_stream(keyword()) :: Enumerable.t()
  def utilization_stream(opts \\ []), do: Utilization.stream(opts)

  # Balance

  @doc """
  Calls the function with each item, in as many processes as there are schedulers, and returns the
  results in the order of the items. A result that is a list stays one.

  The processes take items when they have nothing to do, in batches that shrink with what is left;
  at the end, what waits behind an item of a batch is taken back and given to another process. So
  an item waits for another one only while every process works.

  Any enumerable is taken, and read to its end by the caller, before the first call. What is no list
  may have 100,000,000 items: more are refused, those of a range at once. Each item is copied to the
  process that works on it, each result back.

  ## Crashes and time

  The processes are `Task`s, linked to the caller, with its `$callers` and `$ancestors`. If the
  function raises, throws or exits, the process logs it and ends, the caller gets its exit signal
  and, where it traps exits, exits itself as `Task.await_many/2` does, with
  `{reason, {Foundation.BEAM.Schedulers, :balance_work_across_schedulers, [{:items, count}, fun, opts]}}`.
  When `:timeout` has passed it exits so with the reason `:timeout`; while it still reads, `count` is
  `:unknown`. It looks at the clock between two items: a stream that waits for its next item is not
  interrupted. In both cases the other processes are killed. If the caller ends, they are killed.

  Raises `ArgumentError` for what is no enumerable (or an improper list, or has too many items), a
  function of another arity, and for unknown or wrong options; `SystemLimitError` where the VM has no room for the
  processes, and then none is left.

  ## Cost

  Some microseconds for each process and each batch: for work of under about 50 us altogether
  `Enum.map/2` takes less (`bench/schedulers.exs balance`). A message queue that is already long is
  walked for each batch.

  With `pin: true` a process waits for its own scheduler also when another is free; it is for
  measurements, and for caches that are a processor's own. If its scheduler goes offline during the
  call, it stands still until that is back, or until `:timeout`.

  ## Options

  #{Balance.docs()}

  ## Example

      iex> alias Foundation.BEAM.Schedulers
      iex> Schedulers.balance_work_across_schedulers(1..5, &(&1 * &1))
      [1, 4, 9, 16, 25]
      iex> Schedulers.balance_work_across_schedulers(["a b", "c"], &String.split/1, timeout: 1_000)
      [["a", "b"], ["c"]]
  """
  @spec balance_work_across_schedulers(Enumerable.t(), (term() -> result), keyword()) :: [result]
        when result: term()
  def balance_work_across_schedulers(work_items, worker_fun, opts \\ []),
    do: Balance.run(work_items, worker_fun, opts)

  # Reductions

  @doc """
  The enumerable, which whoever walks it gives up the scheduler after each `n` reductions.

  The VM takes a process off its scheduler after 4,000 reductions. A loop that yields earlier makes
  shorter turns, so that what waits behind it waits less. Reductions are counted for all that the
  loop does, its body as well; the count is looked at between two elements, each time that about a
  quarter of `n` has been used, so that one large element delays the yield.

      for row <- Schedulers.yield_every(rows, 500), do: ...

  Elements, order and early ends are those of the enumerable. The price is about 30 ns an element,
  and one of some hundred nanoseconds for each yield. `Enum.count/1` and the like walk it, too.

  Raises `ArgumentError` for what is no enumerable (or an improper list), and for an `n` that is no
  positive integer.

  ## Example

      iex> 1..3 |> Foundation.BEAM.Schedulers.yield_every(500) |> Enum.map(&(&1 * 2))
      [2, 4, 6]
  """
  @spec yield_every(Enumerable.t(), pos_integer()) :: Enumerable.t()
  def yield_every(enumerable, n) do
    where = "Schedulers.yield_every/2"
    (is_integer(n) and n > 0) || Options.refuse!("a positive integer", where, n)
    Items.count!(enumerable, where)
    %Yielding{enumerable: enumerable, every: n}
  end

  @doc """
  Calls the function, and returns `{result, reductions}`: what the caller has used for the call.

  The call itself is not counted: a function that does nothing has 0. What the VM does for the
  caller meanwhile is, a collection for instance, so the figure of the same call may differ a little
  from time to time. What other processes do for the call is not in it, and of a NIF only what it
  reports.

  What the function raises comes out unchanged. Raises `ArgumentError` for a function of another
  arity.

  ## Example

      iex> {sum, reductions} = Foundation.BEAM.Schedulers.reductions(fn -> Enum.sum(1..10) end)
      iex> {sum, reductions > 0}
      {55, true}
  """
  @spec reductions((() -> result)) :: {result, non_neg_integer()} when result: term()
  def reductions(fun) when is_function(fun, 0), do: Reductions.measure(fun)

  def reductions(fun),
    do: Options.refuse!("a function of arity 0", "Schedulers.reductions/1", fun)

  @spec no_handle!(String.t(), term()) :: no_return()
  defp no_handle!(where, term),
    do:
      Options.refuse!(
        "a handle that Schedulers.cancel_handle/0 has made on this node",
        where,
        term
      )
end
