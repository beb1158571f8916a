defmodule Foundation.BEAM.Schedulers.Worker do
  @moduledoc false

  # The processes of a job that run the user's code. One alone has the data and works through it.
  # Several ask a feeder, which has the data, for batches: whoever is free takes the next one, so a
  # slow item keeps nobody else from working. Each batch is numbered, for the order of results.

  alias Foundation.BEAM.Schedulers.{Chunks, Keeper, Pace, Progress, Turns}

  @typedoc "The keeper, the reference that the caller waits for, the priority."
  @type job :: {pid(), reference(), :low | :normal | nil}

  @doc "How many processes that makes."
  @spec processes(pos_integer()) :: pos_integer()
  def processes(1), do: 1
  def processes(workers) when is_integer(workers), do: workers + 1

  @doc "Starts them. Data is copied once here, and once more to those who ask for it."
  @spec start(Chunks.plan(), (term() -> term()), Pace.t(), Progress.t(), pos_integer(), job()) ::
          :ok
  def start({:whole, data}, fun, _pace, progress, 1, {_keeper, ref, _priority} = job) do
    child(job, fn ->
      result = fun.(data)
      progress |> Progress.add(1) |> Progress.finish()
      send(ref, {ref, {:batch, 0, result}})
    end)

    :ok
  end

  def start({:chunks, source, _}, fun, pace, progress, 1, {_keeper, ref, _priority} = job) do
    child(job, fn -> batch(0, source, fun, pace, progress, ref) end)
    :ok
  end

  def start({:chunks, source, _}, fun, pace, progress, workers, {_keeper, ref, _priority} = job) do
    unit = Pace.unit(pace)
    feeder = child(job, fn -> feed(source, 0, unit, workers, workers, ref) end)
    for _ <- 1..workers, do: child(job, fn -> work(feeder, fun, pace, progress, ref) end)
    :ok
  end

  # Errors go to the caller, who raises them: there is nothing to log here.
  defp child({keeper, ref, priority}, body) do
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

    pid = :erlang.spawn_opt(run, priority: priority || :normal)
    Keeper.started(keeper, pid)
    pid
  end

  # As `Task` has them: who called, and whose descendant it is.
  defp lineage do
    callers = Process.get(:"$callers") || []
    ancestors = Process.get(:"$ancestors") || []
    [{:"$callers", [self() | callers]}, {:"$ancestors", [self() | ancestors]}]
  end

  defp work(feeder, fun, pace, progress, ref) do
    send(feeder, {:want, self(), Pace.batch(pace)})

    receive do
      {^feeder, index, items, count} ->
        {pace, progress} = batch(index, {:list, items, count}, fun, pace, progress, ref)
        work(feeder, fun, pace, progress, ref)

      {^feeder, :none} ->
        :ok
    end
  end

  defp batch(index, source, fun, pace, progress, ref) do
    {results, pace, progress} = Turns.each(source, fun, pace, progress)
    progress = Progress.finish(progress)
    send(ref, {ref, {:batch, index, results}})
    {pace, progress}
  end

  # `index` is the number of batches handed out, `asking` of workers that do not know the end yet.
  defp feed(_source, _index, _unit, _workers, 0, _ref), do: :ok

  defp feed(source, index, unit, workers, asking, ref) do
    receive do
      {:want, pid, wanted} ->
        case Chunks.take(source, share(Chunks.left(source), wanted, unit, workers)) do
          :done ->
            if asking == workers, do: send(ref, {ref, {:batches, index}})
            send(pid, {self(), :none})
            feed(:done, index, unit, workers, asking - 1, ref)

          {items, count, rest} ->
            send(pid, {self(), index, items, count})
            feed(rest, index + 1, unit, workers, asking, ref)
        end
    end
  end

  # Batches get smaller towards the end, so that all finish together. Of a stream nobody waits for
  # more than a chunk.
  defp share(:unknown, _wanted, unit, _workers), do: unit

  defp share(left, wanted, unit, workers) do
    fair = div(left, 2 * workers)
    (fair - rem(fair, unit)) |> max(unit) |> min(wanted)
  end
end
