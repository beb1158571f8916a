# What `Schedulers.cpu_intensive/3` costs beside plain calls, what it gives to those who share the
# schedulers, and how soon work ends that is cancelled.
#
#     mix run bench/schedulers.exs cpu
#
# Lateness is that of a process that wants to run every millisecond, while twice as many processes
# work as there are schedulers; of a stall every millisecond counts as a tick.

defmodule Bench.Schedulers.Cpu do
  alias Bench.Schedulers.Lateness
  alias Foundation.BEAM.Schedulers

  def run do
    cost("cheap", 100_000, &cheap/1)
    cost("microsecond", 20_000, &microsecond/1)
    shared()
    neighbours()
    lateness("elixir", 40_000, &microsecond/1)
    # 1 reduction and some 40 us each: nothing that the VM would interrupt.
    term = Enum.to_list(1..25_000)
    lateness("native", 3_000, fn _ -> :erts_debug.flat_size(term) end)
    ending()
  end

  defp cheap(n), do: rem(n * n, 7)
  defp microsecond(n), do: Enum.reduce(1..100, n, &rem(&1 * &2 + 1, 1_000_003))

  defp cost(name, count, item) do
    list = Enum.to_list(1..count)
    work = fn chunk -> Enum.map(chunk, item) end

    times =
      Bench.compare("Enum.map over #{count} items (#{name})", [
        {"in one piece", fn -> work.(list) end},
        {"cpu_intensive", fn -> Schedulers.cpu_intensive(list, work) end},
        {"cpu_intensive, timeout",
         fn -> Schedulers.cpu_intensive(list, work, timeout: 60_000) end},
        {"chunks of 200, flattened", fn -> flattened(list, work) end}
      ])

    whole = times["in one piece"]
    IO.puts("NS cpu_#{name}_an_item #{round((times["cpu_intensive"] - whole) / count)}")
    Bench.ratio("cpu_#{name}_whole_by_chunks", whole / times["cpu_intensive"])

    flat = times["chunks of 200, flattened"]
    Bench.ratio("cpu_#{name}_flattened_by_chunks", flat / times["cpu_intensive"])
  end

  # As anybody would write it: chunks of a constant size, yielding, flattened in the end.
  defp flattened(list, work) do
    list
    |> Enum.chunk_every(200)
    |> Enum.reduce([], fn chunk, acc ->
      result = work.(chunk)
      :erlang.yield()
      [result | acc]
    end)
    |> Enum.reverse()
    |> List.flatten()
  end

  # Uneven: some items take a hundred times as long as others.
  defp shared do
    list = Enum.to_list(1..4_000)

    item = fn n ->
      Enum.reduce(1..if(rem(n, 50) == 0, do: 100, else: 1), n, fn _, m -> microsecond(m) end)
    end

    work = fn chunk -> Enum.map(chunk, item) end
    all = System.schedulers_online()

    times =
      Bench.compare("4,000 uneven items", [
        {"in one piece", fn -> work.(list) end},
        {"1 worker", fn -> Schedulers.cpu_intensive(list, work, max_concurrency: 1) end},
        {"#{all} workers", fn -> Schedulers.cpu_intensive(list, work, max_concurrency: all) end}
      ])

    Bench.ratio("cpu_shared", times["in one piece"] / times["#{all} workers"])
  end

  # The heavy items are neighbours: all of them are in one batch, behind each other.
  defp neighbours do
    list = Enum.to_list(1..20_000)
    heavy = fn n -> Enum.reduce(1..5_000, n, fn _, m -> microsecond(m) end) end
    item = fn n -> if n in 10_001..10_016, do: heavy.(n), else: n end
    work = fn chunk -> Enum.map(chunk, item) end
    all = System.schedulers_online()
    opts = [max_concurrency: all, chunk_size: 1]

    times =
      Bench.compare("16 heavy neighbours in 20,000 items", [
        {"in one piece", fn -> work.(list) end},
        {"#{all} workers, chunks of 1", fn -> Schedulers.cpu_intensive(list, work, opts) end},
        {"balance", fn -> Schedulers.balance_work_across_schedulers(list, item) end}
      ])

    Bench.ratio(
      "cpu_shared_neighbours",
      times["in one piece"] / times["#{all} workers, chunks of 1"]
    )
  end

  defp lateness(name, count, item) do
    list = Enum.to_list(1..count)
    work = fn chunk -> Enum.map(chunk, item) end
    Lateness.heading("#{name} work")
    late("#{name}_whole", "in one piece", fn -> work.(list) end)
    late("#{name}_chunks", "cpu_intensive", fn -> Schedulers.cpu_intensive(list, work) end)

    opts = [max_concurrency: 2, priority: :low]

    late("#{name}_low", "2 workers each, low", fn ->
      Schedulers.cpu_intensive(list, work, opts)
    end)
  end

  defp late(name, title, fun),
    do: Lateness.of("cpu_ticker_p99_#{name}", title, 2 * System.schedulers_online(), fun)

  # From the call of cancel/1, or the kill, to the end of the worker, which is in a busy loop.
  defp ending do
    IO.puts("\nfrom ending it to the end of the worker (median, most of 200)")

    took("cancel", fn _caller, handle -> Schedulers.cancel(handle) end)
    took("killed_caller", fn caller, _handle -> Process.exit(caller, :kill) end)
  end

  defp took(name, end_it) do
    times = for _ <- 1..200, do: took_once(end_it)
    IO.puts("  #{name}: #{round(Bench.median(times))} us, #{Enum.max(times)} us")
    IO.puts("US cpu_end_#{name} #{Enum.max(times)}")
  end

  defp took_once(end_it) do
    owner = self()
    handle = Schedulers.cancel_handle()

    busy = fn _ ->
      send(owner, {:busy, self()})
      Enum.each(Stream.cycle([1]), & &1)
    end

    caller = spawn(fn -> Schedulers.cpu_intensive(:whole, busy, cancel: handle) end)
    monitor = receive do: ({:busy, worker} -> Process.monitor(worker))
    started = System.monotonic_time(:microsecond)
    end_it.(caller, handle)
    receive do: ({:DOWN, ^monitor, _, _, _} -> System.monotonic_time(:microsecond) - started)
  end
end
