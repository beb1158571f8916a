defmodule Foundation.BEAM.Schedulers.Job do
  @moduledoc false

  # Work in processes of its own, from the caller's side: starts a keeper and workers, collects what
  # they send, and returns when all of them are gone.
  #
  # All that comes to the caller carries one reference, which is the monitor of the keeper and an
  # alias at once: with the job the alias ends, and nothing can arrive any more. The reference is
  # made where the waiting begins, so that the VM looks at no message that is older.

  alias Foundation.BEAM.Schedulers.{Cancel, Chunks, Ends, Keeper, Pace, Progress, Worker}
  alias Foundation.Error

  # As an atom: this module depends on nothing above it.
  @public :"Elixir.Foundation.BEAM.Schedulers"

  # What collecting needs: how many batches there are, once that is known, those that have come, and
  # whether the keeper is gone, which it is after all workers.
  defstruct [:count, :progress, batches: [], came: 0, gone?: false]

  @doc "Runs the plan in workers."
  @spec run(Chunks.plan(), (term() -> term()), Pace.t(), Progress.t(), map()) ::
          term() | {:error, Error.t()}
  def run(plan, fun, pace, progress, options) do
    if Cancel.cancelled?(options.cancel) do
      Ends.error(:cancelled, options.timeout)
    else
      workers = workers(plan, options.max_concurrency)
      keeper = Keeper.start(self(), Worker.processes(workers), options)
      ref = :erlang.monitor(:process, keeper, alias: :explicit_unalias)
      send(keeper, {:job, ref})

      try do
        job = {keeper, ref, options.priority}
        Worker.start(plan, fun, pace, Progress.relay(progress, ref), workers, job)
        collect(%__MODULE__{count: if(workers == 1, do: 1), progress: progress}, ref)
      catch
        kind, reason ->
          stop(keeper, ref)
          :erlang.raise(kind, reason, __STACKTRACE__)
      else
        %__MODULE__{} = done ->
          :erlang.unalias(ref)
          Progress.finish(done.progress)
          result(plan, done.batches)

        verdict ->
          stop(keeper, ref)
          Ends.error(verdict, options.timeout)
      end
    end
  end

  # More workers than items would have nothing to do.
  defp workers({:whole, _data}, _max), do: 1
  defp workers(_plan, nil), do: 1
  defp workers({:chunks, _source, :unknown}, max), do: max
  defp workers({:chunks, _source, total}, max), do: total |> min(max) |> max(1)

  defp collect(%__MODULE__{came: all, count: all, gone?: true} = job, _ref), do: job

  defp collect(job, ref) do
    receive do
      {^ref, {:batch, index, results}} ->
        batches = [{index, results} | job.batches]
        collect(%{job | batches: batches, came: job.came + 1}, ref)

      {^ref, {:progress, count}} ->
        collect(%{job | progress: Progress.add(job.progress, count)}, ref)

      {^ref, {:batches, count}} ->
        collect(%{job | count: count}, ref)

      {^ref, {:raised, kind, reason, stacktrace}} ->
        :erlang.raise(kind, reason, stacktrace)

      {^ref, {:down, reason}} ->
        down(reason)

      {^ref, verdict} ->
        verdict

      # It goes once every worker has sent all it has to send, but another process's message may
      # still be on its way.
      {:DOWN, ^ref, _, _, :normal} ->
        collect(%{job | gone?: true}, ref)

      {:DOWN, ^ref, _, _, reason} ->
        down(reason)
    end
  end

  defp down(reason), do: exit({reason, {@public, :cpu_intensive, 3}})

  # Whatever the job still has is ended, and what it has sent is dropped.
  defp stop(keeper, ref) do
    send(keeper, :stop)
    monitor = Process.monitor(keeper)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    end

    :erlang.unalias(ref)
    Process.demonitor(ref, [:flush])
    flush(ref)
  end

  defp flush(ref) do
    receive do
      {^ref, _} -> flush(ref)
    after
      0 -> :ok
    end
  end

  defp result({:whole, _data}, [{0, result}]), do: result

  defp result({:chunks, _source, _total}, batches) do
    batches |> Enum.sort_by(&elem(&1, 0), :desc) |> Enum.map(&elem(&1, 1)) |> Chunks.concat()
  end
end
