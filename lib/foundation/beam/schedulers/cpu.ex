defmodule Foundation.BEAM.Schedulers.Cpu do
  @moduledoc false

  # `Schedulers.cpu_intensive/3`: for functions, in the caller, or as a job in processes of its own
  # where something must be able to end it, or several are to share the work; for native kernels.

  alias Foundation.BEAM.Schedulers.{Chunks, Ends, Folding, Job, Kernels, NativeJob}
  alias Foundation.BEAM.Schedulers.{Pace, Progress, Turns}
  alias Foundation.Options

  @where "Schedulers.cpu_intensive/3"

  @schema Options.schema!(
            chunk_size: [
              type: {:or, [{:in, [:auto]}, :pos_integer]},
              default: :auto,
              doc:
                "Items in a chunk. `:auto` measures what chunks of a list cost and makes them of " <>
                  "about `:reduction_limit` reductions; data that is no list then stays whole."
            ],
            reduction_limit: [
              type: :pos_integer,
              default: 2000,
              doc:
                "Reductions after which the function's process lets others run, once its chunk " <>
                  "is done."
            ],
            progress: [
              type: {:or, [{:fun, 1}, :pid]},
              doc:
                "Told `%{done: items, total: items}` (`total` is `:unknown` for streams, until " <>
                  "the end): a function, called in the caller, or a process, which is sent " <>
                  "`{:cpu_progress, caller, figures}`."
            ],
            progress_interval: [
              type: :non_neg_integer,
              default: 100,
              doc:
                "Milliseconds between two of those, at least; the last always comes. 0 tells " <>
                  "after every chunk."
            ],
            timeout: Ends.option(:timeout),
            cancel: Ends.option(:cancel),
            max_concurrency: [
              type: {:integer, 1, 1024},
              doc: "Processes that share the chunks."
            ],
            priority: [
              type: {:in, [:low, :normal]},
              doc:
                "The priority of the process that the function runs in. `:low` runs it once for " <>
                  "every eight turns of others. Default: the caller's there, `:normal` in workers."
            ]
          )

  @doc "The documentation of the options."
  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "What `cpu_intensive/3` does: for a function, or for a kernel by its name."
  @spec run(term(), (term() -> term()) | {:native | :auto, atom()}, keyword()) :: term()
  def run(data, fun, opts) when is_function(fun, 1) do
    options = Options.validate!(opts, @schema, @where)
    plan = Chunks.plan(data, options.chunk_size, @where)
    progress = Progress.new(options.progress, options.progress_interval, total(plan))

    if here?(options),
      do: with_priority(options.priority, fn -> here(plan, fun, pace(options), progress) end),
      else: Job.run(plan, fun, pace(options), progress, options)
  end

  def run(data, {way, name}, opts) when way in [:native, :auto] do
    kernel = Kernels.fetch!(name)
    {options, args} = Kernels.options!(kernel, opts)
    data = Kernels.data!(kernel, data)
    ends = Ends.new(options)
    with_priority(options.priority, fn -> kernel(way, kernel, data, args, ends, options) end)
  end

  def run(_data, fun, _opts),
    do:
      Options.refuse!("a function of arity 1, {:native, kernel} or {:auto, kernel}", @where, fun)

  defp kernel(:auto, %{fold?: true} = kernel, {:list, list} = data, args, ends, options) do
    with :native <- Folding.run(kernel.module, list, ends, options),
         do: NativeJob.run(kernel, data, args, ends, options)
  end

  defp kernel(_way, kernel, data, args, ends, options),
    do: NativeJob.run(kernel, data, args, ends, options)

  defp here({:whole, data}, fun, _pace, progress) do
    result = fun.(data)
    progress |> Progress.add(1) |> Progress.finish()
    result
  end

  defp here({:chunks, source, _total}, fun, pace, progress) do
    {results, _pace, progress} = Turns.each(source, fun, pace, progress)
    Progress.finish(progress)
    results
  end

  # Nothing can end a function in the caller but the caller's own end.
  defp here?(options),
    do:
      is_nil(options.max_concurrency) and is_nil(options.cancel) and options.timeout == :infinity

  defp pace(options), do: Pace.new(options.reduction_limit, options.chunk_size)

  defp total({:whole, _data}), do: 1
  defp total({:chunks, _source, total}), do: total

  defp with_priority(nil, run), do: run.()

  defp with_priority(priority, run) do
    before = Process.flag(:priority, priority)

    try do
      run.()
    after
      Process.flag(:priority, before)
    end
  end
end
