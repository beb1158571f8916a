# What an analysis of memory costs with 100,000 processes, beside asking each of them.
#
#     mix run bench/memory/analysis.exs [processes]
#
# Three kinds of processes, a third each: that never collected, that hold a few kilobytes, that have an
# old generation. Each function runs in a process of its own, so that none pays for another's garbage;
# figures are medians over rounds in which they take turns. `..._by_foundation` ratios are above 1
# where Foundation is quicker. The rivals rank processes by one attribute, and that is all they do:
#
#   * `Process.info(pid, :memory)` of each, sorted: the usual line in a shell;
#   * the way that tools for production use take: the attribute of each with name, current function and
#     initial call, all sorted.
#
# The longest gap is how late a process that wants to run every millisecond was, at worst, during one
# call: what the rest of the system feels.

Code.require_file("../support/bench.exs", __DIR__)

defmodule Bench.Analysis do
  alias Foundation.BEAM.Memory

  @rounds 11
  @info [:registered_name, :current_function, :initial_call]

  def run(count) do
    for n <- 1..count, do: spawn(fn -> hold(rem(n, 3)) end)
    settle(count)

    calls = [
      analysis: fn -> Memory.analyze_memory_usage() end,
      whole: fn -> Memory.analyze_memory_usage(max_ms: 10_000) end,
      memory: fn -> each(:memory) end,
      tool_memory: fn -> as_a_tool(:memory) end,
      tool_heap: fn -> as_a_tool(:total_heap_size) end
    ]

    turns = for _ <- 1..@rounds, {name, fun} <- calls, do: {name, turn(fun)}
    times = for {name, all} <- group(turns), into: %{}, do: {name, median(all, 0)}
    gaps = for {name, all} <- group(turns), into: %{}, do: {name, median(all, 1)}
    print(count, times, gaps)
  end

  defp group(turns), do: Enum.group_by(turns, &elem(&1, 0), &elem(&1, 1))
  defp median(pairs, at), do: pairs |> Enum.map(&elem(&1, at)) |> Bench.median()

  defp print(count, times, gaps) do
    IO.puts("\n#{count} processes: time of a call, and the longest gap of another process\n")

    for {name, text} <- [
          analysis: "analyze_memory_usage()",
          whole: "analyze_memory_usage(max_ms: 10_000)",
          memory: "Process.info(pid, :memory) of each",
          tool_memory: ":memory of each, as tools do it",
          tool_heap: ":total_heap_size of each, as tools do it"
        ] do
      IO.puts(
        String.pad_trailing("  " <> text, 46) <>
          String.pad_leading(Bench.duration(times[name]), 12) <>
          String.pad_leading(Bench.duration(gaps[name]), 12)
      )
    end

    skipped = Memory.analyze_memory_usage().skipped
    IO.puts("\n  left out by analyze_memory_usage(): #{inspect(skipped)}\n")
    IO.puts("RATIO memory_analysis_ms #{Float.round(times.analysis / 1.0e6, 1)}")
    Bench.ratio("memory_analysis_process_info_by_foundation", times.memory / times.analysis)
    Bench.ratio("memory_analysis_tool_memory_by_foundation", times.tool_memory / times.analysis)
    Bench.ratio("memory_analysis_tool_heap_by_foundation", times.tool_heap / times.analysis)

    Bench.ratio(
      "memory_analysis_whole_tool_memory_by_foundation",
      times.tool_memory / times.whole
    )

    Bench.ratio("memory_analysis_gap_tool_memory_by_foundation", gaps.tool_memory / gaps.analysis)
  end

  defp hold(0), do: wait(nil)
  defp hold(1), do: wait(Enum.to_list(1..200))

  defp hold(2) do
    kept = Enum.to_list(1..200)
    for _ <- 1..2, do: :erlang.garbage_collect(self(), type: :minor)
    wait(kept)
  end

  defp wait(kept) do
    receive do
      :end -> kept
    end
  end

  # All have come to wait.
  defp settle(count) do
    :erlang.yield()

    waiting = Enum.count(Process.list(), &match?({:status, :waiting}, Process.info(&1, :status)))

    if waiting < count, do: settle(count)
  end

  defp each(attribute) do
    Process.list()
    |> Enum.map(&{&1, Process.info(&1, attribute)})
    |> Enum.reject(fn {_pid, info} -> info == nil end)
    |> Enum.sort_by(fn {_pid, {_attribute, value}} -> value end, :desc)
    |> Enum.take(10)
  end

  defp as_a_tool(attribute) do
    found =
      for pid <- Process.list(),
          [{^attribute, value} | about] <- [Process.info(pid, [attribute | @info])],
          do: {pid, value, about}

    found |> Enum.sort_by(&elem(&1, 1), :desc) |> Enum.take(10)
  end

  # Nanoseconds of a call, and the longest gap in a process that wants to run every millisecond.
  defp turn(fun) do
    beat = spawn_link(fn -> beat(now(), 0) end)

    time =
      Task.async(fn ->
        start = now()
        fun.()
        now() - start
      end)
      |> Task.await(:infinity)

    send(beat, {:longest, self()})

    receive do
      {:longest, gap} -> {time, gap}
    end
  end

  defp beat(last, longest) do
    receive do
      {:longest, to} -> send(to, {:longest, longest})
    after
      1 -> beat(now(), max(longest, now() - last))
    end
  end

  defp now, do: System.monotonic_time(:nanosecond)
end

System.argv() |> List.first("100000") |> String.to_integer() |> Bench.Analysis.run()
