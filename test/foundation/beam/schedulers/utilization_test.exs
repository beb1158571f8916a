defmodule Foundation.BEAM.Schedulers.UtilizationTest do
  use ExUnit.Case, async: false

  import Foundation.Eventually

  alias Foundation.BEAM.{Compression, Schedulers}
  alias Foundation.BEAM.Schedulers.Utilization
  alias Foundation.Online

  # A process that never stops working, on the scheduler of that number, and has begun.
  defp busy(scheduler) do
    test = self()

    pid =
      spawn_link(fn ->
        :erlang.process_flag(:scheduler, scheduler)
        send(test, {:busy, self()})
        spin()
      end)

    assert_receive {:busy, ^pid}
    pid
  end

  defp spin, do: spin()

  # The same on dirty CPU schedulers.
  defp busy_dirty do
    test = self()
    data = :binary.copy("what compresses ", 65_536)

    pid =
      spawn_link(fn ->
        send(test, {:busy, self()})
        Enum.each(Stream.cycle([data]), &Compression.compress/1)
      end)

    assert_receive {:busy, ^pid}
    pid
  end

  defp stop(pid) do
    Process.unlink(pid)
    Process.exit(pid, :kill)
  end

  defp clocks_off?, do: eventually?(fn -> not clocks_on?() end)
  defp clocks_on?, do: is_list(:erlang.statistics(:scheduler_wall_time))

  # What OTP's own module has read, as ours has it.
  defp reading({:scheduler_wall_time_all, clocks}) do
    %{at: 0, clocks: for({_kind, id, active, total} <- clocks, do: {id, active, total})}
  end

  defp theirs(result, kind), do: for({^kind, id, share, _text} <- result, do: {id, share})

  # The largest difference between ours and those of OTP's own module.
  defp difference(ours, theirs) do
    {:weighted, weighted, _text} = List.keyfind!(theirs, :weighted, 0)

    Enum.max([
      apart(ours.individual, theirs(theirs, :normal)),
      apart(ours.dirty_cpu.individual, theirs(theirs, :cpu)),
      abs(ours.weighted - weighted)
    ])
  end

  # Theirs have those that are offline as well, after the others.
  defp apart(ours, theirs) do
    theirs = Enum.take(theirs, length(ours))
    assert Enum.map(ours, &elem(&1, 0)) == Enum.map(theirs, &elem(&1, 0))
    Enum.zip_with(ours, theirs, fn {id, one}, {id, other} -> abs(one - other) end) |> Enum.max()
  end

  describe "the figures" do
    test "have the documented keys, and lie between 0.0 and 1.0" do
      usage = Schedulers.get_scheduler_utilization(sample_ms: 5)
      online = System.schedulers_online()
      assert usage.scheduler_count == online
      assert Enum.map(usage.individual, &elem(&1, 0)) == Enum.to_list(1..online)
      assert Enum.map(usage.run_queues.individual, &elem(&1, 0)) == Enum.to_list(1..online)

      assert length(usage.dirty_cpu.individual) ==
               :erlang.system_info(:dirty_cpu_schedulers_online)

      assert length(usage.dirty_io.individual) == :erlang.system_info(:dirty_io_schedulers)
      assert usage.window_ms >= 5

      groups = [usage, usage.dirty_cpu, usage.dirty_io]
      shares = for group <- groups, {_id, share} <- group.individual, do: share

      for share <- Enum.map(groups, & &1.average) ++ shares do
        assert is_float(share) and share >= 0.0 and share <= 1.0
      end
    end

    test "of the same two readings are those of :scheduler, idle and at work" do
      holder = Utilization.hold()
      on_exit(fn -> assert clocks_off?() end)

      for start <- [fn -> [] end, fn -> [busy(1)] end, fn -> [busy(1), busy(1), busy_dirty()] end] do
        workers = start.()
        from = :scheduler.sample_all()
        Process.sleep(50)
        to = :scheduler.sample_all()
        Enum.each(workers, &stop/1)
        theirs = :scheduler.utilization(from, to)
        queues = :erlang.statistics(:run_queue_lengths_all)
        ours = Utilization.figures(reading(from), reading(to), queues)
        assert difference(ours, theirs) < 1.0e-6
        assert apart(ours.dirty_io.individual, theirs(theirs, :io)) < 1.0e-6

        for group <- [ours, ours.dirty_cpu, ours.dirty_io] do
          shares = Enum.map(group.individual, &elem(&1, 1))
          assert_in_delta group.average, Enum.sum(shares) / length(shares), 1.0e-9
        end
      end

      Utilization.release(holder)
    end

    # Two calls at once: where the machine holds one of them up, their windows differ, so one pair
    # out of five is enough. With the same two readings, above, there is no difference at all.
    @tag :two_schedulers
    test "are within two points of :scheduler.utilization/1 in the same window" do
      workers = [busy(1), busy_dirty()]

      assert Enum.any?(1..5, fn _ ->
               other = Task.async(fn -> :scheduler.utilization(1) end)
               ours = Schedulers.get_scheduler_utilization(sample_ms: 1_000)
               difference(ours, Task.await(other)) <= 0.02
             end)

      Enum.each(workers, &stop/1)
    end

    @tag :two_schedulers
    test "show the scheduler that is busy, and the queue in front of it" do
      [last | _] = Enum.reverse(1..System.schedulers_online())
      workers = [busy(last), busy(last), busy(last)]
      usage = Schedulers.get_scheduler_utilization()
      Enum.each(workers, &stop/1)
      assert {^last, share} = List.last(usage.individual)
      assert share > 0.9
      assert {^last, waiting} = List.last(usage.run_queues.individual)
      assert waiting >= 2
      assert usage.run_queues.total >= waiting
    end

    test "show dirty CPU schedulers apart" do
      # Several: the turn of one on a normal scheduler, between two calls, may take long where others
      # want it.
      workers = for _ <- 1..8, do: busy_dirty()

      assert Schedulers.utilization_stream(sample_ms: 50)
             |> Stream.take(50)
             |> Enum.any?(fn usage ->
               shares = Enum.map(usage.dirty_cpu.individual, &elem(&1, 1))
               Enum.sum(shares) > 0.5
             end)

      Enum.each(workers, &stop/1)
    end

    @tag :two_schedulers
    test "are of the schedulers online" do
      Online.again()
      :erlang.system_flag(:schedulers_online, 1)
      usage = Schedulers.get_scheduler_utilization(sample_ms: 5)
      assert [{1, share}] = usage.individual
      assert usage.average == share
      assert [{1, _waiting}] = usage.run_queues.individual
      assert usage.scheduler_count == 1
    end

    test "of no time at all are 0.0" do
      holder = Utilization.hold()
      reading = Utilization.read()
      usage = Utilization.figures(reading, reading, :erlang.statistics(:run_queue_lengths_all))
      assert usage.average == 0.0
      assert usage.weighted == 0.0
      assert usage.dirty_io.average == 0.0
      Utilization.release(holder)
    end
  end

  describe "the clocks" do
    test "stop after a sample, unless others want them" do
      assert clocks_off?()
      Schedulers.get_scheduler_utilization(sample_ms: 1)
      assert clocks_off?()

      # This process wants them itself, as a monitoring tool would; their count goes on.
      assert :erlang.system_flag(:scheduler_wall_time, true) == false
      before = total(1)
      Schedulers.get_scheduler_utilization(sample_ms: 1)
      assert clocks_on?()
      assert total(1) > before
      assert :erlang.system_flag(:scheduler_wall_time, false) == true
      assert clocks_off?()
    end

    test "go on for one sample while another ends, and for a sample while others stop" do
      assert clocks_off?()
      test = self()

      other =
        spawn_link(fn ->
          :erlang.system_flag(:scheduler_wall_time, true)
          send(test, :on)
          receive do: (:off -> :erlang.system_flag(:scheduler_wall_time, false))
          send(test, :off)
        end)

      assert_receive :on

      [first, second] =
        Schedulers.utilization_stream(sample_ms: 2)
        |> Stream.each(fn _ -> Schedulers.get_scheduler_utilization(sample_ms: 1) end)
        |> Stream.each(fn _ -> send(other, :off) end)
        |> Enum.take(2)

      assert_receive :off
      assert first.window_ms >= 2 and second.window_ms >= 2
      assert clocks_off?()
    end

    test "stop when the caller is killed" do
      assert clocks_off?()

      for fun <- [
            fn -> Schedulers.get_scheduler_utilization(sample_ms: 60_000) end,
            fn -> Enum.to_list(Schedulers.utilization_stream(sample_ms: 60_000)) end
          ] do
        pid = spawn(fun)
        assert eventually?(&clocks_on?/0)
        Process.exit(pid, :kill)
        assert clocks_off?()
      end
    end

    test "leave nothing in the caller's mailbox, and look at nothing in it" do
      send(self(), :release)
      send(self(), {make_ref(), :held})
      Schedulers.get_scheduler_utilization(sample_ms: 1)
      Enum.take(Schedulers.utilization_stream(sample_ms: 1), 2)
      assert {:messages, [:release, {_, :held}]} = Process.info(self(), :messages)
      assert {:monitors, []} = Process.info(self(), :monitors)
    end

    defp asleep?(pid),
      do: Process.info(pid, :current_function) == {:current_function, {Process, :sleep, 1}}

    test "that stop during a sample make it raise, and leave no message" do
      # A machine that stands still may let the first window pass before anybody sees it.
      assert Enum.any?([500, 5_000, 30_000], &stopped_within?/1)
      assert {:messages, []} = Process.info(self(), :messages)
      assert {:monitors, []} = Process.info(self(), :monitors)
    end

    # Whether the clocks could be stopped within a window of so many milliseconds.
    defp stopped_within?(ms) do
      caller = self()
      assert clocks_off?()
      over = :atomics.new(1, [])

      # What the caller watches beside its links is the holder.
      killer =
        Task.async(fn ->
          # Within the window: before it the holder may not have told that it is there.
          assert eventually?(fn -> over?(over) or (clocks_on?() and asleep?(caller)) end, 60_000)
          {:monitors, monitors} = Process.info(caller, :monitors)
          for {:process, pid} <- monitors, pid != self(), do: Process.exit(pid, :kill)
        end)

      try do
        Schedulers.get_scheduler_utilization(sample_ms: ms)
        false
      rescue
        error in RuntimeError -> assert error.message =~ "it was killed"
      after
        :atomics.put(over, 1, 1)
        Task.await(killer, 60_000)
      end
    end

    defp over?(over), do: :atomics.get(over, 1) == 1
  end

  describe "the stream" do
    test "leaves no time out: what the consumer takes is in the next window" do
      [_first, second, third] =
        Schedulers.utilization_stream(sample_ms: 1)
        |> Stream.each(fn _ -> until(System.monotonic_time(:millisecond) + 30) end)
        |> Enum.take(3)

      assert second.window_ms >= 30
      assert third.window_ms >= 30
    end

    defp until(time), do: System.monotonic_time(:millisecond) > time || until(time)

    test "stops the clocks when it is left, also by an exception" do
      stream = Schedulers.utilization_stream(sample_ms: 1)
      assert clocks_off?()
      assert [_one] = Enum.take(stream, 1)
      assert clocks_off?()
      assert_raise RuntimeError, "left", fn -> Enum.each(stream, fn _ -> raise "left" end) end
      assert clocks_off?()
    end

    test "raises where its first process is gone" do
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          stream = Schedulers.utilization_stream(sample_ms: 1)
          step = fn usage, _acc -> {:suspend, usage} end
          {:suspended, _usage, rest} = Enumerable.reduce(stream, {:cont, nil}, step)
          send(test, {:rest, rest})
        end)

      assert_receive {:rest, rest}
      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}
      assert clocks_off?()

      assert_raise RuntimeError, ~r/the one that began the stream is gone/, fn ->
        rest.({:cont, nil})
      end
    end
  end

  test "wrong options are refused at once" do
    for value <- [0, -1, 1.5, :infinity, nil, 0x100000000],
        fun <- [&Schedulers.get_scheduler_utilization/1, &Schedulers.utilization_stream/1] do
      assert_raise ArgumentError, ~r/invalid option :sample_ms in Schedulers\./, fn ->
        fun.(sample_ms: value)
      end
    end

    assert_raise ArgumentError, ~r/unknown option :window/, fn ->
      Schedulers.get_scheduler_utilization(window: 1)
    end
  end

  defp total(id) do
    {^id, _active, total} = List.keyfind!(:erlang.statistics(:scheduler_wall_time), id, 0)
    total
  end
end
