defmodule Foundation.BEAM.Memory.LeaksLookTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Eventually

  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.Leaks.Look
  alias Foundation.{Keeper, Stuck}

  @mb 1_000_000

  defmodule Machine do
    @behaviour :gen_statem
    def callback_mode, do: :handle_event_function
    def init(make), do: {:ok, :on, make.()}
    def handle_event({:call, _from}, :later, _state, _data), do: {:keep_state_and_data, :postpone}
  end

  defmodule Handler do
    @behaviour :gen_event
    def init(make), do: {:ok, make.()}
    def handle_event(_event, state), do: {:ok, state}
    def handle_call(:state, state), do: {:ok, state, state}
  end

  defp search(pids, opts \\ []), do: Memory.binary_leaks([pids: List.wrap(pids)] ++ opts)

  # A busy machine can keep a search from some: the first that is as wanted, or the last of a few.
  defp first(pids, opts, wanted?) do
    Enum.reduce_while(1..10, nil, fn _, _last ->
      result = search(pids, opts)
      {if(wanted?.(result), do: :halt, else: :cont), result}
    end)
  end

  defp looked(pids, count, opts \\ []),
    do: first(pids, opts, &match?(%{looked_into: ^count, skipped: 0}, &1))

  # Waits until the process waits.
  defp idle(pid) do
    assert eventually?(fn -> Process.info(pid, :status) == {:status, :waiting} end)
    pid
  end

  test "who is looked into stays as it is, and the caller's mailbox too" do
    pid = Keeper.start(fn -> %{part: Keeper.part(2 * @mb), fun: fn -> :same end} end)
    # In the server: a reference here would be one that the search does not know.
    state = fn -> Keeper.digest(pid) end
    before = state.()
    send(self(), :mine)
    {:dictionary, dictionary} = Process.info(pid, :dictionary)

    for _ <- 1..20, do: assert(%{looked_into: 1, leaks: [_]} = pid |> idle() |> looked(1))

    assert state.() == before
    assert Process.info(pid, :dictionary) == {:dictionary, dictionary}

    assert Process.info(pid, [:message_queue_len, :monitors]) == [
             message_queue_len: 0,
             monitors: []
           ]

    assert Process.info(self(), :messages) == {:messages, [:mine]}
    assert Process.info(self(), :monitors) == {:monitors, []}
  end

  test "without looks, processes are sent nothing" do
    pid = idle(Keeper.start(fn -> Keeper.part(2 * @mb) end))
    :erlang.trace(pid, true, [:receive])
    assert %{looked_into: 0, not_looked_into: 0, searched: 1} = looked(pid, 0, look: false)
    :erlang.trace(pid, false, [:receive])
    refute_received {:trace, _pid, :receive, _message}
  end

  test "a GenServer that is busy, suspended or hibernating is left alone" do
    make = fn -> Keeper.part(2 * @mb) end
    caller = self()
    [busy, suspended, asleep] = for _ <- 1..3, do: Keeper.start(make)

    spawn_link(fn ->
      Keeper.run(busy, fn ->
        send(caller, :busy)
        receive do: (:go -> :ok)
      end)
    end)

    :sys.suspend(suspended)
    :sys.replace_state(asleep, & &1)
    Keeper.hibernate(asleep)
    receive do: (:busy -> :ok)
    Enum.each([busy, suspended, asleep], &idle/1)

    assert %{looked_into: 0, skipped: 0} = looked([busy, suspended, asleep], 0)
    for pid <- [busy, suspended, asleep], do: refute(Look.into(pid, 0) == :all)
    send(busy, :go)
    :sys.resume(suspended)
    assert [_] = first([busy |> idle(), suspended, asleep], [limit: 1], &(&1.leaks != [])).leaks
  end

  test "to a process of no known kind, and to a gen_event, nothing is sent" do
    {:ok, manager} = :gen_event.start_link()
    :ok = :gen_event.add_handler(manager, Handler, fn -> Keeper.part(2 * @mb) end)
    plain = Keeper.plain(fn -> Keeper.bytes(2 * @mb) end)
    :erlang.trace(plain, true, [:receive])
    :erlang.trace(manager, true, [:receive])
    assert %{looked_into: 0, searched: 2} = looked([manager, plain], 0)
    :erlang.trace(plain, false, [:receive])
    :erlang.trace(manager, false, [:receive])
    refute_received {:trace, _pid, :receive, _message}
    assert byte_size(:gen_event.call(manager, Handler, :state)) == 100
  end

  test "a process that has left its loop since it was found is sent nothing" do
    # On a busy machine the search may have come to the second before that leaves.
    assert Enum.any?(1..5, fn _ -> asked_while_leaving().looked_into == 0 end)
  end

  defp asked_while_leaving do
    caller = self()
    [first, second] = for size <- [3, 2], do: Keeper.start(fn -> Keeper.part(size * @mb) end)
    true = :erlang.suspend_process(first)
    spawn_link(fn -> send(caller, {:found, search([first, second])}) end)
    # It is being asked: the other comes next.
    assert eventually?(fn ->
             Process.info(first, :message_queue_len) == {:message_queue_len, 1}
           end)

    spawn_link(fn ->
      Keeper.run(second, fn ->
        send(caller, :elsewhere)
        receive do: (any -> send(caller, {:got, any}))
      end)
    end)

    receive do: (:elsewhere -> :ok)
    result = receive do: ({:found, result} -> result)
    true = :erlang.resume_process(first)
    send(second, :mine)
    receive do: ({:got, any} -> assert(any == :mine))
    result
  end

  test "what a gen_statem does not reach is only suspected" do
    {:ok, machine} = :gen_statem.start_link(Machine, fn -> Keeper.part(3 * @mb) end, [])
    result = looked(machine, 1)
    assert [%{kind: :parts, certainty: :suspected, looked_into?: true} = leak] = result.leaks
    assert leak.wasted_bytes == 3 * @mb - 100
    assert %{wasted_bytes: 0, suspected_bytes: suspected} = result
    assert suspected == 3 * @mb - 100
  end

  test "what has a limit to its heap is not looked into" do
    limit = [spawn_opt: [max_heap_size: 100_000]]
    pid = Keeper.start(fn -> Keeper.part(2 * @mb) end, limit)
    assert %{looked_into: 0, searched: 1} = looked(pid, 0)
  end

  test "where more is to be walked than is, nothing is proven" do
    pid = Keeper.start(fn -> {Enum.to_list(1..5_000_000), Keeper.part(2 * @mb)} end)
    assert %{looked_into: 0, wasted_bytes: 0} = result = looked(pid, 0)
    assert %{not_looked_into: 1, complete?: false} = result
  end

  # A server whose stack has more on it than its loop: what that holds nobody sees.
  defp below_frames_of_others(make) do
    caller = self()

    pid =
      :proc_lib.spawn_link(fn ->
        held = make.()
        send(caller, :entered)

        try do
          :gen_server.enter_loop(Keeper, [], :no_state)
        after
          send(caller, held)
        end
      end)

    receive do: (:entered -> idle(pid))
  end

  test "what is old stays suspected where a look failed, or goes by the collection that it brings" do
    pid = below_frames_of_others(fn -> :nothing end)
    Keeper.pass_through(pid, 2, @mb)
    assert %{leaks: [leak], not_looked_into: 1} = pid |> idle() |> looked(0)
    assert leak.wasted_bytes == 2_000_000
    # On OTP 27 the process finds its own collection due once it has answered.
    assert {leak.kind, leak.certainty} in [old_generation: :suspected, garbage: :measured]
  end

  test "searches that meet in a process find its leak, or say that they could not look" do
    pid = Keeper.start(fn -> {Enum.to_list(1..1_000_000), Keeper.part(2 * @mb)} end)

    searches = for _ <- 1..8, do: Task.async(fn -> for _ <- 1..5, do: search(pid) end)

    for result <- searches |> Task.await_many(60_000) |> List.flatten(),
        do: assert(result.leaks != [] or not result.complete?)
  end

  test "where frames of others lie below the loop, nothing is proven" do
    pid = below_frames_of_others(fn -> Keeper.bytes(2 * @mb) end)
    assert %{looked_into: 0, not_looked_into: 1, wasted_bytes: 0} = looked(pid, 0)
  end

  @tag :two_schedulers
  test "a process that does not answer is skipped and counted" do
    # Not in the queue behind it.
    other = Keeper.start(fn -> Keeper.part(2 * @mb) end, spawn_opt: [scheduler: 1])
    # What is loaded only now would wait for it as well.
    assert %{leaks: [_]} = looked(other, 1)
    result = Stuck.beside(&search([other, &1]))
    assert %{skipped: 1, searched: 1, complete?: false, leaks: [%{pid: ^other}]} = result
  end

  test "the dead, pids given twice, and no pids at all" do
    {dead, monitor} = spawn_monitor(fn -> :ok end)
    receive do: ({:DOWN, ^monitor, _, _, _} -> :ok)
    pid = Keeper.start(fn -> Keeper.part(2 * @mb) end)
    assert %{leaks: [leak], skipped: 0} = looked([dead, pid, dead, pid], 1, collect: true)
    assert %{pid: ^pid, wasted_bytes: wasted} = leak
    assert wasted == 2 * @mb - 100
    assert %{leaks: [], searched: 0, complete?: true} = search([])
  end

  test "without time nothing is searched, and that is said" do
    pid = Keeper.start(fn -> Keeper.part(2 * @mb) end)
    result = search(pid, timeout: 0)
    assert %{leaks: [], searched: 0, skipped: 1, complete?: false} = result
    assert %{leaks: [_], complete?: true} = looked(pid, 1, timeout: :infinity)
  end

  test "looking can be limited and left out" do
    pids = for _ <- 1..3, do: Keeper.start(fn -> Keeper.part(2 * @mb) end)
    assert %{looked_into: 2, complete?: false, leaks: [_, _]} = looked(pids, 2, max_looks: 2)
    assert %{looked_into: 0, complete?: true, wasted_bytes: 0} = search(pids, look: false)
    assert %{looked_into: 3, complete?: true, leaks: [_, _, _]} = looked(pids, 3)
  end

  test "a binary that is being appended to is listed, or its bytes are told as hidden" do
    pid =
      Keeper.start(fn ->
        Enum.reduce(1..200_000, <<>>, fn n, all -> <<all::binary, n::64, n::64>> end)
      end)

    # Before OTP 27 the list lacks it once a collection has put it among those that can grow.
    :erlang.garbage_collect(pid)
    # A busy machine may keep it from giving its list in time.
    result = first(pid, [], &(&1.skipped == 0))
    assert result.held_bytes + result.hidden_bytes >= 3_200_000
    assert result.complete? == result.hidden_bytes < @mb
    if System.otp_release() < "27", do: refute(result.complete?)
    # The room to append is not taken away by looking.
    assert :sys.get_state(pid) |> byte_size() == 3_200_000
  end

  test "the caller's death ends the search, and nothing is left of it" do
    pid = Keeper.start(fn -> Keeper.part(2 * @mb) end)
    caller = spawn(fn -> for _ <- Stream.cycle([1]), do: search(pid) end)
    assert eventually?(fn -> Memory.native_memory().leak_searches > 0 end)
    Process.exit(caller, :kill)
    assert eventually?(fn -> Foundation.NativeBytes.settle().leak_searches == 0 end)
    assert eventually?(fn -> Look.into(pid, 0) == :more end)
  end

  test "mistakes in the options are named" do
    for {opts, name} <- [
          {[limit: 0], ":limit"},
          {[min_bytes: 0], ":min_bytes"},
          {[timeout: -1], ":timeout"},
          {[pids: [:init]], ":pids"},
          {[pids: [self() | self()]], ":pids"},
          {[pids: self()], ":pids"},
          {[look: 1], ":look"},
          {[pid: self()], ":pid"}
        ] do
      assert_raise ArgumentError, ~r/#{name}/, fn -> Memory.binary_leaks(opts) end
    end
  end
end
