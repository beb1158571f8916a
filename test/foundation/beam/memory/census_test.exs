defmodule Foundation.BEAM.Memory.CensusTest do
  use ExUnit.Case, async: false

  import Foundation.Eventually

  alias Foundation.BEAM.Memory.Census
  alias Foundation.Stuck

  defp idle(count) do
    for _ <- 1..count, do: start_supervised!({Agent, fn -> :ok end}, id: make_ref())
  end

  # Of a process that waits it is read without running that process, which could be in the queue
  # behind one that does not give way.
  defp heap(pid), do: heap_of(Process.info(pid, :heap_size))
  defp heap_of({:heap_size, words}), do: words
  defp heap_of(nil), do: nil

  test "every pid has its result, in order, over several chunks" do
    pids = idle(600)
    assert {found, []} = Census.map(pids, &heap/1)
    assert Enum.map(found, &elem(&1, 0)) == pids
    assert Enum.all?(found, fn {_pid, words} -> is_integer(words) and words > 0 end)
  end

  test "no pids, no results" do
    assert Census.map([], &heap/1) == {[], []}
  end

  test "a process that has ended is left out, and is not one that was skipped" do
    [first, second, third] = pids = idle(3)
    Agent.stop(second)
    assert {[{^first, _}, {^third, _}], []} = Census.map(pids, &heap/1)
  end

  @tag :two_schedulers
  test "a process that does not answer holds nobody up, and is told" do
    {before, behind} = Enum.split(idle(600), 300)

    walk = fn stuck ->
      {found, skipped} = Census.map(before ++ [stuck] ++ behind, &heap/1)
      assert skipped == [stuck]
      found
    end

    assert Enum.map(Stuck.beside(walk, 1_000), &elem(&1, 0)) == before ++ behind
  end

  @tag :two_schedulers
  test "process_info itself waits for such a process" do
    stuck = Stuck.start!()
    assert {time, _info} = :timer.tc(fn -> Process.info(stuck, :heap_size) end)
    assert time > 200_000
  end

  test "pids that take too long are skipped each, the others are there" do
    pids = idle(20)
    {slow, quick} = Enum.split_with(pids, &(rem(:erlang.phash2(&1), 3) == 0))
    probe = fn pid -> if pid in slow, do: Process.sleep(:infinity), else: :quick end

    # A quick one is skipped where the machine gives no time to the worker: with more patience it is not.
    assert Enum.any?([20, 100, 500, 2_500], fn patience ->
             {found, skipped} = Census.map(pids, probe, patience: patience)
             assert slow -- skipped == []
             assert found == Enum.map(pids -- skipped, &{&1, :quick})
             assert skipped == Enum.filter(pids, &(&1 in skipped))
             Enum.map(found, &elem(&1, 0)) == quick and skipped == slow
           end)
  end

  test "at the deadline what was found stays, the rest was skipped" do
    pids = idle(400)
    {_, late} = Enum.split(pids, 300)
    probe = fn pid -> if pid in late, do: Process.sleep(:infinity), else: :quick end

    # All that was sent before the deadline: where the machine is busy, a later one finds the chunk.
    assert Enum.any?([100, 500, 2_500, 12_500], fn deadline ->
             {found, skipped} = Census.map(pids, probe, patience: 60_000, deadline: deadline)
             assert Enum.map(found, &elem(&1, 0)) ++ skipped == pids
             assert length(found) in [0, 256]
             length(found) == 256
           end)
  end

  test "a digest works on the results of a chunk, where the probes ran" do
    pids = idle(300)
    to = self()

    digest = fn results ->
      send(to, {:digest, self()})
      [length(results)]
    end

    assert {[256, 44], []} = Census.map(pids, fn _pid -> 1 end, digest: digest)
    assert_received {:digest, worker}
    assert worker != to
  end

  test "a digest that takes longer than the patience has nobody skipped" do
    pids = idle(3)

    digest = fn results ->
      Process.sleep(250)
      results
    end

    assert {[_, _, _], []} = Census.map(pids, fn _pid -> 1 end, digest: digest, patience: 50)
  end

  test "what a probe raises, throws or exits with comes to the caller" do
    pids = idle(2)
    assert_raise RuntimeError, "bad", fn -> Census.map(pids, fn _pid -> raise "bad" end) end
    assert catch_throw(Census.map(pids, fn _pid -> throw(:bad) end)) == :bad
    assert catch_exit(Census.map(pids, fn _pid -> exit(:bad) end)) == :bad
  end

  test "a worker that somebody kills costs one pid" do
    [first, second, third] = pids = idle(3)
    probe = fn pid -> if pid == second, do: Process.exit(self(), :kill), else: 1 end
    assert Census.map(pids, probe) == {[{first, 1}, {third, 1}], [second]}
  end

  test "nothing is left in the mailbox of the caller, also of one that traps exits" do
    Process.flag(:trap_exit, true)
    pids = idle(10)
    slow = hd(pids)
    Census.map(pids, fn pid -> pid == slow && Process.sleep(:infinity) end, patience: 10)
    Census.map(pids, fn _pid -> Process.sleep(:infinity) end, deadline: 10)
    catch_throw(Census.map(pids, fn _pid -> throw(:bad) end))
    refute_receive _anything, 50
    assert Process.info(self(), :monitors) == {:monitors, []}
  end

  test "who is killed while it waits leaves no worker behind" do
    pids = idle(1)
    to = self()

    probe = fn _pid ->
      send(to, {:worker, self()})
      Process.sleep(:infinity)
    end

    caller = spawn(fn -> Census.map(pids, probe, patience: 60_000) end)
    assert_receive {:worker, worker}
    monitor = Process.monitor(worker)
    Process.exit(caller, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^worker, :killed}
  end

  test "a walk is not slowed by messages that wait for the caller" do
    pids = idle(600)
    for n <- 1..100_000, do: send(self(), {:waiting, n})
    assert {found, []} = Census.map(pids, &heap/1)
    assert length(found) == 600

    assert eventually?(fn ->
             Process.info(self(), :message_queue_len) == {:message_queue_len, 100_000}
           end)
  end
end
