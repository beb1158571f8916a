defmodule Foundation.BEAM.Memory.Ranking do
  @moduledoc false

  # Which processes hold most, without running all of them.
  #
  # `:heap_size`, the length of the queue and the number of minor collections are read from outside.
  # `:heap_size` is that of the young generation, and all there is where there was no minor collection
  # since the last major one. The others have an old generation too, which only `:total_heap_size`
  # shows, for which the process must run: they are looked at closer, those with the largest young
  # generation first, while there is time. What counts messages by walking them (`:total_heap_size`
  # does) is not asked where many wait.

  alias Foundation.BEAM.Memory.Census

  # A walk over so many messages takes about 0.1 ms.
  @long_queue 10_000

  # Of the time, what the first look at all of them may take.
  @first_part 0.85

  # Milliseconds for a few more that were not.
  @hidden 10

  @young [:heap_size, :message_queue_len, :garbage_collection]

  @typedoc """
  A process: `bytes` are of its heaps (`complete?` says whether the old generation is in them, where
  there is one).
  """
  @type entry :: {bytes :: non_neg_integer(), pid(), complete? :: boolean()}

  @typedoc """
  `ranked` has the largest first. `unanswered` and `not_looked_at` count processes: those that said
  nothing in time, and those whose old generation nobody looked at. `bytes` is the sum of all heaps
  that were looked at.
  """
  @type t :: %{
          ranked: [entry()],
          long_queues: [{non_neg_integer(), pid()}],
          bytes: non_neg_integer(),
          counted: non_neg_integer(),
          unanswered: non_neg_integer(),
          not_looked_at: non_neg_integer()
        }

  @doc "From how many waiting messages on a queue is not walked."
  @spec long_queue() :: pos_integer()
  def long_queue, do: @long_queue

  @doc """
  Ranks the processes: the `count` largest, at least, of those with one generation, and all that were
  looked at closer. Takes about `max_ms` milliseconds at most.
  """
  @spec rank([pid()], pos_integer(), pos_integer()) :: t()
  def rank(pids, count, max_ms) do
    start = System.monotonic_time(:millisecond)
    options = [digest: &digest(&1, count), deadline: max(trunc(max_ms * @first_part), 1)]
    {chunks, unanswered} = Census.map(pids, &young/1, options)
    passed = System.monotonic_time(:millisecond) - start
    {looked, late} = chunks |> old() |> Census.map(&total/1, deadline: max(max_ms - passed, 1))
    build(chunks, looked, late, unanswered, count)
  end

  defp young(pid) do
    case :erlang.process_info(pid, @young) do
      [heap_size: words, message_queue_len: queue, garbage_collection: collection] ->
        {:minor_gcs, minor} = :lists.keyfind(:minor_gcs, 1, collection)
        {words, queue, minor > 0}

      :undefined ->
        nil
    end
  end

  defp total(pid) do
    case :erlang.process_info(pid, [:heap_size, :total_heap_size]) do
      [heap_size: young, total_heap_size: words] -> {young, words}
      :undefined -> nil
    end
  end

  # Of a chunk what the whole needs: thousands of processes without an old generation become a few.
  # `old` is by size, so that no list of all processes is ever sorted: there are few sizes.
  defp digest(results, count) do
    {one, old, queues, words} = Enum.reduce(results, {[], %{}, [], 0}, &sort/2)
    [%{one: largest(one, count), old: old, queues: queues, words: words, count: length(results)}]
  end

  defp sort({pid, {words, queue, _old?}}, {one, old, queues, sum}) when queue > @long_queue,
    do: {[{words, pid, false} | one], old, [{queue, pid} | queues], sum + words}

  defp sort({pid, {words, _queue, true}}, {one, old, queues, sum}),
    do: {one, Map.update(old, words, [pid], &[pid | &1]), queues, sum + words}

  defp sort({pid, {words, _queue, false}}, {one, old, queues, sum}),
    do: {[{words, pid, true} | one], old, queues, sum + words}

  defp largest(entries, count), do: entries |> Enum.sort(:desc) |> Enum.take(count)

  defp old(chunks) do
    chunks
    |> Enum.flat_map(& &1.old)
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Enum.sort(:desc)
    |> Enum.flat_map(fn {_words, pids} -> Enum.concat(pids) end)
  end

  # Words up to here. The young generation of those that were looked at is in both figures.
  defp build(chunks, looked, late, unanswered, count) do
    one = chunks |> Enum.flat_map(& &1.one) |> largest(count)
    both = for {pid, {_young, words}} <- looked, do: {words, pid, true}
    more = for {_pid, {young, words}} <- looked, reduce: 0, do: (more -> more + words - young)
    all = for %{words: words} <- chunks, reduce: more, do: (sum -> sum + words)

    %{
      ranked: (one ++ both ++ hidden(late, count)) |> Enum.sort(:desc) |> Enum.map(&bytes/1),
      long_queues: chunks |> Enum.flat_map(& &1.queues) |> Enum.sort(:desc),
      bytes: all * word(),
      counted: chunks |> Enum.map(& &1.count) |> Enum.sum(),
      unanswered: length(unanswered),
      not_looked_at: length(late)
    }
  end

  # The largest young generations of those that were not looked at.
  defp hidden(late, count) do
    {sizes, _late} = late |> Enum.take(count) |> Census.map(&size/1, deadline: @hidden)
    for {pid, words} <- sizes, do: {words, pid, false}
  end

  defp size(pid) do
    case :erlang.process_info(pid, :heap_size) do
      {:heap_size, words} -> words
      :undefined -> nil
    end
  end

  defp bytes({words, pid, complete?}), do: {words * word(), pid, complete?}

  defp word, do: :erlang.system_info(:wordsize)
end
