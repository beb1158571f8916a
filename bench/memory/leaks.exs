# What a search for leaked binaries costs beside what plain Elixir takes for the same.
#
#     mix run bench/memory/leaks.exs
#
# A million binaries, twice: all in one process, and a thousand in each of a thousand. The
# figures are medians over rounds in which the candidates take turns, each turn in a process of its
# own, so that none pays for another's garbage. `..._by_foundation` is how many times quicker
# Foundation is than the best of the others.
#
# * counting: the lists are there, each binary is to be counted once, with its bytes. The rivals know
#   nothing more then; Foundation also knows holders, references that nobody listed, and shares.
# * searching: from nothing to the ranked processes. The rival is what recon's `bin_leak` does: count
#   each process's references, collect it, count them again. It changes what it looks at, and does not
#   see parts of large binaries; so it is told by how it ranks, not only by its time.

Code.require_file("../support/bench.exs", __DIR__)

defmodule Bench.Leaks do
  alias Foundation.BEAM.Memory
  alias Foundation.Native

  @rounds 5

  def run do
    IO.puts("OTP #{System.otp_release()}, #{System.schedulers_online()} schedulers")

    for {title, name, holders, each} <- [
          {"a million binaries in one process", "one", 1, 1_000_000},
          {"a thousand in each of a thousand processes", "thousand", 1_000, 1_000}
        ] do
      pids = for _ <- 1..holders, do: holder(each)
      counting(title, name, pids)
      searching(title, name)
      for pid <- pids, do: stop(pid)
    end

    planted()
  end

  defp counting(title, name, pids) do
    medians =
      turns([
        {"Foundation", fn -> pids |> lists() |> timed(&native/1) end},
        {"Map.new", fn -> pids |> lists() |> timed(&by_map/1) end},
        {"usort", fn -> pids |> lists() |> timed(&by_usort/1) end},
        {"ETS", fn -> pids |> lists() |> timed(&by_ets/1) end}
      ])

    show("Counting #{title}", medians)
    {ours, others} = Map.pop!(medians, "Foundation")
    Bench.ratio("leaks_count_#{name}_by_foundation", Enum.min(Map.values(others)) / ours)
  end

  defp searching(title, name) do
    medians =
      turns([
        {"Foundation", fn -> timed(:all, fn _ -> Memory.binary_leaks() end) end},
        {"collect and compare", fn -> timed(:all, fn _ -> collect_and_compare() end) end}
      ])

    show("Searching, #{title}", medians)
    ratio = medians["collect and compare"] / medians["Foundation"]
    Bench.ratio("leaks_search_#{name}_by_foundation", ratio)

    %{searched: searched, skipped: skipped} = Memory.binary_leaks()
    IO.puts("  (processes searched: #{searched}, skipped: #{skipped})")
  end

  # Of known sizes; the largest keeps parts, of which collecting sees nothing.
  defp planted do
    {:ok, parts} =
      Agent.start(fn -> for _ <- 1..20, do: binary_part(bytes(1_000_000), 0, 100) end)

    {:ok, garbage} = Agent.start(fn -> nil end)
    Agent.get(garbage, fn _ -> for(_ <- 1..5, do: bytes(1_000_000)) |> length() end)

    found =
      for leak <- Memory.binary_leaks(collect: true).leaks, do: {leak.pid, leak.wasted_bytes}

    IO.puts(
      "\nPlanted: 20 MB kept by parts (#{inspect(parts)}), 5 MB of garbage (#{inspect(garbage)})"
    )

    IO.puts("  Foundation: #{inspect(found)}")
    ranked = Enum.take(collect_and_compare(), 2)
    IO.puts("  collect and compare, afterwards: #{inspect(ranked)}")

    Bench.ratio(
      "leaks_planted_found_of_20_mb",
      (List.keyfind(found, parts, 0) || {parts, 0}) |> elem(1) |> Kernel./(20_000_000 - 2_000)
    )
  end

  defp collect_and_compare do
    Process.list()
    |> Enum.flat_map(fn pid ->
      with {:binary, before} <- Process.info(pid, :binary),
           true <- :erlang.garbage_collect(pid),
           {:binary, left} <- Process.info(pid, :binary) do
        [{pid, length(before) - length(left)}]
      else
        _gone -> []
      end
    end)
    |> Enum.sort_by(&(-elem(&1, 1)))
    |> Enum.take(10)
  end

  defp lists(pids) do
    for pid <- pids do
      {:binary, list} = Process.info(pid, :binary)
      {pid, list}
    end
  end

  defp native(lists) do
    {handle, _number} = Native.leaks_new()

    for {pid, list} <- lists do
      with :dirty <- Native.leaks_list(handle, pid, list, 0, 0),
           do: Native.leaks_list_dirty(handle, pid, list, 0, 0)
    end

    {{count, bytes, _, _, _, _}, _found} = Native.leaks_report(handle, 1_000_000, 10)
    Native.leaks_close(handle)
    {count, bytes}
  end

  defp by_map(lists) do
    map = for {_pid, list} <- lists, {id, size, _count} <- list, into: %{}, do: {id, size}
    {map_size(map), map |> Map.values() |> Enum.sum()}
  end

  defp by_usort(lists) do
    all = Enum.flat_map(lists, fn {_pid, list} -> for({id, size, _} <- list, do: {id, size}) end)
    sorted = :lists.usort(all)
    {length(sorted), Enum.reduce(sorted, 0, fn {_id, size}, sum -> sum + size end)}
  end

  defp by_ets(lists) do
    table = :ets.new(:binaries, [:set])
    for {_pid, list} <- lists, do: :ets.insert(table, list)
    sum = :ets.foldl(fn {_id, size, _count}, sum -> sum + size end, 0, table)
    count = :ets.info(table, :size)
    :ets.delete(table)
    {count, sum}
  end

  defp timed(input, fun) do
    start = System.monotonic_time(:nanosecond)
    result = fun.(input)
    {System.monotonic_time(:nanosecond) - start, result}
  end

  defp turns(candidates) do
    turns =
      for _ <- 1..@rounds, {name, turn} <- candidates do
        {time, result} = Task.await(Task.async(turn), :infinity)
        {name, time, result}
      end

    # What is counted is the same; searches give what they find.
    counts = for {_name, _time, {_, _} = counted} <- turns, uniq: true, do: counted
    if length(counts) > 1, do: raise("the counts differ: #{inspect(counts)}")

    turns
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Map.new(fn {name, times} -> {name, Bench.median(times)} end)
  end

  defp show(title, medians) do
    IO.puts("\n#{title}")

    for {name, ns} <- Enum.sort_by(medians, &elem(&1, 1)),
        do:
          IO.puts(
            "  #{String.pad_trailing(name, 24)}#{String.pad_leading(Bench.duration(ns), 12)}"
          )
  end

  defp holder(count) do
    caller = self()

    pid =
      spawn(fn ->
        binaries = for _ <- 1..count, do: bytes(100)
        send(caller, {self(), :ready})
        receive do: (:stop -> length(binaries))
      end)

    receive do: ({^pid, :ready} -> pid)
  end

  defp stop(pid) do
    monitor = Process.monitor(pid)
    send(pid, :stop)
    receive do: ({:DOWN, ^monitor, :process, ^pid, _reason} -> :ok)
  end

  # Not the same twice, and no part of another.
  defp bytes(size), do: :binary.copy(<<System.unique_integer([:positive])::64>>, div(size, 8) + 1)
end

Bench.Leaks.run()
