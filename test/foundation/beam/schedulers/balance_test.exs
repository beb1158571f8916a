defmodule Foundation.BEAM.Schedulers.BalanceTest do
  # Not beside others: a slot less of the machine is a worker that begins late.
  use ExUnit.Case, async: false

  import Foundation.BEAM.Schedulers,
    only: [balance_work_across_schedulers: 2, balance_work_across_schedulers: 3]

  alias Foundation.Online

  # A function that tells the test which item has begun, and returns when it is told to.
  defp gate do
    test = self()

    fn item ->
      send(test, {:begun, item, self()})
      receive do: ({:go, ^item} -> item)
    end
  end

  # The process that has begun the item.
  defp begun(item) do
    assert_receive {:begun, ^item, pid}
    pid
  end

  defp go(item, pid), do: send(pid, {:go, item})

  # The messages of this process, its monitors and its links.
  defp traces do
    [messages: messages, monitors: monitors, links: links] =
      Process.info(self(), [:messages, :monitors, :links])

    {messages, monitors, Enum.sort(links)}
  end

  describe "the results" do
    test "are those of Enum.map, in order, for every kind of enumerable" do
      for items <- [
            [],
            [1],
            Enum.to_list(1..1_000),
            1..100,
            %{a: 1, b: [2]},
            MapSet.new(1..50),
            Stream.map(1..100, &(&1 * 2)),
            Stream.unfold(10, fn n -> if n > 0, do: {n, n - 1} end)
          ] do
        expected = Enum.map(items, &{&1, [&1]})
        assert balance_work_across_schedulers(items, &{&1, [&1]}) == expected
        assert balance_work_across_schedulers(items, &{&1, [&1]}, pin: true) == expected
      end
    end

    test "of a hundred thousand items, by any number of processes" do
      items = Enum.to_list(1..100_000)
      expected = Enum.map(items, &(&1 * 3))

      for count <- [1, 2, 3, 100] do
        assert balance_work_across_schedulers(items, &(&1 * 3), max_concurrency: count) ==
                 expected
      end
    end

    test "that are lists stay lists" do
      assert balance_work_across_schedulers([[1, [2]], [], [[]]], & &1) == [[1, [2]], [], [[]]]
    end

    test "of work done in turn, where the function calls balance itself" do
      inner = fn n -> balance_work_across_schedulers(1..n, &(&1 + n)) end

      assert balance_work_across_schedulers(1..20, inner) ==
               Enum.map(1..20, fn n -> Enum.map(1..n, &(&1 + n)) end)
    end

    test "are right where the function takes every message that it finds" do
      fun = fn item ->
        send(self(), {:own, item})

        receive do
          message -> message
        end
      end

      assert balance_work_across_schedulers(1..1_000, fun) == Enum.map(1..1_000, &{:own, &1})
    end
  end

  describe "sharing" do
    test "nothing waits behind a slow item: all others are done before it" do
      test = self()

      for slow <- [1, 7, 500, 1_000], workers <- [2, 3] do
        fun = fn
          ^slow ->
            send(test, {:slow, self()})
            receive do: (:go -> slow)

          item ->
            send(test, {:done, item})
            item
        end

        caller =
          Task.async(fn ->
            balance_work_across_schedulers(1..1_000, fun, max_concurrency: workers)
          end)

        for item <- 1..1_000, item != slow, do: assert_receive({:done, ^item})
        assert_receive {:slow, pid}
        send(pid, :go)
        assert Task.await(caller, 30_000) == Enum.to_list(1..1_000)
      end
    end

    test "one process does what two slow ones leave, and each item is called once" do
      gate = gate()
      slow = [1, 2]
      calls = :counters.new(300, [])

      fun = fn item ->
        :counters.add(calls, item, 1)
        if item in slow, do: gate.(item), else: item
      end

      # As many items for a batch as put both slow ones into the first: the second is taken back.
      caller =
        Task.async(fn -> balance_work_across_schedulers(1..300, fun, max_concurrency: 3) end)

      for item <- slow, do: go(item, begun(item))
      assert Task.await(caller, 30_000) == Enum.to_list(1..300)
      assert Enum.all?(1..300, &(:counters.get(calls, &1) == 1))
    end

    test "as many processes as are asked for, one for each scheduler by default" do
      gate = gate()

      for {opts, count} <- [
            {[], System.schedulers_online()},
            {[max_concurrency: 1], 1},
            {[max_concurrency: 5], 5}
          ] do
        items = Enum.to_list(1..(count + 1))
        caller = Task.async(fn -> balance_work_across_schedulers(items, gate, opts) end)
        # Nobody goes on before all have begun; one more item begins when another is done.
        pids = for item <- 1..count, do: begun(item)
        assert pids |> Enum.uniq() |> length() == count
        refute_received {:begun, _, _}
        Enum.zip_with(1..count, pids, &go/2)
        go(count + 1, begun(count + 1))
        assert Task.await(caller, 30_000) == items
      end
    end

    test "no more processes than items" do
      gate = gate()

      caller =
        Task.async(fn ->
          balance_work_across_schedulers([1, 2], gate, max_concurrency: 1_024)
        end)

      pids = for item <- 1..2, do: {item, begun(item)}
      {:links, links} = Process.info(caller.pid, :links)
      assert Enum.sort(links -- [self()]) == pids |> Enum.map(&elem(&1, 1)) |> Enum.sort()
      Enum.each(pids, fn {item, pid} -> go(item, pid) end)
      assert Task.await(caller, 30_000) == [1, 2]
    end

    @tag :two_schedulers
    test "pinned, each process stays on a scheduler of its own" do
      gate = gate()
      online = System.schedulers_online()

      fun = fn item ->
        gate.(item)
        first = :erlang.system_info(:scheduler_id)
        for _ <- 1..100, do: :erlang.yield()
        {first, :erlang.system_info(:scheduler_id)}
      end

      caller = Task.async(fn -> balance_work_across_schedulers(1..online, fun, pin: true) end)
      pids = for item <- 1..online, do: {item, begun(item)}
      Enum.each(pids, fn {item, pid} -> go(item, pid) end)
      assert caller |> Task.await(30_000) |> Enum.sort() == for(id <- 1..online, do: {id, id})
    end

    test "pinned, more processes than schedulers go round them" do
      gate = gate()
      count = System.schedulers_online() * 2

      fun = fn item ->
        gate.(item)
        :erlang.system_info(:scheduler_id)
      end

      opts = [pin: true, max_concurrency: count]
      caller = Task.async(fn -> balance_work_across_schedulers(1..count, fun, opts) end)
      pids = for item <- 1..count, do: {item, begun(item)}
      Enum.each(pids, fn {item, pid} -> go(item, pid) end)
      each_twice = Enum.flat_map(1..div(count, 2), &[&1, &1])
      assert caller |> Task.await(30_000) |> Enum.sort() == each_twice
    end

    @tag :two_schedulers
    test "pinned, a process stands still while its scheduler is offline" do
      online = Online.again()
      monitor = pinned(online, 60_000)
      assert {:begun, pids} = all_begun(online, monitor)
      :erlang.system_flag(:schedulers_online, 1)
      Enum.each(pids, fn {item, pid} -> go(item, pid) end)
      refute_receive {:DOWN, ^monitor, _, _, _}
      :erlang.system_flag(:schedulers_online, online)
      assert_receive {:DOWN, ^monitor, :process, _, {:result, results}}
      assert results == Enum.to_list(1..online)
    end

    @tag :two_schedulers
    test "pinned, its time goes on while its scheduler is offline" do
      online = Online.again()

      # More time, where all of it went by before every process had begun.
      assert Enum.any?([300, 3_000, 30_000], fn timeout ->
               monitor = pinned(online, timeout)

               with {:begun, pids} <- all_begun(online, monitor) do
                 :erlang.system_flag(:schedulers_online, 1)
                 Enum.each(pids, fn {item, pid} -> go(item, pid) end)
                 assert_receive {:DOWN, ^monitor, :process, _, {:timeout, _call}}, 60_000
               end
             end)
    end
  end

  # Work on a scheduler each, by a process that exits with its result; the monitor.
  defp pinned(count, timeout) do
    gate = gate()
    work = fn -> balance_work_across_schedulers(1..count, gate, pin: true, timeout: timeout) end
    {_caller, monitor} = spawn_monitor(fn -> exit({:result, work.()}) end)
    monitor
  end

  # The processes by item, or `false` where the call ends before.
  defp all_begun(count, monitor, pids \\ []) do
    receive do
      {:begun, item, pid} when length(pids) == count - 1 -> {:begun, [{item, pid} | pids]}
      {:begun, item, pid} -> all_begun(count, monitor, [{item, pid} | pids])
      {:DOWN, ^monitor, :process, _, {:timeout, _call}} -> false
    end
  end

  describe "the caller" do
    test "is known to the processes as to a Task's" do
      test = self()

      caller =
        Task.async(fn ->
          result =
            balance_work_across_schedulers([1], fn _ ->
              {Process.get(:"$callers"), Process.get(:"$ancestors")}
            end)

          {self(), result}
        end)

      assert {pid, [{callers, ancestors}]} = Task.await(caller, 30_000)
      assert callers == [pid, test]
      assert hd(ancestors) == pid
    end

    test "keeps no message, monitor, link or process of the work" do
      send(self(), :mine)
      before = traces()
      pids = balance_work_across_schedulers(1..100, fn _ -> self() end)
      assert traces() == before

      Process.flag(:trap_exit, true)
      more = balance_work_across_schedulers(1..100, fn _ -> self() end)
      assert traces() == before

      for pid <- Enum.uniq(pids ++ more) do
        monitor = Process.monitor(pid)
        assert_receive {:DOWN, ^monitor, :process, ^pid, reason} when reason in [:normal, :noproc]
      end
    end
  end

  describe "options and arguments" do
    test "that are wrong are refused before anything is called" do
      fun = fn _ -> flunk("called") end

      for {opts, text} <- [
            {[timeout: -1], "invalid option :timeout"},
            {[max_concurrency: 0], "invalid option :max_concurrency"},
            {[max_concurrency: 1_025], "expected an integer from 1 to 1024"},
            {[pin: :yes], "invalid option :pin"},
            {[ordered: false], "unknown option :ordered"},
            {:all, "expected a keyword list"}
          ] do
        assert_raise ArgumentError, ~r/#{text}/, fn ->
          balance_work_across_schedulers([1], fun, opts)
        end
      end

      for {items, text} <- [
            {[1 | 2], "expected a proper list in .*, got: \\[1 \\| 2\\]"},
            {:items, "expected an enumerable in .*, got: :items"},
            {{1, 2}, "expected an enumerable in"},
            {fn -> 1 end, "expected an enumerable in"},
            {1..1_000_000_000_000, "expected a list, or at most 100000000 items, in"},
            {&{&1, &2, &3}, "expected an enumerable in"}
          ] do
        assert_raise ArgumentError, ~r/#{text}/, fn ->
          balance_work_across_schedulers(items, fun)
        end
      end

      for fun <- [fn -> 1 end, &{&1, &2}, :fun, nil] do
        assert_raise ArgumentError, ~r/expected a function of arity 1 in/, fn ->
          balance_work_across_schedulers([], fun)
        end
      end
    end

    test "what an enumerable raises reaches the caller, and nobody works" do
      stream = Stream.map(1..3, fn n -> if n == 2, do: raise("from the stream"), else: n end)

      assert_raise RuntimeError, "from the stream", fn ->
        balance_work_across_schedulers(stream, fn _ -> flunk("called") end)
      end
    end
  end
end
