defmodule Foundation.BEAM.Schedulers do
  @moduledoc """
  Work shared out over the schedulers, and what the schedulers do meanwhile.

    * `balance_work_across_schedulers/3` - a parallel map whose processes take what there is to do.
    * `get_scheduler_utilization/1`, `utilization_stream/1` - how busy each scheduler was.
  """

  alias Foundation.BEAM.Schedulers.{Balance, Utilization}

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

  Any enumerable is taken, and read to its end before the first call. Each item is copied to the
  process that works on it, each result back.

  ## Crashes and time

  The processes are `Task`s, linked to the caller, with its `$callers` and `$ancestors`. If the
  function raises, throws or exits, the process logs it and ends, the caller gets its exit signal
  and, where it traps exits, exits itself as `Task.await_many/2` does, with
  `{reason, {Foundation.BEAM.Schedulers, :balance_work_across_schedulers, [{:items, count}, fun, opts]}}`.
  When `:timeout` has passed it exits so with the reason `:timeout`. In both cases the other
  processes are killed. If the caller ends, they end.

  Raises `ArgumentError` for what is no enumerable (or an improper list), a function of another
  arity, and for unknown or wrong options.

  ## Cost

  Some microseconds for each process and each batch: for work of under about 50 us altogether
  `Enum.map/2` takes less (`bench/schedulers/balance.exs`). A message queue that is already long is
  walked for each batch.

  With `pin: true` a process waits for its own scheduler also when another is free; it is for
  measurements, and for caches that are a processor's own.

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
    do: Balance.run(work_items, worker_fun, opts, __MODULE__)
end
