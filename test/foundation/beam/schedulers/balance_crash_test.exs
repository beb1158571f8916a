defmodule Foundation.BEAM.Schedulers.BalanceCrashTest do
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  import Foundation.BEAM.Schedulers,
    only: [balance_work_across_schedulers: 2, balance_work_across_schedulers: 3]

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Balance.Guard
  alias Foundation.Eventually

  # With its call a guard ends, too.
  setup do
    on_exit(fn -> assert Eventually.eventually?(fn -> guards() == [] end) end)
  end

  defp guards do
    for pid <- Process.list(),
        {:current_stacktrace, stack} <- [Process.info(pid, :current_stacktrace)],
        Enum.any?(stack, &match?({Guard, _, _, _}, &1)),
        do: pid
  end

  # A function of which one item does what `then` does, after another item has begun that never ends.
  defp beside_endless(then) do
    test = self()

    fn
      :endless ->
        send(test, {:endless, self()})
        receive do: (:never -> :ok)

      :other ->
        receive do: (:go -> then.())
    end
  end

  # Runs `:other` and `:endless` at once in a process of its own, and returns the processes.
  defp start(then, opts \\ []) do
    test = self()
    fun = beside_endless(then)
    opts = Keyword.merge([max_concurrency: 2], opts)

    told = fn item ->
      if item == :other, do: send(test, {:other, self()})
      fun.(item)
    end

    {caller, monitor} =
      spawn_monitor(fn -> balance_work_across_schedulers([:endless, :other], told, opts) end)

    assert_receive {:endless, endless}
    assert_receive {:other, other}
    {caller, monitor, endless, other}
  end

  defp gone(pid) do
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
  end

  # The reason that the link brings, or that of the caller's own exit, whichever was first, as with
  # `Task.await_many/2`.
  defp cause({reason, {Schedulers, :balance_work_across_schedulers, _args}}), do: reason
  defp cause(reason), do: reason

  describe "a crash" do
    test "ends the caller and the other processes, and is logged as a Task's" do
      log =
        capture_log(fn ->
          {_caller, monitor, endless, other} = start(fn -> raise "wrong item" end)
          send(other, :go)
          assert_receive {:DOWN, ^monitor, :process, _, reason}

          assert {%RuntimeError{message: "wrong item"}, [{__MODULE__, _, _, _} | _]} =
                   cause(reason)

          gone(endless)
        end)

      assert log =~ "wrong item"
      assert log =~ ~r/Task #PID<.*> started from #PID<.*> terminating/
    end

    test "has the reason of a Task's crash, whatever the kind" do
      for {then, pattern} <- [
            {fn -> throw(:ball) end, &match?({{:nocatch, :ball}, [_ | _]}, &1)},
            {fn -> exit(:stopped) end, &(&1 == :stopped)},
            {fn -> exit(:normal) end, &(&1 == :normal)},
            {fn -> exit(:shutdown) end, &(&1 == :shutdown)},
            {fn -> Process.exit(self(), :kill) end, &(&1 == :killed)},
            {fn -> :erlang.error(:badarg) end, &match?({:badarg, [_ | _]}, &1)}
          ] do
        capture_log(fn ->
          {_caller, monitor, endless, other} = start(then)
          send(other, :go)
          assert_receive {:DOWN, ^monitor, :process, _, reason}
          assert pattern.(cause(reason)), inspect(reason)
          gone(endless)
        end)
      end
    end

    test "a caller that traps exits exits from the call, with the crash's own message as of a Task" do
      Process.flag(:trap_exit, true)
      test = self()

      capture_log(fn ->
        # The crash comes once the other one has begun.
        between =
          spawn(fn ->
            receive do: ({:other, _pid} = other -> send(test, other))
            receive do: ({:waits, pid} -> send(pid, :go))
          end)

        fun = fn
          1 ->
            send(between, {:waits, self()})
            receive do: (:go -> raise "wrong item")

          2 ->
            send(between, {:other, self()})
            receive do: (:never -> :ok)
        end

        reason = catch_exit(balance_work_across_schedulers([2, 1], fun, max_concurrency: 2))
        assert {{%RuntimeError{message: "wrong item"} = error, stack}, where} = reason

        assert where ==
                 {Schedulers, :balance_work_across_schedulers,
                  [{:items, 2}, fun, [max_concurrency: 2]]}

        assert_receive {:other, pid}
        gone(pid)
        assert_receive {:EXIT, crashed, {^error, ^stack}}
        assert crashed != pid
        # What captures the log is linked, too.
        refute_received {:EXIT, ^pid, _}
        refute_received {:DOWN, _, _, _, _}
        assert {:monitors, []} = Process.info(self(), :monitors)
      end)
    end

    test "the stack is the function's" do
      Process.flag(:trap_exit, true)

      capture_log(fn ->
        reason = catch_exit(balance_work_across_schedulers([0], &divide/1))
        assert {:badarith, stack} = cause(reason)
        assert Enum.any?(stack, &match?({__MODULE__, :divide, 1, _}, &1))
      end)
    end
  end

  defp divide(n), do: 1 + div(1, n)

  describe "time" do
    test "that is over makes the caller exit, and ends every process" do
      test = self()
      before = Process.info(self(), [:monitors, :links])

      # More time, where all of it went by before every process had begun.
      assert Enum.any?([20, 1_000, 30_000], fn timeout ->
               fun = fn item ->
                 send(test, {:begun, timeout, self()})
                 if rem(item, 2) == 0, do: item, else: receive(do: (:never -> item))
               end

               opts = [timeout: timeout, max_concurrency: 3]
               reason = catch_exit(balance_work_across_schedulers(Enum.to_list(1..10), fun, opts))
               assert cause(reason) == :timeout

               assert Exception.format_exit(reason) =~
                        "balance_work_across_schedulers({:items, 10}, #Function<"

               assert Exception.format_exit(reason) =~ "time out"
               assert Process.info(self(), [:monitors, :links]) == before

               # Those that did not end by themselves.
               pids = Enum.uniq(begun(timeout))
               Enum.each(pids, &gone/1)
               length(pids) == 3
             end)

      # Nothing of theirs comes after what they sent to us.
      {:messages, messages} = Process.info(self(), :messages)
      assert Enum.reject(messages, &match?({:begun, _timeout, _pid}, &1)) == []
    end

    test "that is over leaves no late result, and no signal from those that are killed" do
      items = Enum.to_list(1..1_000)

      for round <- 1..400 do
        # Where exits are not trapped, one that arrived would end this process.
        Process.flag(:trap_exit, rem(round, 2) == 0)
        # No time at all: the processes answer while the caller gives up.
        reason = catch_exit(balance_work_across_schedulers(items, &{self(), &1}, timeout: 0))
        assert cause(reason) == :timeout
      end

      :erlang.yield()
      assert {:messages, []} = Process.info(self(), :messages)
    end

    test "that is over while the items are read makes the caller exit, and closes the stream" do
      test = self()

      endless = Stream.resource(fn -> 0 end, &{[&1], &1 + 1}, fn _ -> send(test, :closed) end)

      fun = fn _ -> flunk("called") end

      for items <- [endless, Stream.map(endless, & &1), 1..100_000_000] do
        reason = catch_exit(balance_work_across_schedulers(items, fun, timeout: 5))
        assert {:timeout, {Schedulers, :balance_work_across_schedulers, args}} = reason
        assert args == [{:items, :unknown}, fun, [timeout: 5]]
        unless is_struct(items, Range), do: assert_received(:closed)
      end
    end

    test "that is enough leaves no guard" do
      # It is there once it runs, which may be after the worker does.
      guarded? = fn _ -> Eventually.eventually?(fn -> match?([_guard], guards()) end) end
      assert balance_work_across_schedulers([1], guarded?) == [true]
      assert Eventually.eventually?(fn -> guards() == [] end)
    end

    test "without an end is :infinity" do
      assert balance_work_across_schedulers(1..10, & &1, timeout: :infinity) ==
               Enum.to_list(1..10)
    end
  end

  # The processes that have told so, with the timeout that they had.
  defp begun(timeout) do
    receive do
      {:begun, ^timeout, pid} -> [pid | begun(timeout)]
    after
      0 -> []
    end
  end

  describe "the end" do
    test "of the caller, however it comes, is that of the processes" do
      for reason <- [:kill, :shutdown, :stopped] do
        {caller, monitor, endless, other} = start(fn -> :ok end)
        Process.exit(caller, reason)
        assert_receive {:DOWN, ^monitor, :process, ^caller, _}
        gone(endless)
        gone(other)
      end
    end

    test "of the caller is that of processes whose function traps exits, in it or after it" do
      test = self()

      fun = fn item ->
        Process.flag(:trap_exit, true)
        send(test, {:trapping, self()})

        receive do
          {:EXIT, _caller, _reason} when item == :returns -> item
          :never -> item
        end
      end

      for reason <- [:kill, :shutdown, :stopped], item <- [:returns, :stays] do
        caller =
          spawn(fn -> balance_work_across_schedulers([item, item], fun, max_concurrency: 2) end)

        pids =
          for _ <- 1..2 do
            assert_receive {:trapping, pid}
            pid
          end

        Process.exit(caller, reason)
        Enum.each(pids, &gone/1)
      end
    end

    test "of a caller within another's work is that of its processes, too" do
      test = self()

      inner = fn _ ->
        Process.flag(:trap_exit, true)
        send(test, {:inner, self()})
        receive do: (:never -> :ok)
      end

      outer = fn _ ->
        Process.flag(:trap_exit, true)
        balance_work_across_schedulers([1], inner)
      end

      caller = spawn(fn -> balance_work_across_schedulers([1, 2], outer, max_concurrency: 2) end)

      pids =
        for _ <- 1..2 do
          assert_receive {:inner, pid}
          pid
        end

      Process.exit(caller, :kill)
      Enum.each(pids, &gone/1)
    end

    test "of the time is that of processes whose function traps exits" do
      test = self()

      # More time, where all of it went by before the process had begun.
      assert Enum.any?([20, 1_000, 30_000], fn timeout ->
               fun = fn _ ->
                 Process.flag(:trap_exit, true)
                 send(test, {:begun, timeout, self()})
                 receive do: (:never -> :ok)
               end

               reason = catch_exit(balance_work_across_schedulers([1], fun, timeout: timeout))
               assert cause(reason) == :timeout
               pids = begun(timeout)
               Enum.each(pids, &gone/1)
               pids != []
             end)
    end

    test "of one process from outside surfaces as its crash" do
      {_caller, monitor, endless, other} = start(fn -> :ok end)
      Process.exit(endless, :kill)
      assert_receive {:DOWN, ^monitor, :process, _, reason}
      assert cause(reason) == :killed
      gone(other)
    end

    test "of the caller at any time leaves no process" do
      test = self()

      for round <- 1..300 do
        caller =
          spawn(fn ->
            balance_work_across_schedulers(1..50, fn item ->
              # Of those that trap exits the guard knows.
              Process.flag(:trap_exit, rem(round, 2) == 0)
              if item == rem(round, 50), do: send(test, {:now, self()})
              item
            end)
          end)

        if rem(round, 50) > 0, do: assert_receive({:now, _})

        for {:links, pids} <- [Process.info(caller, :links) || {:links, []}], pid <- pids do
          send(test, {:worker, pid})
        end

        Process.exit(caller, :kill)
        gone(caller)
        for pid <- workers([]), do: gone(pid)
      end
    end
  end

  defp workers(pids) do
    receive do
      {:worker, pid} -> workers([pid | pids])
    after
      0 -> pids
    end
  end
end
