defmodule Foundation.BEAM.Memory.Census do
  @moduledoc false

  # Looks at many processes and is held up by none.
  #
  # `:erlang.process_info/2` of a process that runs asks it by a signal, which a process inside a long
  # BIF or NIF answers only when it comes out, and there is no timeout. So the probes run in a worker:
  # where one takes longer than the patience, the worker is killed, that pid is skipped, and another
  # worker goes on behind it. What was found before stays found: results are sent in chunks.
  #
  # A process that keeps its scheduler also keeps those that wait for it in that queue from
  # answering: where the probe needs them to run (`:total_heap_size`, `:memory`, `:binary`), a
  # deadline bounds what all of them cost. `:heap_size`, `:message_queue_len` and
  # `:garbage_collection` of a process that does not run are read without it.

  alias Foundation.BEAM.Memory.Tether

  # Small enough that little is done twice or lost at the deadline; a message for each pid would
  # cost more than most probes.
  @chunk 256

  @patience 50

  @typedoc """
  Milliseconds that one pid may take (#{@patience}), that all of them may take, and what the worker
  makes of the results of a chunk before it sends them (as they are).
  """
  @type opts :: [
          patience: pos_integer(),
          deadline: pos_integer() | :infinity,
          digest: ([{pid(), term()}] -> [term()])
        ]

  @doc """
  `{[{pid, result}], skipped}`: what `probe` returned, in the order of the pids, and those that were
  not looked at because they, or all, took too long.

  The probe runs in another process, and can run twice for one pid: it is to have no effects. `nil`
  leaves a pid out. What it raises is raised here. Nothing stays behind when the caller is killed.
  """
  @spec map([pid()], (pid() -> term()), opts()) :: {[term()], [pid()]}
  def map(pids, probe, opts \\ []) do
    run = %{
      probe: probe,
      digest: Keyword.get(opts, :digest, & &1),
      patience: Keyword.get(opts, :patience, @patience),
      until: until(Keyword.get(opts, :deadline, :infinity)),
      progress: :atomics.new(1, signed: false)
    }

    walk(pids, run, [], [], nil)
  end

  defp until(:infinity), do: :infinity
  defp until(ms), do: now() + ms

  defp walk([], _run, found, skipped, _again), do: finish(found, skipped)

  # `again` is a pid that cost a worker, but may not have been what held it up.
  defp walk(pids, run, found, skipped, again) do
    :atomics.put(run.progress, 1, 0)
    reply = :erlang.alias()
    {worker, monitor} = spawn_worker(pids, run, reply)
    {reason, pids, found, started} = collect({reply, monitor, worker}, run, pids, found, 0, 0)
    Process.demonitor(monitor, [:flush])
    Process.exit(worker, :kill)
    :erlang.unalias(reply)
    {pids, found, started} = flush(reply, pids, found, started)
    stop_or_go_on(reason, pids, run, {found, skipped, again}, started)
  end

  # `started` counts the pids of this worker that have arrived; `at` is that of the one in whose
  # probe it was.
  defp stop_or_go_on({:raised, kind, reason, stacktrace}, _pids, _run, _so_far, _started),
    do: :erlang.raise(kind, reason, stacktrace)

  defp stop_or_go_on(:done, [], _run, {found, skipped, _again}, _started),
    do: finish(found, skipped)

  defp stop_or_go_on(:deadline, pids, _run, {found, skipped, _again}, _started),
    do: finish(found, Enum.reverse(pids, skipped))

  defp stop_or_go_on({why, at}, pids, run, {found, skipped, again}, started) when at > started do
    pid = Enum.at(pids, at - started - 1)

    if why == :held_up and pid != again,
      do: walk(pids, run, found, skipped, pid),
      else: walk(List.delete(pids, pid), run, found, [pid | skipped], nil)
  end

  # It came out while it was given up.
  defp stop_or_go_on({_why, _at}, pids, run, {found, skipped, _again}, _started),
    do: walk(pids, run, found, skipped, nil)

  defp finish(found, skipped),
    do: {found |> Enum.reverse() |> Enum.concat(), Enum.reverse(skipped)}

  defp collect(_from, _run, [], found, started, _seen), do: {:done, [], found, started}

  defp collect({reply, monitor, worker} = from, run, pids, found, started, seen) do
    receive do
      {^reply, :chunk, count, results} ->
        left = Enum.drop(pids, count)
        collect(from, run, left, [results | found], started + count, seen)

      {^reply, :raised, kind, reason, stacktrace} ->
        {{:raised, kind, reason, stacktrace}, pids, found, started}

      # Somebody killed it, or a limit on the heap of every process did: not by this pid once more.
      {:DOWN, ^monitor, :process, ^worker, _reason} ->
        {{:skip, progress(run)}, pids, found, started}
    after
      wait(run) ->
        cond do
          run.until != :infinity and now() >= run.until -> {:deadline, pids, found, started}
          seen > 0 and progress(run) == seen -> {{held_up(worker), seen}, pids, found, started}
          true -> collect(from, run, pids, found, started, progress(run))
        end
    end
  end

  # After `unalias` no more can come; what has come counts.
  defp flush(reply, pids, found, started) do
    receive do
      {^reply, :chunk, count, results} ->
        flush(reply, Enum.drop(pids, count), [results | found], started + count)

      {^reply, :raised, _kind, _reason, _stacktrace} ->
        flush(reply, pids, found, started)
    after
      0 -> {pids, found, started}
    end
  end

  # A worker that could run, but does not, is behind a process that keeps its scheduler: a second one,
  # which starts on the scheduler of the caller, is not. One that waits does so for the answer.
  defp held_up(worker) do
    if Process.info(worker, :status) in [{:status, :runnable}, {:status, :running}],
      do: :held_up,
      else: :skip
  end

  defp wait(%{until: :infinity, patience: patience}), do: patience
  defp wait(%{until: until, patience: patience}), do: patience |> min(until - now()) |> max(0)

  defp progress(run), do: :atomics.get(run.progress, 1)

  defp now, do: System.monotonic_time(:millisecond)

  # A limit on every heap (`+hmax`) is not meant for it.
  defp spawn_worker(pids, run, reply) do
    caller = self()

    :erlang.spawn_opt(
      fn ->
        Tether.to(caller)
        work(pids, run, reply)
      end,
      [:monitor, max_heap_size: 0]
    )
  end

  defp work(pids, run, reply) do
    chunks(pids, run, reply, 0)
  catch
    kind, reason -> send(reply, {reply, :raised, kind, reason, __STACKTRACE__})
  end

  defp chunks([], _run, _reply, _done), do: :ok

  defp chunks(pids, run, reply, done) do
    {chunk, rest} = Enum.split(pids, @chunk)
    results = probe(chunk, run, done + 1)
    # Between two chunks it is in no probe.
    :atomics.put(run.progress, 1, 0)
    count = length(chunk)
    send(reply, {reply, :chunk, count, run.digest.(results)})
    chunks(rest, run, reply, done + count)
  end

  defp probe([], _run, _at), do: []

  defp probe([pid | rest], run, at) do
    :atomics.put(run.progress, 1, at)

    case run.probe.(pid) do
      nil -> probe(rest, run, at + 1)
      result -> [{pid, result} | probe(rest, run, at + 1)]
    end
  end
end
