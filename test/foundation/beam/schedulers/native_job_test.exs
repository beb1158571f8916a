defmodule Foundation.BEAM.Schedulers.NativeJobTest do
  # How kernels run; kernels_test.exs has what they compute. Has the slots of this VM for itself.
  use ExUnit.Case

  alias Foundation.BEAM.{Memory, Schedulers}
  alias Foundation.BEAM.Schedulers.{Ends, Slots}
  alias Foundation.BEAM.Schedulers.Slots.Turn
  alias Foundation.{Error, Eventually}

  # After each test nothing is left of any job.
  setup do
    # Holders take their time here.
    lease(3_600_000)

    on_exit(fn ->
      lease(%Slots{}.lease)
      assert Eventually.eventually?(fn -> :sys.get_state(Slots).members == %{} end)
      assert Eventually.eventually?(fn -> Memory.native_memory().kernels == 0 end)
      assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 0 end)
    end)
  end

  defp lease(ms), do: :sys.replace_state(Slots, &%{&1 | lease: ms})

  # Some hundred slices, on any machine.
  defp long do
    :rand.seed(:exsss, {1, 2, 3})
    block = for _ <- 1..10_000, into: <<>>, do: <<:rand.uniform()::float-native>>
    {:f64, :binary.copy(block, 300)}
  end

  defp sort(data, opts), do: Schedulers.cpu_intensive(data, {:native, :sort}, opts)

  defp ended(result) do
    assert {:error, %Error{error_type: type}} = result
    type
  end

  # A call in a process that traps exits, has a message already, and tells what it has afterwards.
  defp caller(call) do
    test = self()

    {pid, _monitor} =
      caller =
      spawn_monitor(fn ->
        Process.flag(:trap_exit, true)
        send(self(), :before)

        result =
          try do
            call.()
          catch
            kind, reason -> {:caught, kind, reason}
          end

        send(
          test,
          {:result, self(), result, Process.info(self(), [:messages, :links, :monitors])}
        )
      end)

    # Where a test fails, the next one shall not find its jobs.
    on_exit(fn -> Process.exit(pid, :kill) end)
    caller
  end

  defp result({pid, _monitor}) do
    assert_receive {:result, ^pid, result, left}, 30_000
    assert Enum.sort(left) == [links: [], messages: [:before], monitors: []]
    result
  end

  # All slots, in the hands of the test.
  defp taken do
    {shared, _all} = Slots.limits()

    for _ <- 1..shared do
      {:ok, turn} = Turn.take(Turn.new(make_ref()), Ends.never())
      turn
    end
  end

  defp waiting?(count),
    do:
      Eventually.eventually?(fn -> :gb_sets.size(:sys.get_state(Slots).queue.ready) == count end)

  # The helpers of a process that waits for nothing of ours.
  defp helpers(pid), do: pid |> Process.info(:monitors) |> elem(1) |> Keyword.get_values(:process)

  test "a small job asks nobody" do
    turns = taken()
    assert sort([2, 1], []) == [1, 2]
    Enum.each(turns, &Turn.give_back/1)
  end

  test "work in parallel has the same result, down to the bits" do
    {:f64, bytes} = data = long()
    once = sort(data, [])
    assert once == sort(data, parallel: true)
    assert {:f64, sorted} = once
    assert byte_size(sorted) == byte_size(bytes)
  end

  test "what the progress function raises ends the job; nothing is left" do
    data = long()

    for parallel <- [false, true] do
      opts = [progress: fn _ -> throw(:enough) end, progress_interval: 0, parallel: parallel]
      assert result(caller(fn -> sort(data, opts) end)) == {:caught, :throw, :enough}
      # Although the caller still had its handle.
      assert Eventually.eventually?(fn -> Memory.native_memory().kernels == 0 end)
    end
  end

  test "cancelled between slices, or before" do
    data = long()

    for parallel <- [false, true] do
      handle = Schedulers.cancel_handle()
      stop = fn _ -> Schedulers.cancel(handle) end
      opts = [cancel: handle, parallel: parallel, progress: stop, progress_interval: 0]
      assert ended(result(caller(fn -> sort(data, opts) end))) == :cancelled
      assert ended(sort(data, cancel: handle)) == :cancelled
      assert ended(sort([1], cancel: handle)) == :cancelled
    end
  end

  test "a cancelled job frees its memory at once, whatever its caller does then" do
    data = long()
    test = self()
    handle = Schedulers.cancel_handle()
    stop = fn _ -> Schedulers.cancel(handle) end

    pid =
      spawn_link(fn ->
        sort(data, cancel: handle, parallel: true, progress: stop, progress_interval: 0)
        send(test, :returned)
        receive do: (:end -> :ok)
      end)

    assert_receive :returned, 30_000
    assert Eventually.eventually?(fn -> Memory.native_memory().kernels == 0 end)
    send(pid, :end)
  end

  test "cancelled, or out of time, while it waits for its turn" do
    data = long()
    turns = taken()

    for parallel <- [false, true] do
      handle = Schedulers.cancel_handle()
      waiting = caller(fn -> sort(data, cancel: handle, parallel: parallel) end)
      assert waiting?(1)
      Schedulers.cancel(handle)
      assert ended(result(waiting)) == :cancelled
      assert waiting?(0)
      late = caller(fn -> sort(data, timeout: 20, parallel: parallel) end)
      assert ended(result(late)) == :timeout
    end

    Enum.each(turns, &Turn.give_back/1)
  end

  test "out of time: the error says how long that was" do
    for data <- [long(), [1]] do
      assert {:error, %Error{error_type: :timeout, message: text, context: %{timeout: 0}}} =
               sort(data, timeout: 0)

      assert text == "the work was not done within 0 ms"
    end

    assert ended(result(caller(fn -> sort(long(), timeout: 10, parallel: true) end))) == :timeout
  end

  test "a caller that is killed leaves nothing, wherever it is" do
    data = long()

    for parallel <- [false, true] do
      # In a slice, or between two.
      test = self()
      opts = [progress: test, progress_interval: 0, parallel: parallel]
      {pid, monitor} = caller(fn -> sort(data, opts) end)
      assert_receive {:cpu_progress, ^pid, _}, 30_000
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      assert Eventually.eventually?(fn -> :sys.get_state(Slots).members == %{} end)
      assert Eventually.eventually?(fn -> Memory.native_memory().kernels == 0 end)

      # While it waits.
      turns = taken()
      {pid, monitor} = caller(fn -> sort(data, opts) end)
      assert waiting?(1)
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, :killed}
      assert waiting?(0)
      Enum.each(turns, &Turn.give_back/1)
      drop_progress()
    end
  end

  defp drop_progress do
    receive do
      {:cpu_progress, _, _} -> drop_progress()
    after
      0 -> :ok
    end
  end

  # A parallel job whose caller is in its progress function, and whose helpers wait: the test has
  # all slots. Another one, where a machine that held its caller up let the helpers be done before.
  defp halted(data, tries \\ 5) do
    test = self()

    tell = fn _ ->
      send(test, {:told, self()})
      receive do: (:go -> :ok)
    end

    opts = [parallel: true, priority: :low, progress: tell, progress_interval: 0]
    {pid, monitor} = job = caller(fn -> sort(data, opts) end)
    assert_receive {:told, ^pid}, 30_000
    turns = taken()
    ready = fn -> :gb_sets.size(:sys.get_state(Slots).queue.ready) end
    assert Eventually.eventually?(fn -> ready.() == 1 or helpers(pid) == [] end)

    case helpers(pid) do
      [] when tries > 1 ->
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, :killed}
        Enum.each(turns, &Turn.give_back/1)
        halted(data, tries - 1)

      helpers ->
        {job, helpers, turns}
    end
  end

  # Without a second scheduler nobody helps.
  @alone :erlang.system_info(:dirty_cpu_schedulers_online) == 1

  @tag skip: @alone
  test "a helper that is killed ends the job as a worker's end does" do
    {{pid, _} = job, [helper | _], turns} = halted(long())
    Process.exit(helper, :kill)
    send(pid, :go)
    Enum.each(turns, &Turn.give_back/1)
    assert {:caught, :exit, {:killed, {Schedulers, :cpu_intensive, 3}}} = result(job)
  end

  @tag skip: @alone
  test "helpers end when their caller is killed" do
    {{pid, monitor}, [_ | _] = helpers, turns} = halted(long())
    for helper <- helpers, do: assert(Process.info(helper, :priority) == {:priority, :low})
    monitors = Enum.map(helpers, &Process.monitor/1)
    Process.exit(pid, :kill)
    for monitor <- [monitor | monitors], do: assert_receive({:DOWN, ^monitor, _, _, :killed})
    Enum.each(turns, &Turn.give_back/1)
  end

  test "the caller has the priority that was asked for, as long as the call lasts" do
    turns = taken()
    data = long()
    {pid, _} = job = caller(fn -> sort(data, priority: :low) end)
    assert waiting?(1)
    assert Process.info(pid, :priority) == {:priority, :low}
    Enum.each(turns, &Turn.give_back/1)
    assert {:f64, _} = result(job)
  end

  # Once in three: where one processor is held up, and a short job with it, the others go on.
  test "a hundred short jobs are done long before two long ones that came first" do
    {:f64, block} = long()
    data = {:f64, :binary.copy(block, 4)}
    # Short, and yet not so short that it is done at once.
    short = {:f64, binary_part(block, 0, 3_200_000)}
    assert Enum.any?(1..3, fn _ -> short_first?(short, data) end)
  end

  defp short_first?(short, data) do
    test = self()
    begun = fn _ -> send(test, {:begun, self()}) end

    [{first, _} | _] =
      long =
      for _ <- 1..2,
          do: caller(fn -> sort(data, progress: begun, progress_interval: 1) end)

    assert_receive {:begun, ^first}, 30_000

    shorts =
      for _ <- 1..100 do
        caller(fn ->
          Schedulers.cpu_intensive(short, {:native, :sum}, cancel: Schedulers.cancel_handle())
        end)
      end

    sums = Enum.map(shorts, &result/1)
    assert [sum] = Enum.uniq(sums)
    assert is_float(sum)
    {:messages, messages} = Process.info(self(), :messages)
    for job <- long, do: assert({:f64, _} = result(job))
    not Enum.any?(messages, &match?({:result, _pid, _result, _left}, &1))
  end

  test "the words of a job become a map once its slot is given back" do
    text = Enum.map_join(1..200_000, " ", &Integer.to_string/1)
    merge = {:maps, :merge, 2}
    make = {:maps, :from_list, 1}
    test = self()

    pid =
      spawn_link(fn ->
        receive do: (:go -> :ok)
        send(test, {:words, map_size(Schedulers.cpu_intensive(text, {:native, :words}))})
      end)

    :erlang.trace(pid, true, [:call, :send, :arity])
    for called <- [merge, make], do: :erlang.trace_pattern(called, true, [])
    send(pid, :go)
    assert_receive {:words, 200_000}, 30_000
    for called <- [merge, make], do: :erlang.trace_pattern(called, false, [])
    assert_receive {:trace, ^pid, :send, {:words, _}, _}

    assert Enum.filter(traced(pid), &(&1 in [:dropped, merge, make])) == [:dropped, make]
  end

  defp traced(pid) do
    receive do
      {:trace, ^pid, :send, {:"$gen_cast", {:drop, _id}}, _to} -> [:dropped | traced(pid)]
      {:trace, ^pid, :call, called} -> [called | traced(pid)]
      {:trace, ^pid, :send, _message, _to} -> traced(pid)
    after
      0 -> []
    end
  end

  test "parallel and other jobs at once: everybody gets the right result" do
    data = long()
    expected = sort(data, [])

    jobs = for n <- 1..6, do: caller(fn -> sort(data, parallel: rem(n, 2) == 0) end)
    for job <- jobs, do: assert(result(job) == expected)
  end

  test "a job that waits while its arbiter is replaced goes on" do
    turns = taken()
    waiting = caller(fn -> sort(long(), []) end)
    assert waiting?(1)
    Process.exit(Process.whereis(Slots), :kill)
    assert {:f64, _} = result(waiting)
    Enum.each(turns, &Turn.give_back/1)
  end

  @tag skip: @alone, timeout: 300_000
  test "where no arbiter comes back, the call exits as if it had looked itself" do
    {{pid, _} = job, [helper | _], turns} = halted(long())
    monitor = Process.monitor(helper)
    :ok = Supervisor.terminate_child(Foundation.Supervisor, Slots)
    on_exit(fn -> Supervisor.restart_child(Foundation.Supervisor, Slots) end)
    noproc = {:noproc, {Schedulers, :cpu_intensive, 3}}
    # It looks some hundred times, each of which may take long on a busy machine.
    assert_receive {:DOWN, ^monitor, _, _, ^noproc}, 200_000
    send(pid, :go)
    assert {:caught, :exit, ^noproc} = result(job)
    {:ok, _} = Supervisor.restart_child(Foundation.Supervisor, Slots)
    Enum.each(turns, &Turn.give_back/1)
  end

  test "a job that runs while its arbiter is replaced goes on" do
    data = long()
    test = self()

    kill = fn _ ->
      if Process.get(:killed) == nil do
        before = Process.whereis(Slots)
        Process.exit(before, :kill)
        send(test, :killed)
        Process.put(:killed, true)
        true = Eventually.eventually?(fn -> Process.whereis(Slots) not in [nil, before] end)
      end
    end

    assert {:f64, _} = result(caller(fn -> sort(data, progress: kill, progress_interval: 0) end))
    assert_received :killed
  end
end
