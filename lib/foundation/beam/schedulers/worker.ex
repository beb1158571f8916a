defmodule Foundation.BEAM.Schedulers.Worker do
  @moduledoc false

  # The processes of a job that run the user's code. One of them gets data that is worked on whole.
  # For chunks there are as many as asked for, and a feeder that has the data: whoever is free takes
  # the next batch. While the function runs, its mailbox has nothing of ours: a function that
  # receives takes away only what is its own.

  alias Foundation.BEAM.Schedulers.{Chunks, Feeder, Keeper, Pace, Progress, Turns}

  @typedoc "The job: who ends it, where the caller waits, how many work, and what they do."
  @type job :: %{
          keeper: pid(),
          ref: reference(),
          workers: pos_integer(),
          priority: :low | :normal | nil,
          fun: (term() -> term()),
          pace: Pace.t(),
          progress: Progress.t()
        }

  @doc "How many processes that makes."
  @spec processes(Chunks.plan(), pos_integer()) :: pos_integer()
  def processes({:whole, _data}, 1), do: 1
  def processes({:chunks, _source, _total}, workers) when is_integer(workers), do: workers + 1

  @doc "Starts them."
  @spec start(Chunks.plan(), job()) :: [pid(), ...]
  def start({:whole, data}, job), do: [child(job, :worker, fn -> whole(data, job) end)]

  def start({:chunks, source, _total}, job) do
    feeder = feeder(source, job)
    [feeder | for(_ <- 1..job.workers, do: child(job, :worker, fn -> work(feeder, job) end))]
  end

  @doc "Hands over the data that they have not got from their start; `start/2` has given the pids."
  @spec push(Chunks.plan(), [pid(), ...], job()) :: :ok
  def push({:whole, _data}, _pids, _job), do: :ok

  def push({:chunks, source, _total}, [feeder | _workers], job),
    do: Feeder.push(source, feeder, Pace.unit(job.pace), job.keeper)

  # It answers without waiting behind those who work.
  defp feeder(source, job) do
    state = Feeder.new(source, Pace.unit(job.pace), job.workers, job.keeper, job.ref)
    role = if match?({:enum, _}, source), do: :reader, else: :worker
    options = [message_queue_data: :off_heap]
    child(%{job | priority: :normal}, role, options, fn -> Feeder.run(state) end)
  end

  # Errors go to the caller, who raises them: there is nothing to log here.
  defp child(%{keeper: keeper, ref: ref} = job, role, options \\ [], body) do
    lineage = lineage()

    run = fn ->
      Enum.each(lineage, fn {key, pids} -> Process.put(key, pids) end)
      Keeper.join(keeper)

      try do
        body.()
      catch
        kind, reason -> send(ref, {ref, {:raised, kind, reason, __STACKTRACE__}})
      end

      Keeper.finished(keeper)
    end

    pid = :erlang.spawn_opt(run, [{:priority, job.priority || :normal} | options])
    Keeper.started(keeper, pid, role)
    pid
  end

  # As `Task` has them: who called, and whose descendant it is.
  defp lineage do
    callers = Process.get(:"$callers") || []
    ancestors = Process.get(:"$ancestors") || []
    [{:"$callers", [self() | callers]}, {:"$ancestors", [self() | ancestors]}]
  end

  defp whole(data, %{ref: ref} = job) do
    result = job.fun.(data)
    job.progress |> Progress.add(1) |> Progress.finish()
    send(ref, {ref, {:batch, 0, result}})
  end

  defp work(feeder, %{ref: ref} = job) do
    Feeder.ask(feeder, Pace.batch(job.pace))

    receive do
      {^feeder, at, source, claim} ->
        {results, pace, progress} = Turns.each(source, job.fun, job.pace, job.progress, claim)
        progress = Progress.finish(progress)
        send(ref, {ref, {:batch, at, results}})
        work(feeder, %{job | pace: pace, progress: progress})

      {^feeder, :none} ->
        :ok
    end
  end
end
