defmodule Foundation.BEAM.Schedulers.Job do
  @moduledoc false

  # Work in processes of its own, from the caller's side: starts a keeper and workers, collects what
  # they send, and returns when all of them are gone.
  #
  # All that comes to the caller carries one reference, which is the monitor of the keeper and an
  # alias at once: with the job the alias ends, and nothing can arrive any more. The reference is
  # made where the waiting begins and handed on as an argument, so that the VM looks at no message
  # that is older.

  alias Foundation.BEAM.Schedulers.{Cancel, Chunks, Ends, Keeper, Pace, Progress, Worker}
  alias Foundation.Error

  # As an atom: this module depends on nothing above it.
  @public :"Elixir.Foundation.BEAM.Schedulers"

  # A progress function runs in the caller, and may receive messages that are the job's. So it is not
  # waited for them without end: after so many milliseconds without any, the keeper is looked at.
  @look_ms 500

  # What collecting needs: how many batches there are, once that is known, those that have come, and
  # whether the keeper is gone, which it is after all workers. `look` is how long nothing may come,
  # `missing?` whether something should have.
  @enforce_keys [:keeper, :count, :progress, :look]
  defstruct [
    :keeper,
    :count,
    :progress,
    :look,
    batches: [],
    came: 0,
    gone?: false,
    missing?: false
  ]

  @doc "Runs the plan in workers."
  @spec run(Chunks.plan(), (term() -> term()), Pace.t(), Progress.t(), map()) ::
          term() | {:error, Error.t()}
  def run(plan, fun, pace, progress, options) do
    if Cancel.cancelled?(options.cancel),
      do: Ends.error(:cancelled, options.timeout),
      else: start(plan, %{fun: fun, pace: pace}, progress, options)
  end

  defp start(plan, work, progress, options) do
    workers = workers(plan, options.max_concurrency)
    keeper = Keeper.start(self(), Worker.processes(plan, workers), options)
    ref = :erlang.monitor(:process, keeper, alias: :explicit_unalias)
    send(keeper, {:job, ref})
    shared = %{keeper: keeper, ref: ref, workers: workers, priority: options.priority}
    job = work |> Map.put(:progress, Progress.relay(progress, ref)) |> Map.merge(shared)
    pids = start_workers(plan, job)

    case collect_all(plan, pids, job, new(plan, keeper, progress), ref) do
      %__MODULE__{} = done ->
        result(plan, done.batches)

      verdict ->
        stop(keeper, ref, pids)
        Ends.error(verdict, options.timeout)
    end
  end

  # More workers than items would have nothing to do.
  defp workers({:whole, _data}, _max), do: 1
  defp workers(_plan, nil), do: 1
  defp workers({:chunks, _source, :unknown}, max), do: max
  defp workers({:chunks, _source, total}, max), do: total |> min(max) |> max(1)

  # The VM may have no room for another process.
  defp start_workers(plan, job) do
    Worker.start(plan, job)
  catch
    kind, reason ->
      stop(job.keeper, job.ref, [])
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp new(plan, keeper, progress) do
    %__MODULE__{
      keeper: keeper,
      count: if(match?({:whole, _}, plan), do: 1),
      progress: progress,
      look: if(told?(progress), do: @look_ms, else: :infinity)
    }
  end

  defp told?(nil), do: false
  defp told?(progress), do: is_function(progress.to)

  defp collect_all(plan, pids, job, state, ref) do
    Worker.push(plan, pids, job)

    with %__MODULE__{} = done <- collect(state, ref) do
      :erlang.unalias(ref)
      Progress.finish(done.progress)
      done
    end
  catch
    kind, reason ->
      stop(job.keeper, ref, pids)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp collect(%__MODULE__{came: all, count: all, gone?: true} = state, _ref), do: state

  defp collect(state, ref) do
    receive do
      {^ref, {:raised, kind, reason, stacktrace}} -> :erlang.raise(kind, reason, stacktrace)
      {^ref, {:down, reason}} -> down(reason)
      {^ref, verdict} when is_atom(verdict) -> verdict
      {^ref, news} -> state |> add(news) |> collect(ref)
      # It goes once every worker has sent all it has to send, but another process's message may
      # still be on its way.
      {:DOWN, ^ref, _, _, :normal} -> collect(%{state | gone?: true}, ref)
      {:DOWN, ^ref, _, _, reason} -> down(reason)
    after
      state.look -> state |> look() |> collect(ref)
    end
  end

  defp add(state, {:batch, at, results}),
    do: %{state | batches: [{at, results} | state.batches], came: state.came + 1}

  defp add(state, {:batches, count}), do: %{state | count: count}

  defp add(state, {:progress, count}),
    do: %{state | progress: Progress.add(state.progress, count)}

  # With the keeper gone, all has been sent; what comes must come within the time of another look.
  defp look(%{keeper: keeper, missing?: missing?} = state) do
    cond do
      Process.alive?(keeper) -> state
      missing? -> taken!()
      true -> %{state | missing?: true}
    end
  end

  @spec taken!() :: no_return()
  defp taken! do
    raise ArgumentError,
          "expected the :progress function of Schedulers.cpu_intensive/3 to receive no messages " <>
            "but its own: it has taken some with results"
  end

  @spec down(term()) :: no_return()
  defp down(reason), do: exit({reason, {@public, :cpu_intensive, 3}})

  # Whatever the job still has is ended, and what it has sent is dropped.
  defp stop(keeper, ref, pids) do
    send(keeper, :stop)
    await(keeper)
    # It may have been killed, and workers that trap exits outlive it.
    Enum.each(pids, &Process.exit(&1, :kill))
    Enum.each(pids, &await/1)
    :erlang.unalias(ref)
    Process.demonitor(ref, [:flush])
    flush(ref)
  end

  defp await(pid) do
    monitor = Process.monitor(pid)

    receive do
      {:DOWN, ^monitor, _, _, _} -> :ok
    end
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
