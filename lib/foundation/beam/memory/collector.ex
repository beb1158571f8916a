defmodule Foundation.BEAM.Memory.Collector do
  @moduledoc false

  # Collects processes whose garbage may be worth it: those that hold much and wait, the largest
  # first, one at a time. A process that is busy collects itself; one that waits keeps its garbage for
  # as long as it waits. None is collected twice, and the system has a rest between slices.

  alias Foundation.BEAM.Memory.{Census, Ranking}

  # Processes collected between two pauses.
  @slice 16

  # Of the time, what finding them may take.
  @finding 4

  @typedoc """
  `freed_bytes` is what the heaps of those that were collected shrank by: less than nothing where they
  grew meanwhile. `left` had no time any more.
  """
  @type result :: %{
          freed_bytes: integer(),
          collected: non_neg_integer(),
          busy: non_neg_integer(),
          unanswered: non_neg_integer(),
          left: non_neg_integer()
        }

  @doc "Takes `max_ms` milliseconds at most, and the `timeout` for the last process."
  @spec run(%{
          max_ms: pos_integer(),
          max_processes: pos_integer(),
          min_bytes: pos_integer(),
          timeout: pos_integer(),
          pause: non_neg_integer()
        }) :: result()
  def run(opts) do
    until = now() + opts.max_ms
    none = %{freed_bytes: 0, collected: 0, busy: 0, unanswered: 0, left: 0}
    opts |> worth_it() |> Enum.chunk_every(@slice) |> slices(opts, until, none)
  end

  # A queue that is long would be walked by the question what its process holds.
  defp worth_it(opts) do
    ranking = Ranking.rank(Process.list(), opts.max_processes, div(opts.max_ms, @finding) + 1)
    long = MapSet.new(ranking.long_queues, &elem(&1, 1))

    for(
      {bytes, pid, _whole?} <- ranking.ranked,
      bytes >= opts.min_bytes,
      pid not in long,
      do: pid
    )
    |> Enum.take(opts.max_processes)
  end

  defp slices([], _opts, _until, result), do: result

  defp slices([slice | rest], opts, until, result) do
    result = Enum.reduce(slice, result, &one(&1, opts, until, &2))
    if rest != [] and opts.pause > 0 and now() < until, do: pause(opts.pause)
    slices(rest, opts, until, result)
  end

  # By itself: for a slice at once the census could do the first ones again.
  defp one(pid, opts, until, result) do
    case until - now() do
      left when left <= 0 ->
        count(result, :left)

      left ->
        case Census.map([pid], &collect/1, patience: opts.timeout, deadline: left) do
          {[{_pid, {:freed, bytes}}], []} ->
            count(%{result | freed_bytes: result.freed_bytes + bytes}, :collected)

          {[{_pid, :busy}], []} ->
            count(result, :busy)

          {[], [_late]} ->
            count(result, :unanswered)

          {[], []} ->
            result
        end
    end
  end

  defp count(result, key), do: Map.update!(result, key, &(&1 + 1))

  # A process that does not answer costs its timeout, and is collected when it does.
  defp collect(pid) do
    with {:status, :waiting} <- :erlang.process_info(pid, :status),
         {:total_heap_size, before} <- :erlang.process_info(pid, :total_heap_size),
         true <- :erlang.garbage_collect(pid),
         {:total_heap_size, later} <- :erlang.process_info(pid, :total_heap_size) do
      {:freed, (before - later) * :erlang.system_info(:wordsize)}
    else
      {:status, _busy} -> :busy
      _gone -> nil
    end
  end

  defp pause(ms) do
    receive do
    after
      ms -> :ok
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
