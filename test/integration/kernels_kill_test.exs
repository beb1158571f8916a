defmodule Foundation.KernelsKillTest do
  # Callers that are killed anywhere leave nothing: no bytes, no slot, no dirty scheduler that works.
  # Looks at the whole VM: not beside other tests.
  use ExUnit.Case
  use Foundation.NativeBytes

  import Foundation.KernelLoad

  alias Foundation.BEAM.Schedulers
  alias Foundation.{Error, Eventually, Native, NativeBytes}

  @moduletag timeout: 300_000

  # A killed caller's job ends within 5 ms, and so does a cancelled one. A machine that does other work
  # may be late itself, so this is of the middle one of some.
  @end_us 50_000

  setup_all do
    make_data()
  end

  setup do
    # What earlier tests held may still be on its way.
    NativeBytes.settle()
    before = bytes()
    processes = Process.list()

    on_exit(fn ->
      assert slots_free?()
      assert Eventually.eventually?(fn -> bytes() == before end)
      assert Eventually.eventually?(fn -> Process.list() -- [self() | processes] == [] end)
      assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 0 end)
      assert dirty_idle?()
    end)

    {:ok, before: before}
  end

  # Where it is done before it is killed, it waits for that.
  defp caller(work) do
    spawn_monitor(fn ->
      work.()
      receive do: (:never -> :ok)
    end)
  end

  defp kill({pid, monitor}) do
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 30_000
  end

  defp middle(times), do: times |> Enum.sort() |> Enum.at(div(length(times), 2))

  # Microseconds from now until kernels hold no more than before.
  defp until_freed(before) do
    start = System.monotonic_time(:microsecond)
    assert Eventually.eventually?(fn -> bytes() == before end)
    System.monotonic_time(:microsecond) - start
  end

  test "a thousand callers killed at random points" do
    # Eight at a time: some have a slot, the others wait for one.
    for round <- 1..125 do
      callers = for n <- 1..8, do: endless(round * 3 + n)

      for caller <- Enum.shuffle(callers) do
        spin(2_000)
        kill(caller)
      end
    end

    # Whoever comes next has a turn at once.
    assert slots_free?()

    assert run({:packed, :sort, [timeout: 5_000]}) ==
             run({:packed, :sort, [parallel: true, timeout: 5_000]})
  end

  for {call, arity, job} <- [
        {:kernels_feed, 2, {:integers, :sort, []}},
        {:kernels_feed, 2, {:texts, :compress_many, []}},
        {:kernels_split, 2, {:packed, :sort, [parallel: true]}},
        {:kernels_run, 1, {:packed, :sort, []}},
        {:kernels_step, 2, {:text, :words, [parallel: true]}},
        {:kernels_step, 2, {:texts, :compress_many, [parallel: true]}},
        {:kernels_join, 1, {:floats, :sort, [parallel: true]}},
        {:kernels_run, 1, {:text, :words, []}},
        {:kernels_run, 1, {:integers, :sort, [parallel: true]}},
        {:kernels_take, 2, {:long, :sort, []}},
        {:kernels_take, 2, {:distinct, :words, []}},
        {:kernels_take, 2, {:texts, :compress_many, []}}
      ] do
    # One dirty scheduler gets all of a job, in one part.
    if call in [:kernels_split, :kernels_step, :kernels_join] and
         :erlang.system_info(:dirty_cpu_schedulers_online) < 2,
       do: @tag(skip: "there is one dirty scheduler")

    test "callers killed in #{call} of #{inspect(job)}" do
      for _ <- 1..5, do: killed_in(unquote(call), unquote(arity), unquote(Macro.escape(job)))
    end
  end

  # The VM tells when the caller, or a process of its job, calls the native function.
  defp killed_in(call, arity, job) do
    caller =
      caller(fn ->
        receive do: (:go -> :ok)
        run(job)
      end)

    {pid, _monitor} = caller
    :erlang.trace(pid, true, [:call, :arity, :set_on_spawn])
    :erlang.trace_pattern({Native, call, arity}, true, [:local])
    send(pid, :go)
    assert_receive {:trace, _pid, :call, {Native, ^call, ^arity}}, 30_000
    spin(500)
    kill(caller)
  after
    :erlang.trace_pattern({Native, call, arity}, false, [:local])
    flush_traces()
  end

  defp flush_traces do
    receive do
      trace when elem(trace, 0) == :trace -> flush_traces()
    after
      0 -> :ok
    end
  end

  test "a killed caller's job ends in time", %{before: before} do
    for job <- [{:packed, :sort, []}, {:packed, :sort, [parallel: true]}, {:text, :words, []}] do
      times =
        for _ <- 1..21 do
          test = self()
          caller = caller(fn -> run(job, progress: test, progress_interval: 0) end)
          {pid, _monitor} = caller
          assert_receive {:cpu_progress, ^pid, _figures}
          kill(caller)
          time = until_freed(before)
          flush_progress()
          time
        end

      assert middle(times) < @end_us
    end
  end

  test "what a killed caller has handed over is let go" do
    test = self()
    opts = [progress: test, progress_interval: 0]
    bytes = fn -> :crypto.strong_rand_bytes(1_000) end

    jobs = [
      fn ->
        Schedulers.cpu_intensive(
          {:u64, :crypto.strong_rand_bytes(4_000_000)},
          {:native, :sort},
          opts
        )
      end,
      fn ->
        Schedulers.cpu_intensive(
          for(_ <- 1..4_000, do: bytes.()),
          {:native, :compress_many},
          opts
        )
      end
    ]

    before = :erlang.memory(:binary)

    for job <- jobs, _ <- 1..10 do
      caller = caller(job)
      {pid, _monitor} = caller
      assert_receive {:cpu_progress, ^pid, _figures}
      kill(caller)
      flush_progress()
    end

    # Of 80 MB.
    assert Eventually.eventually?(fn -> :erlang.memory(:binary) < before + 4_000_000 end)
  end

  defp flush_progress do
    receive do
      {:cpu_progress, _pid, _figures} -> flush_progress()
    after
      0 -> :ok
    end
  end

  test "a caller that is killed while it waits for its turn", %{before: before} do
    holders = for n <- 1..4, do: endless(n)

    for _ <- 1..50 do
      caller = endless(:rand.uniform(100))
      spin(200)
      kill(caller)
    end

    Enum.each(holders, &kill/1)
    until_freed(before)
  end

  test "work that is cancelled at random points", %{before: before} do
    times =
      for n <- 1..200 do
        handle = Schedulers.cancel_handle()
        job = Enum.at(all(), rem(n, length(all())))
        test = self()

        canceller =
          spawn(fn ->
            send(test, :ready)
            spin(3_000)
            send(test, {:cancelled, System.monotonic_time(:microsecond)})
            Schedulers.cancel(handle)
          end)

        assert_receive :ready
        result = run(job, cancel: handle)
        ended = System.monotonic_time(:microsecond)
        assert_receive {:cancelled, at}
        monitor = Process.monitor(canceller)
        assert_receive {:DOWN, ^monitor, _, _, _}

        case result do
          {:error, error} ->
            assert %Error{error_type: :cancelled} = error
            ended - at

          _done ->
            0
        end
      end

    cancelled = Enum.reject(times, &(&1 == 0))
    assert length(cancelled) > 50
    assert middle(cancelled) < @end_us
    until_freed(before)
    refute_received _
  end

  test "work that is cancelled while others want its slot" do
    holders = for n <- 1..4, do: endless(n)

    cancelled =
      for job <- all() do
        handle = Schedulers.cancel_handle()
        tell = fn %{done: done, total: total} -> done < total && Schedulers.cancel(handle) end
        result = run(job, cancel: handle, progress: tell, progress_interval: 0)
        # Some are done in a slice.
        if Schedulers.cancelled?(handle),
          do: assert({:error, %Error{error_type: :cancelled}} = result)

        Schedulers.cancelled?(handle)
      end

    assert Enum.count(cancelled, & &1) > 4
    Enum.each(holders, &kill/1)
    refute_received _
  end

  test "work that has no more time", %{before: before} do
    for job <- all(), timeout <- [0, 1, 2, 5] do
      case run(job, timeout: timeout) do
        {:error, error} -> assert error.error_type == :timeout
        _done -> assert timeout > 0
      end
    end

    until_freed(before)
    refute_received _
  end
end
