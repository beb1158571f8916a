defmodule Foundation.BEAM.Schedulers.CancelTest do
  # Looks at every process of the VM: not beside other tests.
  use ExUnit.Case

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Keeper
  alias Foundation.{Error, Eventually}

  # What came before may still be on its way out.
  setup do
    assert Eventually.eventually?(fn -> keepers() == [] end)
    assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 0 end)
    :ok
  end

  defp stuck(test) do
    fn _chunk ->
      send(test, {:stuck, self()})
      Process.sleep(:infinity)
    end
  end

  defp cancelled?(result), do: match?({:error, %Error{error_type: :cancelled}}, result)

  defp keepers do
    for pid <- Process.list(),
        {:current_function, {Keeper, _, _}} <- [Process.info(pid, :current_function)],
        do: pid
  end

  test "another process cancels; the worker is gone when the call returns" do
    test = self()

    for way <- [[], [max_concurrency: 3]], data <- [[1, 2, 3], :whole] do
      handle = Schedulers.cancel_handle()

      canceller =
        spawn(fn ->
          receive do: (:now -> Schedulers.cancel(handle))
        end)

      work = fn chunk ->
        send(test, {:stuck, self()})
        # Last: it may be ended at once.
        send(canceller, :now)
        stuck(test).(chunk)
      end

      assert cancelled?(Schedulers.cpu_intensive(data, work, [cancel: handle] ++ way))
      assert_received {:stuck, worker}
      refute Process.alive?(worker)
      Eventually.flush()
    end
  end

  test "the progress function cancels" do
    handle = Schedulers.cancel_handle()
    test = self()

    work = fn
      [1] -> [1]
      [2] -> stuck(test).([2])
    end

    for way <- [[], [max_concurrency: 2]] do
      tell = fn %{done: 1, total: 2} -> Schedulers.cancel(handle) end
      opts = [chunk_size: 1, cancel: handle, progress: tell, progress_interval: 0] ++ way
      assert cancelled?(Schedulers.cpu_intensive([1, 2], work, opts))
    end

    assert keepers() == []
  end

  test "the function itself cancels" do
    handle = Schedulers.cancel_handle()

    work = fn _ ->
      Schedulers.cancel(handle)
      Process.sleep(:infinity)
    end

    assert cancelled?(Schedulers.cpu_intensive([1], work, cancel: handle))
  end

  test "a handle that was cancelled before lets no work begin" do
    handle = Schedulers.cancel_handle()
    :ok = Schedulers.cancel(handle)
    :ok = Schedulers.cancel(handle)
    flunk = fn _ -> flunk("called") end
    assert cancelled?(Schedulers.cpu_intensive([1], flunk, cancel: handle))
    assert cancelled?(Schedulers.cpu_intensive(:whole, flunk, cancel: handle))
  end

  test "a handle that nobody cancels changes nothing, and serves again" do
    handle = Schedulers.cancel_handle()
    for _ <- 1..3, do: assert(Schedulers.cpu_intensive([1, 2], & &1, cancel: handle) == [1, 2])
    assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 0 end)
  end

  test "one handle cancels all work that has it" do
    test = self()
    handle = Schedulers.cancel_handle()

    for n <- 1..5 do
      spawn_link(fn ->
        send(test, {n, Schedulers.cpu_intensive([n], stuck(test), cancel: handle)})
      end)
    end

    for _ <- 1..5, do: assert_receive({:stuck, _worker})
    Schedulers.cancel(handle)

    for n <- 1..5 do
      assert_receive {^n, result}
      assert cancelled?(result)
    end
  end

  test "what is no handle, or another node's, is named" do
    foreign = :erlang.binary_to_term(<<131, 90, 2::16, 119, 5, "other", 1::32, 7::32, 9::32>>)

    for term <- [make_ref(), nil, :handle, %{Schedulers.cancel_handle() | flag: foreign}] do
      assert_raise ArgumentError,
                   ~r/^expected a handle .* on this node in Schedulers\.cancel.*, got: /,
                   fn ->
                     Schedulers.cancel(term)
                   end

      assert_raise ArgumentError,
                   ~r/^expected a handle .* on this node in Schedulers\.cancel.*, got: /,
                   fn ->
                     Schedulers.cancelled?(term)
                   end
    end
  end

  test "a handle that was freed and has come back is named" do
    # The process that made it is gone, and the flag with it.
    make = fn -> exit(:erlang.term_to_binary(Schedulers.cancel_handle())) end
    {_pid, monitor} = spawn_monitor(make)
    assert_receive {:DOWN, ^monitor, _, _, bytes}
    stale = :erlang.binary_to_term(bytes)
    named = ~r/a handle .* on this node.*, got: /
    assert_raise ArgumentError, named, fn -> Schedulers.cancel(stale) end
    assert_raise ArgumentError, named, fn -> Schedulers.cancelled?(stale) end
    assert_raise ArgumentError, named, fn -> Schedulers.cpu_intensive([], & &1, cancel: stale) end
  end

  test "work that runs while the registry is restarted can still be cancelled" do
    test = self()
    handle = Schedulers.cancel_handle()

    spawn_link(fn ->
      send(test, {:returned, Schedulers.cpu_intensive([1], stuck(test), cancel: handle)})
    end)

    assert_receive {:stuck, _worker}
    assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 1 end)
    [{_, partition, _, _}] = Supervisor.which_children(Schedulers.Cancel)
    monitor = Process.monitor(partition)
    Process.exit(partition, :kill)
    assert_receive {:DOWN, ^monitor, _, _, :killed}
    assert Eventually.eventually?(fn -> registered?() end)
    Schedulers.cancel(handle)
    assert_receive {:returned, result}
    assert cancelled?(result)
  end

  test "a cancellation while there is no registry is found when there is one" do
    test = self()
    handle = Schedulers.cancel_handle()

    spawn_link(fn ->
      send(test, {:returned, Schedulers.cpu_intensive([1], stuck(test), cancel: handle)})
    end)

    assert_receive {:stuck, worker}
    assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 1 end)
    # Back from the registry.
    assert Eventually.eventually?(fn -> match?([_keeper], keepers()) end)
    [keeper] = keepers()
    :erlang.trace(keeper, true, [:receive])
    :ok = Supervisor.terminate_child(Foundation.Supervisor, Schedulers.Cancel)
    assert :ok = Schedulers.cancel(handle)
    # It has tried in vain.
    for _ <- 1..2, do: assert_receive({:trace, ^keeper, :receive, :register})
    assert Process.alive?(worker)
    {:ok, _registry} = Supervisor.restart_child(Foundation.Supervisor, Schedulers.Cancel)
    assert_receive {:returned, result}
    assert cancelled?(result)
  end

  defp registered? do
    Registry.count(Schedulers.Cancel) == 1
  rescue
    _restarting in ArgumentError -> false
  end

  test "cancelled, or its caller killed, at any moment: no process is left, no answer is wrong" do
    :rand.seed(:exsss, {1, 2, 3})
    list = Enum.to_list(1..2_000)

    results =
      for n <- 1..300 do
        handle = Schedulers.cancel_handle()
        concurrency = if rem(n, 2) == 0, do: [max_concurrency: 3], else: []
        opts = [cancel: handle, chunk_size: 10] ++ concurrency
        {pid, monitor} = spawn_monitor(fn -> exit(Schedulers.cpu_intensive(list, & &1, opts)) end)
        for _ <- 1..:rand.uniform(300)//1, do: :erlang.yield()
        if rem(n, 3) == 0, do: Process.exit(pid, :kill), else: Schedulers.cancel(handle)
        assert_receive {:DOWN, ^monitor, _, _, result}
        result
      end

    assert Enum.all?(results, &(&1 == :killed or &1 == list or cancelled?(&1)))
    assert Enum.any?(results, &cancelled?/1)
    assert :killed in results
    assert Eventually.eventually?(fn -> keepers() == [] end)
    assert Eventually.eventually?(fn -> Registry.count(Schedulers.Cancel) == 0 end)
  end
end
