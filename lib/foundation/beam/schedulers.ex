defmodule Foundation.BEAM.Schedulers do
  @moduledoc """
  Work shared out over the schedulers, and what the schedulers do meanwhile.

    * `get_scheduler_utilization/1`, `utilization_stream/1` - how busy each scheduler was.
  """

  alias Foundation.BEAM.Schedulers.Utilization

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
end
