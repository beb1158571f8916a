defmodule Foundation.BEAM.Schedulers.KeeperTest do
  # Whatever of a job dies, and whenever: the call ends, and so does all that it has started.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Keeper

  @options %{timeout: :infinity, cancel: nil}

  # A keeper of so many, with the reference of its caller, which is this process.
  defp keeper(processes) do
    keeper = Keeper.start(self(), processes, @options)
    ref = :erlang.monitor(:process, keeper, alias: :explicit_unalias)
    send(keeper, {:job, ref})
    {keeper, ref}
  end

  defp dead(body) do
    {pid, monitor} = spawn_monitor(body)
    assert_receive {:DOWN, ^monitor, _, _, _}
    pid
  end

  test "a process that died before the keeper has heard of it ends the job" do
    {keeper, ref} = keeper(2)
    Keeper.started(keeper, dead(fn -> :ok end), :worker)
    assert_receive {^ref, {:down, :noproc}}
    assert_receive {:DOWN, ^ref, _, _, :shutdown}
  end

  test "so does one that died after it had linked itself, with its reason" do
    {keeper, ref} = keeper(2)

    pid =
      dead(fn ->
        Process.link(keeper)
        exit(:boom)
      end)

    Keeper.started(keeper, pid, :worker)
    assert_receive {^ref, {:down, :boom}}
    assert_receive {:DOWN, ^ref, _, _, :shutdown}
  end

  test "one that the keeper never hears of ends with it" do
    {keeper, _ref} = keeper(1)
    {pid, monitor} = spawn_monitor(fn -> Keeper.join(keeper) end)
    send(keeper, :stop)
    assert_receive {:DOWN, ^monitor, _, ^pid, :shutdown}
    {late, monitor} = spawn_monitor(fn -> Keeper.join(keeper) end)
    assert_receive {:DOWN, ^monitor, _, ^late, :shutdown}
  end

  # Calls, and kills the process that the caller starts as number `number`, some turns later.
  defp killed(number, turns) do
    test = self()
    list = Enum.to_list(1..3_000)
    opts = [max_concurrency: 3, chunk_size: 10]

    {caller, monitor} =
      spawn_monitor(fn ->
        receive do: (:begin -> :ok)
        result = catch_exit_of(fn -> Schedulers.cpu_intensive(list, & &1, opts) end)
        info = Process.info(self(), [:messages, :monitors, :links])
        send(test, {:result, result == list || result, info})
      end)

    killer = spawn_link(fn -> kill(test, caller, number, turns) end)
    assert_receive :ready
    send(caller, :begin)
    assert_receive {:result, result, info}, 30_000
    assert_receive {:DOWN, ^monitor, _, _, :normal}
    send(killer, :report)
    assert_receive {:started, pids}
    for pid <- pids, do: await_end(pid)
    assert info == [messages: [], monitors: [], links: []]
    result
  end

  defp catch_exit_of(fun) do
    fun.()
  catch
    :exit, reason -> {:exit, reason}
  end

  defp await_end(pid) do
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, _, _, _}
  end

  defp kill(test, caller, number, turns) do
    Process.flag(:priority, :high)
    :erlang.trace(caller, true, [:procs])
    send(test, :ready)
    pids = see(number, turns, [])
    send(test, {:started, pids})
  end

  defp see(number, turns, pids) do
    receive do
      {:trace, _caller, :spawn, pid, _mfa} ->
        if length(pids) == number do
          for _ <- 1..turns//1, do: :erlang.yield()
          Process.exit(pid, :kill)
        end

        see(number, turns, [pid | pids])

      :report ->
        pids

      _other ->
        see(number, turns, pids)
    end
  end

  test "whichever process of a job is killed, at any moment, the call ends and leaves nothing" do
    results = for number <- 0..4, turns <- 0..20, do: killed(number, turns)

    for result <- results do
      assert result == true or
               match?({:exit, {reason, _}} when reason in [:killed, :noproc], result)
    end

    assert Enum.any?(results, &(&1 != true))
  end

  test "a worker that traps exits does not outlive a keeper that is killed" do
    test = self()

    traps = fn _ ->
      Process.flag(:trap_exit, true)
      send(test, {:worker, self(), Process.info(self(), :links)})
      Process.sleep(:infinity)
    end

    for {data, way} <- [{:whole, [timeout: 60_000]}, {[1, 2], [max_concurrency: 2]}] do
      {_caller, monitor} = spawn_monitor(fn -> Schedulers.cpu_intensive(data, traps, way) end)
      assert_receive {:worker, worker, {:links, [keeper]}}
      Process.exit(keeper, :kill)
      assert_receive {:DOWN, ^monitor, _, _, {:killed, {Schedulers, :cpu_intensive, 3}}}
      refute Process.alive?(worker)
    end
  end

  defp resource(test, next) do
    Stream.resource(fn -> 0 end, next, fn _ -> send(test, {:closed, self()}) end)
  end

  test "after an error a stream cleans up, in the process that read it, before the call ends" do
    me = self()
    stream = resource(me, &{[&1], &1 + 1})
    fails = fn _ -> raise "no" end
    fails_late = fn chunk -> if 40 in chunk, do: throw(:late), else: chunk end
    told = [progress: fn _ -> raise "stop" end, progress_interval: 0]

    for way <- [[timeout: 60_000], [max_concurrency: 1], [max_concurrency: 2]] do
      opts = [chunk_size: 2] ++ way
      run = fn work, more -> Schedulers.cpu_intensive(stream, work, opts ++ more) end

      for call <- [
            fn -> assert_raise RuntimeError, "no", fn -> run.(fails, []) end end,
            fn -> assert catch_throw(run.(fails_late, [])) == :late end,
            fn -> assert_raise RuntimeError, "stop", fn -> run.(& &1, told) end end
          ] do
        # Once in three: it has half a second, which a machine that stands still takes from it.
        assert Enum.any?(1..3, fn _ -> call.() && closed?() end)
      end
    end
  end

  # Whether a stream was, and once; its reader is gone before the call ends.
  defp closed? do
    receive do
      {:closed, reader} ->
        refute Process.alive?(reader)
        refute_received {:closed, _}
        true
    after
      0 -> false
    end
  end

  test "a stream that does not come to its end is not waited for" do
    me = self()
    next = fn n -> if n < 2, do: {[n], n + 1}, else: Process.sleep(:infinity) end
    fails = fn _ -> raise "no" end
    opts = [chunk_size: 2, max_concurrency: 2]

    assert_raise RuntimeError, "no", fn ->
      Schedulers.cpu_intensive(resource(me, next), fails, opts)
    end

    refute_received {:closed, _}
  end

  test "a progress function that takes the job's messages is told so, and nothing is left" do
    flush = fn flush ->
      receive do
        _ -> flush.(flush)
      after
        0 -> :ok
      end
    end

    test = self()

    work = fn chunk ->
      send(test, {:worker, self()})
      chunk
    end

    taking = fn _ ->
      # Until every worker is gone, so that it takes all there is.
      receive do: ({:worker, pid} -> await_end(pid))
      flush.(flush)
    end

    opts = [chunk_size: 10, max_concurrency: 1, progress: taking, progress_interval: 0]

    assert_raise ArgumentError, ~r/:progress function .* receive no messages but its own/, fn ->
      Schedulers.cpu_intensive(Enum.to_list(1..100), work, opts)
    end

    assert Process.info(self(), [:messages, :monitors]) == [messages: [], monitors: []]
  end
end
