defmodule Foundation.BEAM.Memory.CollectorTest do
  use ExUnit.Case, async: false

  alias Foundation.BEAM.Memory.{Collector, Ranking}

  # Above what other processes of the test run hold.
  @min_bytes 40_000_000

  @opts %{max_ms: 10_000, max_processes: 100, min_bytes: @min_bytes, timeout: 1_000, pause: 0}

  # A process that waits, with a heap that is this large from the start, so that none of its garbage is
  # collected before; and that never gets smaller.
  defp waster(bytes, wait \\ &wait/0) do
    to = self()

    pid =
      :erlang.spawn_opt(
        fn ->
          make_garbage(div(bytes, 2))
          send(to, {self(), :ready})
          wait.()
        end,
        [:link, min_heap_size: div(bytes, 8)]
      )

    receive do
      {^pid, :ready} -> pid
    end
  end

  defp make_garbage(bytes), do: length(Enum.to_list(1..div(bytes, 16)))

  defp wait do
    receive do
      :end -> :ok
    end
  end

  # One that grew by what it now needs no more.
  defp shrinkable(bytes) do
    to = self()

    pid =
      spawn_link(fn ->
        kept = Enum.to_list(1..div(bytes, 16))
        send(to, {self(), :ready, length(kept)})
        wait()
      end)

    receive do
      {^pid, :ready, _length} -> pid
    end
  end

  defp heap(pid) do
    {:total_heap_size, words} = Process.info(pid, :total_heap_size)
    words * :erlang.system_info(:wordsize)
  end

  # The order in which others collected them: a process that waits does not by itself.
  defp collected(pids, run) do
    for pid <- pids, do: :erlang.trace(pid, true, [:garbage_collection])
    run.()
    for pid <- pids, do: :erlang.trace(pid, false, [:garbage_collection])
    reference = :erlang.trace_delivered(:all)
    receive do: ({:trace_delivered, :all, ^reference} -> :ok)
    starts([])
  end

  defp starts(found) do
    receive do
      {:trace, pid, :gc_major_start, _info} -> starts([pid | found])
      {:trace, _pid, _event, _info} -> starts(found)
    after
      0 -> Enum.reverse(found)
    end
  end

  test "what heaps shrank by is what is said" do
    pids = for _ <- 1..3, do: shrinkable(60_000_000)
    before = pids |> Enum.map(&heap/1) |> Enum.sum()
    result = Collector.run(@opts)
    later = pids |> Enum.map(&heap/1) |> Enum.sum()
    assert result.collected >= 3
    assert before - later > 150_000_000
    assert_in_delta result.freed_bytes, before - later, 20_000_000
    assert %{unanswered: 0, left: 0} = result
  end

  test "the largest first, each once" do
    pids = for megabytes <- [60, 160, 50, 100], do: waster(megabytes * 1_000_000)
    [second_last, first, last, second] = pids
    order = collected(pids, fn -> Collector.run(@opts) end)
    assert order == [first, second, second_last, last]
  end

  test "no more than :max_processes, none below :min_bytes" do
    [large, _small] = pids = [waster(120_000_000), waster(1_000_000)]
    assert collected(pids, fn -> Collector.run(@opts) end) == [large]
    other = waster(160_000_000)
    run = fn -> assert %{collected: 1} = Collector.run(%{@opts | max_processes: 1}) end
    assert collected([other | pids], run) == [other]
  end

  test "a process that is busy is left to itself" do
    busy = waster(80_000_000, &spin/0)
    order = collected([busy], fn -> assert %{busy: 1} = Collector.run(@opts) end)
    Process.unlink(busy)
    Process.exit(busy, :kill)
    assert order == []
  end

  defp spin do
    receive do
      :never -> :ok
    after
      0 -> spin()
    end
  end

  test "a process with a long queue is left to itself" do
    long = waster(80_000_000, fn -> receive(do: (:never -> :ok)) end)
    for n <- 1..(Ranking.long_queue() + 1), do: send(long, n)
    assert collected([long], fn -> Collector.run(@opts) end) == []
  end

  test "when time is up the rest is left, and counted" do
    pids = for _ <- 1..20, do: waster(48_000_000)

    # A busy machine may leave no time to find them.
    assert Enum.any?(1..20, fn _ ->
             result = Collector.run(%{@opts | max_ms: 50, pause: 60})
             all = result.collected + result.busy + result.unanswered + result.left
             result.left > 0 and all >= length(pids)
           end)
  end
end
