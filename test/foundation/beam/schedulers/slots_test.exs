defmodule Foundation.BEAM.Schedulers.SlotsTest do
  # Has the slots of this VM for itself.
  use ExUnit.Case

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.{Ends, Slots}
  alias Foundation.BEAM.Schedulers.Slots.Turn
  alias Foundation.Eventually

  setup do
    # What came before may still be on its way out.
    assert Eventually.eventually?(&idle?/0)
    # Holders take their time here.
    lease(3_600_000)

    on_exit(fn ->
      lease(%Slots{}.lease)
      assert Eventually.eventually?(&idle?/0)
    end)
  end

  defp state, do: :sys.get_state(Slots)

  defp lease(ms), do: :sys.replace_state(Slots, &%{&1 | lease: ms})

  defp idle? do
    state = state()

    state.members == %{} and state.monitors == %{} and state.queue.jobs == %{} and
      Registry.count(Schedulers.Cancel) == 0
  end

  # A job in a process of its own, which does what it is told to. Each of its slices takes a second.
  defp job(ends \\ Ends.never(), name \\ make_ref()) do
    test = self()

    pid =
      spawn(fn ->
        Process.flag(:trap_exit, true)
        obey(test, Turn.new(name), ends)
      end)

    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  defp obey(test, turn, ends) do
    receive do
      :take ->
        case Turn.take(turn, ends) do
          {:ok, turn} ->
            send(test, {:took, self()})
            obey(test, later(turn), ends)

          verdict ->
            send(test, {verdict, self(), Process.info(self(), [:messages, :monitors, :links])})
            obey(test, turn, ends)
        end

      :give_back ->
        turn = Turn.give_back(turn)
        send(test, {:gave, self()})
        obey(test, turn, ends)

      :info ->
        send(test, {:info, self(), Process.info(self(), [:messages, :monitors, :links])})
        obey(test, turn, ends)
    end
  end

  defp later(turn), do: %{turn | since: turn.since - 1_000_000_000}

  @clean [messages: [], monitors: [], links: []]

  # So many that nobody else gets one.
  defp fill(slots \\ elem(Slots.limits(), 0)) do
    for _ <- 1..slots//1 do
      pid = job()
      send(pid, :take)
      assert_receive {:took, ^pid}
      pid
    end
  end

  defp waits(pid) do
    send(pid, :take)
    assert Eventually.eventually?(fn -> :gb_sets.size(state().queue.ready) > 0 end)
    pid
  end

  test "there is one slot less than there are dirty CPU schedulers, but one at least" do
    online = :erlang.system_info(:dirty_cpu_schedulers_online)
    on_exit(fn -> online(online) end)
    assert Slots.limits() == {max(online - 1, 1), online}
    online(1)
    assert Slots.limits() == {1, 1}
  end

  # The VM does this bit by bit.
  defp online(count) do
    :erlang.system_flag(:dirty_cpu_schedulers_online, count)
    info = fn -> :erlang.system_info(:dirty_cpu_schedulers_online) end
    assert Eventually.eventually?(fn -> info.() == count end)
  end

  test "a job alone asks once, and keeps its slot" do
    pid = job()
    send(pid, :take)
    assert_receive {:took, ^pid}
    :erlang.trace(pid, true, [:send])
    for _ <- 1..10, do: send(pid, :take)
    for _ <- 1..10, do: assert_receive({:took, ^pid})
    send(pid, :info)
    assert_receive {:info, ^pid, info}
    assert Enum.sort(info) == Enum.sort(@clean)
    :erlang.trace(pid, false, [:send])
    refute_received {:trace, ^pid, :send, {:"$gen_cast", _}, _}
  end

  test "with another one waiting, the slot goes round" do
    [one | _] = fill()
    two = waits(job())
    refute_received {:took, ^two}
    send(one, :take)
    assert_receive {:took, ^two}
    refute_received {:took, ^one}
    send(two, :give_back)
    assert_receive {:took, ^one}
  end

  test "a turn that has only begun goes on, whoever waits" do
    test = self()

    pid =
      spawn(fn ->
        {:ok, turn} = Turn.take(Turn.new(make_ref()), Ends.never())
        send(test, :took)
        receive do: (:waited_for -> :ok)
        now = %{turn | since: :erlang.monotonic_time(:nanosecond) + 60_000_000_000}
        send(test, {:kept, Turn.take(now, Ends.never()) == {:ok, now}})
        Turn.take(later(turn), Ends.never())
        send(test, :again)
      end)

    on_exit(fn -> Process.exit(pid, :kill) end)
    assert_receive :took
    {shared, _all} = Slots.limits()
    others = for _ <- 1..shared, do: job()
    for other <- others, do: send(other, :take)
    assert Eventually.eventually?(fn -> :gb_sets.size(state().queue.ready) == 1 end)
    send(pid, :waited_for)
    assert_receive {:kept, true}
    for other <- others, do: assert_receive({:took, ^other})
    refute_received :again
  end

  test "the slot of a holder that is suspended goes to the next, and comes back in turn" do
    lease(20)
    [one | others] = fill()
    :erlang.suspend_process(one)
    for other <- others, do: :erlang.suspend_process(other)
    two = job()
    send(two, :take)
    assert_receive {:took, ^two}
    # All of them have lost theirs.
    assert state().queue.members |> Map.values() |> Enum.count(&(elem(&1, 1) == :held)) == 1
    lease(3_600_000)
    more = fill(elem(Slots.limits(), 0) - 1)
    for pid <- [one | others], do: :erlang.resume_process(pid)
    waits(one)
    refute_received {:took, ^one}
    send(two, :give_back)
    assert_receive {:took, ^one}
    # What it gives back is what it has now, and once.
    send(one, :give_back)
    assert_receive {:gave, ^one}
    assert state().queue.held == length(more)
  end

  test "a slot that was taken back and that nobody wants any more is asked for again" do
    lease(20)
    [one | _] = fill()
    :erlang.suspend_process(one)
    two = job()
    send(two, :take)
    assert_receive {:took, ^two}
    send(two, :give_back)
    assert_receive {:gave, ^two}
    assert :atomics.get(state().pressure, 1) == 0
    :erlang.resume_process(one)
    before = state().queue.held
    send(one, :take)
    assert_receive {:took, ^one}
    assert state().queue.held == before + 1
  end

  test "who waits less than that takes nothing from anybody" do
    [one | _] = holders = fill()
    two = waits(job())
    {timer, _since} = state().watch
    send(one, :give_back)
    assert_receive {:took, ^two}
    assert state().watch == nil
    assert :erlang.read_timer(timer) == false
    three = waits(job())
    {timer, since} = state().watch
    send(Slots, {:timeout, make_ref(), :overdue})
    assert state().watch == {timer, since}
    send(two, :take)
    assert_receive {:took, ^three}
    # The only one that has its slot since that wait began keeps it.
    [id] = for {id, {_, _, grant}} <- state().members, grant != nil, grant >= since, do: id
    send(Slots, {:timeout, timer, :overdue})
    assert {_job, :held} = state().queue.members[id]
    assert length(holders) > 1 or match?({next, _} when next != timer, state().watch)
  end

  test "the slot of a holder that dies goes to the next" do
    [one | _] = fill()
    two = waits(job())
    Process.exit(one, :kill)
    assert_receive {:took, ^two}
  end

  test "one that dies while it waits is dropped at once" do
    [one | _] = fill()
    two = waits(job())
    Process.exit(two, :kill)
    assert Eventually.eventually?(fn -> :gb_sets.is_empty(state().queue.ready) end)
    assert map_size(state().members) == elem(Slots.limits(), 0)
    three = waits(job())
    send(one, :give_back)
    assert_receive {:took, ^three}
  end

  test "cancelled while it waits: nothing is left of the wait" do
    [one | _] = fill()
    handle = Schedulers.cancel_handle()
    pid = waits(job(%Ends{cancel: handle}))
    # Who waits looks at the handle: it is linked to nobody.
    assert Registry.count(Schedulers.Cancel) == 0
    Schedulers.cancel(handle)
    assert_receive {:cancelled, ^pid, info}
    assert Enum.sort(info) == Enum.sort(@clean)
    # A slot that came to it meanwhile goes back.
    send(one, :give_back)
    send(pid, :give_back)
    assert_receive {:gave, ^pid}
    three = job()
    send(three, :take)
    assert_receive {:took, ^three}
  end

  test "its time over while it waits: nothing is left of the wait" do
    [one | _] = fill()

    # More time, where all of it went by before the wait was seen.
    assert Enum.any?([20, 1_000, 30_000], fn ms ->
             pid = job(Ends.new(%{timeout: ms, cancel: Schedulers.cancel_handle()}))
             send(pid, :take)

             waited? =
               Eventually.eventually?(fn -> not :gb_sets.is_empty(state().queue.ready) end, ms)

             assert_receive {:timeout, ^pid, info}, 60_000
             assert Enum.sort(info) == Enum.sort(@clean)
             send(pid, :give_back)
             assert_receive {:gave, ^pid}
             waited?
           end)

    send(one, :give_back)
    assert_receive {:gave, ^one}
  end

  test "granted and cancelled at once, in any order: no message is left" do
    [one | _] = fill()
    :rand.seed(:exsss, {7, 8, 9})

    outcomes =
      for _ <- 1..200 do
        handle = Schedulers.cancel_handle()
        pid = job(%Ends{cancel: handle})
        send(pid, :take)
        for _ <- 1..:rand.uniform(40)//1, do: :erlang.yield()
        Schedulers.cancel(handle)
        # It looks every 3 ms.
        pass(:rand.uniform(6_000))
        send(one, :give_back)
        for message <- [:give_back, :info], do: send(pid, message)
        assert_receive {:info, ^pid, info}
        assert Enum.sort(info) == Enum.sort(@clean)
        assert_receive {:gave, ^one}
        assert_receive {:gave, ^pid}
        send(one, :take)
        assert_receive {:took, ^one}
        Process.exit(pid, :kill)

        receive do
          {:took, ^pid} -> :took
          {:cancelled, ^pid, _} -> :cancelled
        end
      end

    assert :took in outcomes and :cancelled in outcomes
  end

  defp pass(micros), do: pass_until(System.monotonic_time(:microsecond) + micros)
  defp pass_until(time), do: System.monotonic_time(:microsecond) < time && pass_until(time)

  test "parts of a job that is alone have all slots" do
    name = make_ref()
    {_shared, all} = Slots.limits()
    pids = for _ <- 1..all, do: job(Ends.never(), name)
    for pid <- pids, do: send(pid, :take)
    for pid <- pids, do: assert_receive({:took, ^pid})
  end

  test "when the arbiter dies, who waits or has a slot asks the next one" do
    [one | _] = holders = fill()
    two = waits(job())
    before = Process.whereis(Slots)
    Process.exit(before, :kill)
    # It stands first there: nobody else has asked yet.
    assert_receive {:took, ^two}
    assert Process.whereis(Slots) not in [nil, before]
    send(two, :give_back)
    assert_receive {:gave, ^two}
    send(one, :take)
    assert_receive {:took, ^one}
    assert map_size(state().members) == 1
    for pid <- [two | holders], do: send(pid, :info)
    for pid <- [two | holders], do: assert_receive({:info, ^pid, info} when length(info) == 3)
  end

  @tag timeout: 300_000
  test "where there is no arbiter, it is waited for, but not without end" do
    :ok = Supervisor.terminate_child(Foundation.Supervisor, Slots)
    on_exit(fn -> Supervisor.restart_child(Foundation.Supervisor, Slots) end)
    one = job()
    monitor = Process.monitor(one)
    send(one, :take)
    # As long as others need to run out of time.
    two = job(Ends.new(%{timeout: 20, cancel: nil}))
    send(two, :take)
    assert_receive {:timeout, ^two, _info}, 30_000
    # It looks some hundred times, each of which may take long on a busy machine.
    assert_receive {:DOWN, ^monitor, _, _, {:noproc, {Schedulers, :cpu_intensive, 3}}}, 200_000
  end

  # Once in five: a test that is held up may come when nobody waits any more.
  test "where there is no arbiter, who waits is cancelled, and asks the next one" do
    on_exit(fn -> Supervisor.restart_child(Foundation.Supervisor, Slots) end)

    assert Enum.any?(1..5, fn _ ->
             :ok = Supervisor.terminate_child(Foundation.Supervisor, Slots)
             handle = Schedulers.cancel_handle()

             looks_until(job(%Ends{cancel: handle}), fn -> Schedulers.cancel(handle) end) ==
               :cancelled
           end)

    assert Enum.any?(1..5, fn _ ->
             :ok = Supervisor.terminate_child(Foundation.Supervisor, Slots)
             restart = fn -> {:ok, _} = Supervisor.restart_child(Foundation.Supervisor, Slots) end
             looks_until(job(), restart) == :took
           end)
  end

  # How the wait of a job for an arbiter ends when that is done.
  defp looks_until(pid, done) do
    monitor = Process.monitor(pid)
    send(pid, :take)

    assert Eventually.eventually?(fn ->
             match?({_, {Turn, _, _}}, Process.info(pid, :current_function)) or
               not Process.alive?(pid)
           end)

    done.()

    receive do
      {:took, ^pid} -> :took
      {:cancelled, ^pid, _info} -> :cancelled
      {:DOWN, ^monitor, _, _, {:noproc, {Schedulers, :cpu_intensive, 3}}} -> :noproc
    end
  end
end
