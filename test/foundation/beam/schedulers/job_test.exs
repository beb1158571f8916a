defmodule Foundation.BEAM.Schedulers.JobTest do
  # Work in processes of its own: with :timeout, :cancel or :max_concurrency.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers
  alias Foundation.Error

  @ways [[timeout: 60_000], [max_concurrency: 1], [max_concurrency: 3]]

  # A function that tells the test where it runs, and never returns.
  defp stuck(test) do
    fn _chunk ->
      send(test, {:stuck, self()})
      Process.sleep(:infinity)
    end
  end

  # The process that is stuck, and its monitor.
  defp await_stuck do
    assert_receive {:stuck, worker}
    {worker, Process.monitor(worker)}
  end

  defp caller(work) do
    test = self()
    {pid, _monitor} = caller = spawn_monitor(fn -> send(test, {:returned, work.()}) end)
    # Where a test fails, others shall not find its work.
    on_exit(fn -> Process.exit(pid, :kill) end)
    caller
  end

  defp error_type({:error, %Error{error_type: type}}), do: type

  defp messages, do: self() |> Process.info(:messages) |> elem(1)

  test "results are those of the caller's own way" do
    data = [[], [1], Enum.to_list(1..5_000)]

    for list <- data, way <- @ways, size <- [:auto, 1, 7, 10_000] do
      result =
        Schedulers.cpu_intensive(list, &Enum.map(&1, fn n -> [n] end), [chunk_size: size] ++ way)

      assert result == Enum.map(list, &[&1])
    end

    for way <- @ways, data <- [1..1000, Map.new(1..1000, &{&1, &1}), Stream.map(1..1000, & &1)] do
      assert Schedulers.cpu_intensive(data, & &1, [chunk_size: 7] ++ way) == Enum.to_list(data)
      assert Schedulers.cpu_intensive(data, &{:got, &1}, way) == {:got, data}
    end

    assert messages() == []
  end

  test "chunks keep their size" do
    for way <- @ways do
      chunks = Schedulers.cpu_intensive(1..1000 |> Enum.to_list(), &[&1], [chunk_size: 7] ++ way)
      assert chunks == Enum.chunk_every(1..1000, 7)
    end
  end

  test "as many processes work as asked for, and others than the caller" do
    me = self()

    # Each waits until all three have begun.
    meet = fn [n] ->
      send(me, {:begun, n, self()})
      receive do: (:go_on -> {n, self()})
    end

    {_pid, monitor} =
      caller(fn ->
        Schedulers.cpu_intensive([1, 2, 3], meet, chunk_size: 1, max_concurrency: 3)
      end)

    workers = for n <- 1..3, do: receive(do: ({:begun, ^n, pid} -> pid))
    for worker <- Enum.reverse(workers), do: send(worker, :go_on)
    assert_receive {:returned, results}
    assert results == Enum.zip(1..3, workers)
    assert_receive {:DOWN, ^monitor, _, _, :normal}
    assert length(Enum.uniq(workers)) == 3
  end

  test "a slow item keeps nobody else from working" do
    me = self()

    slow = fn
      [1] ->
        send(me, {:slow, self()})
        receive do: (:go_on -> [1])

      [n] ->
        send(me, {:done, n})
        [n]
    end

    opts = [chunk_size: 1, max_concurrency: 2]
    caller(fn -> Schedulers.cpu_intensive(Enum.to_list(1..100), slow, opts) end)

    assert_receive {:slow, worker}
    # Every other item is done while the first one waits.
    for n <- 2..100, do: assert_receive({:done, ^n})
    send(worker, :go_on)
    assert_receive {:returned, result}
    assert result == Enum.to_list(1..100)
  end

  test "a function that never returns is ended by the timeout" do
    for way <- [[], [max_concurrency: 3]], data <- [[1, 2, 3], :whole] do
      # More time, where all of it went by before the work had begun.
      assert Enum.any?([200, 2_000, 20_000], fn timeout ->
               result = Schedulers.cpu_intensive(data, stuck(self()), [timeout: timeout] ++ way)
               assert {:error, %Error{error_type: :timeout} = error} = result
               assert error.context == %{timeout: timeout}
               assert Exception.message(error) == "the work was not done within #{timeout} ms"
               all_gone?()
             end)
    end
  end

  # Whether there were any that are stuck; they are gone before the call returns.
  defp all_gone? do
    receive do
      {:stuck, worker} ->
        refute Process.alive?(worker)
        all_gone?()
        true
    after
      0 -> false
    end
  end

  test "a busy loop that traps exits is ended as well" do
    busy = fn _ ->
      Process.flag(:trap_exit, true)
      Enum.each(Stream.cycle([1]), & &1)
    end

    assert error_type(Schedulers.cpu_intensive(:whole, busy, timeout: 20)) == :timeout
  end

  test "an endless stream is ended by the timeout, whether it has items or waits for them" do
    waits = Stream.repeatedly(fn -> Process.sleep(:infinity) end)

    for stream <- [Stream.cycle([1]), waits], way <- [[], [max_concurrency: 2]] do
      opts = [chunk_size: 10, timeout: 20] ++ way
      assert error_type(Schedulers.cpu_intensive(stream, & &1, opts)) == :timeout
    end
  end

  test "timeouts at any moment leave nothing in the caller's mailbox" do
    Process.flag(:trap_exit, true)
    links = Process.info(self(), :links)
    list = Enum.to_list(1..20_000)
    send(self(), :own)

    types =
      for timeout <- 0..12, way <- [[], [max_concurrency: 2]] do
        opts = [chunk_size: 10, timeout: timeout, progress: fn _ -> :ok end, progress_interval: 0]

        case Schedulers.cpu_intensive(list, & &1, opts ++ way) do
          ^list -> :done
          error -> error_type(error)
        end
      end

    assert :timeout in types
    assert messages() == [:own]
    assert Process.info(self(), :monitors) == {:monitors, []}
    assert Process.info(self(), :links) == links
  end

  test "what the function raises, throws or exits with reaches the caller, and ends the others" do
    test = self()

    for way <- @ways, data <- [[1], :whole] do
      try do
        Schedulers.cpu_intensive(data, &fails/1, way)
      rescue
        ArithmeticError ->
          assert Enum.any?(__STACKTRACE__, &match?({__MODULE__, :fails, 1, _}, &1))
      else
        _ -> flunk("nothing was raised")
      end

      assert catch_throw(Schedulers.cpu_intensive(data, fn _ -> throw(:ball) end, way)) == :ball
      assert catch_exit(Schedulers.cpu_intensive(data, fn _ -> exit(:normal) end, way)) == :normal
    end

    fails_beside = fn
      [1] -> stuck(test).([1])
      [2] -> receive(do: (:never -> 2), after: (0 -> throw(:second)))
    end

    opts = [chunk_size: 1, max_concurrency: 2]
    assert catch_throw(Schedulers.cpu_intensive([1, 2], fails_beside, opts)) == :second

    receive do
      {:stuck, worker} -> refute Process.alive?(worker)
    after
      0 -> :it_had_not_begun
    end

    assert messages() == []
  end

  # Not the last call, so that it is in the stack trace.
  defp fails(_chunk), do: {:never, 1 / List.first([0])}

  test "a stream that fails fails in the caller" do
    stream = Stream.map(1..10, fn n -> n < 5 || raise "item #{n}" end)

    for way <- @ways do
      assert_raise RuntimeError, "item 5", fn ->
        Schedulers.cpu_intensive(stream, & &1, [chunk_size: 2] ++ way)
      end
    end
  end

  test "a worker that is ended from outside makes the caller exit" do
    reason_of = fn work, way ->
      {reason, {Schedulers, :cpu_intensive, 3}} =
        catch_exit(Schedulers.cpu_intensive([1, 2, 3], work, way))

      reason
    end

    for way <- @ways do
      assert reason_of.(fn _ -> Process.exit(self(), :kill) end, way) == :killed
      # Not an end that anybody could take for the usual one.
      assert reason_of.(fn _ -> Process.exit(self(), :normal) end, way) == :normal

      linked = fn _ ->
        spawn_link(fn -> exit(:boom) end)
        Process.sleep(:infinity)
      end

      assert reason_of.(linked, way) == :boom
    end

    assert messages() == []
  end

  test "workers have callers, ancestors and the priority asked for" do
    me = self()
    Process.put(:"$callers", [:earlier])

    look = fn _ ->
      [
        Process.get(:"$callers"),
        hd(Process.get(:"$ancestors")),
        elem(Process.info(self(), :priority), 1)
      ]
    end

    assert Schedulers.cpu_intensive(:whole, look, max_concurrency: 2, priority: :low) ==
             [[me, :earlier], me, :low]

    assert [_, _, :normal] = Schedulers.cpu_intensive(:whole, look, timeout: 5_000)
  end

  test "what the function has linked itself to outlives the work" do
    {:ok, agent} =
      Schedulers.cpu_intensive(:whole, fn _ -> Agent.start_link(fn -> 1 end) end, timeout: 5_000)

    assert Agent.get(agent, & &1) == 1
    Agent.stop(agent)
  end

  test "progress adds up over workers, in the caller" do
    me = self()
    tell = fn %{done: done, total: 1000} -> send(me, {:done, self(), done}) end
    opts = [chunk_size: 10, max_concurrency: 3, progress: tell, progress_interval: 0]
    Schedulers.cpu_intensive(Enum.to_list(1..1000), & &1, opts)
    for done <- 10..1000//10, do: assert_received({:done, ^me, ^done})
    assert messages() == []
  end

  test "a progress function that raises ends the work" do
    test = self()
    sticks = fn [n] -> if n == 2, do: stuck(test).([n]), else: await_other(test) end
    raises = fn _ -> raise "enough" end
    opts = [chunk_size: 1, max_concurrency: 2, progress: raises, progress_interval: 0]

    {pid, monitor} =
      spawn_monitor(fn ->
        try do
          Schedulers.cpu_intensive([1, 2], sticks, opts)
        rescue
          RuntimeError -> send(test, {:raised, messages()})
        end
      end)

    {_worker, worker_monitor} = await_stuck()
    assert_receive {:waits, other}
    send(other, :go_on)
    assert_receive {:raised, []}
    assert_receive {:DOWN, ^monitor, _, ^pid, :normal}
    assert_receive {:DOWN, ^worker_monitor, _, _, _}
  end

  defp await_other(test) do
    send(test, {:waits, self()})
    receive do: (:go_on -> [:went_on])
  end

  test "the workers of a caller that is killed end" do
    test = self()

    for {data, way, workers} <- [
          {:whole, [timeout: 60_000], 1},
          {[1, 2, 3], [cancel: Schedulers.cancel_handle()], 1},
          {[1, 2, 3], [max_concurrency: 3], 3}
        ] do
      {pid, monitor} = caller(fn -> Schedulers.cpu_intensive(data, stuck(test), way) end)
      stuck = for _ <- 1..workers, do: await_stuck()
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}

      for {_worker, monitor} <- stuck do
        assert_receive {:DOWN, ^monitor, _, _, reason}, 30_000
        assert reason == :killed
      end
    end
  end
end
