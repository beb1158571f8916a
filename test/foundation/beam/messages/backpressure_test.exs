defmodule Foundation.BEAM.Messages.BackpressureTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.BEAM.Messages.Buffer
  alias Foundation.{Error, Events, Receiver}

  @refused [:foundation, :messages, :refused]
  # Time enough for whoever answers at all.
  @full [max_queue_size: 5, probe_timeout: 60_000]

  defp send_to(dest, message, opts \\ []),
    do: Messages.send_with_backpressure(dest, message, Keyword.merge(@full, opts))

  # The buffer of a receiver, monitored, so that a test can wait for its end.
  defp watch(receiver) do
    buffer = Messages.BufferSupervisor.whereis({:local, receiver})
    {buffer, Process.monitor(buffer)}
  end

  describe "a receiver with room" do
    test "gets what send_optimized/3 would send" do
      receiver = Receiver.start(4)
      assert send_to(receiver, :fifth) == {:ok, :sent}
      large = List.duplicate(7, 2000)
      assert {:ok, handle} = send_to(Receiver.start(), large)
      assert is_reference(handle)
      assert {:ok, :sent} = send_to(Receiver.start(), large, strategy: :flow_controlled)
    end
  end

  describe ":drop" do
    test "drops what a full receiver would have to hold, and counts it" do
      Events.listen(@refused)
      receiver = Receiver.start(5)
      assert send_to(receiver, :sixth) == {:dropped, :backpressure}
      assert Process.info(receiver, :message_queue_len) == {:message_queue_len, 5}

      assert_received {:event, @refused, %{count: 1},
                       %{destination: ^receiver, reason: {:queue_full, 5}}}
    end

    @tag :two_schedulers
    test "a receiver that does not answer is full" do
      Events.listen(@refused)
      {result, busy} = Receiver.while_busy(&send_to(&1, :a, probe_timeout: 10))
      assert result == {:dropped, :backpressure}
      assert_received {:event, _, _, %{destination: ^busy, reason: :unresponsive}}
    end
  end

  describe ":redirect" do
    test "sends to the first alternative with room" do
      [full, also_full, free, unused] = Enum.map([5, 5, 0, 0], &Receiver.start/1)
      for receiver <- [free, unused], do: Receiver.read(receiver, 1)
      others = [:nobody_has_this, also_full, free, unused]
      opts = [backpressure_strategy: :redirect, alternatives: others]
      assert send_to(full, :a, opts) == {:ok, :sent}
      assert_receive {:read, ^free, :a}
      refute_received {:read, ^unused, _}
    end

    test "also away from a receiver that is gone" do
      {gone, ref} = spawn_monitor(fn -> :ok end)
      assert_receive {:DOWN, ^ref, :process, _, _}
      opts = [backpressure_strategy: :redirect, alternatives: [self()]]
      assert send_to(gone, :a, opts) == {:ok, :sent}
      assert_received :a
    end

    test "says where there is no alternative, and counts it" do
      Events.listen(@refused)
      {full, other} = {Receiver.start(5), Receiver.start(5)}

      for alternatives <- [[], [other], [full, other]] do
        opts = [backpressure_strategy: :redirect, alternatives: alternatives]
        assert send_to(full, :a, opts) == {:dropped, :no_alternative}
        assert_received {:event, _, %{count: 1}, %{destination: ^full, reason: {:queue_full, 5}}}
      end
    end
  end

  describe ":queue" do
    @queue [backpressure_strategy: :queue]

    test "delivers one by one, in order, as the queue drains" do
      receiver = Receiver.start(5)

      for n <- 1..20,
          do: assert(send_to(receiver, {:sent, n}, @queue) == {:queued, :backpressure})

      {buffer, ref} = watch(receiver)
      assert Process.info(receiver, :message_queue_len) == {:message_queue_len, 5}

      Receiver.read(receiver, 25)
      for n <- 1..5, do: assert_receive({:read, ^receiver, {:waiting, ^n}})
      for n <- 1..20, do: assert_receive({:read, ^receiver, {:sent, ^n}})
      assert_receive {:DOWN, ^ref, :process, ^buffer, :normal}
      refute Buffer.active?({:local, receiver})
    end

    test "the receiver's queue never grows past its limit" do
      receiver = Receiver.start(5)
      for n <- 1..50, do: send_to(receiver, n, @queue)

      for n <- 1..55 do
        Receiver.read(receiver, 1)
        assert_receive {:read, ^receiver, _}
        {:message_queue_len, length} = Process.info(receiver, :message_queue_len)
        assert length <= 5, "#{length} messages after #{n} were read"
      end
    end

    test "nothing overtakes what waits, whichever way it is sent" do
      [receiver, other] = [Receiver.start(5), Receiver.start()]
      assert send_to(receiver, :first, @queue) == {:queued, :backpressure}
      # There is room in the queue by this limit, but a message waits.
      roomy = Keyword.put(@full, :max_queue_size, 100)

      assert Messages.send_with_backpressure(receiver, :lost, roomy) == {:dropped, :backpressure}

      opts = roomy ++ [backpressure_strategy: :redirect, alternatives: [receiver, other]]
      assert Messages.send_with_backpressure(receiver, :away, opts) == {:ok, :sent}
      Receiver.read(other, 1)
      assert_receive {:read, ^other, :away}

      assert send_to(receiver, :second, @queue) == {:queued, :backpressure}
      Receiver.read(receiver, 7)
      for _ <- 1..5, do: assert_receive({:read, ^receiver, {:waiting, _}})
      assert_receive {:read, ^receiver, :first}
      assert_receive {:read, ^receiver, :second}
    end

    test "is bounded, and counts what it does not take" do
      Events.listen(@refused)
      receiver = Receiver.start(5)
      opts = @queue ++ [max_buffer: 3]
      results = for n <- 1..5, do: send_to(receiver, n, opts)
      queued = {:queued, :backpressure}
      assert results == [queued, queued, queued] ++ List.duplicate({:dropped, :backpressure}, 2)
      for _ <- 1..2, do: assert_received({:event, _, %{count: 1}, %{reason: {:buffer_full, 3}}})
      refute_received {:event, _, _, _}
    end

    test "counts what it holds when the receiver ends, and later calls find nobody" do
      Events.listen(@refused)
      receiver = Receiver.start(5)
      Process.unlink(receiver)
      for n <- 1..7, do: send_to(receiver, n, @queue)
      {buffer, ref} = watch(receiver)
      Process.exit(receiver, :kill)
      assert_receive {:DOWN, ^ref, :process, ^buffer, {:shutdown, :noproc}}
      assert_receive {:event, _, %{count: 7}, %{destination: ^receiver, reason: :noproc}}
      assert {:error, %Error{error_type: :noproc}} = send_to(receiver, :late, @queue)
    end

    test "a killed buffer loses what it held, and the next call starts another" do
      receiver = Receiver.start(5)
      send_to(receiver, :lost, @queue)
      {buffer, ref} = watch(receiver)
      Process.exit(buffer, :kill)
      assert_receive {:DOWN, ^ref, :process, ^buffer, :killed}
      assert send_to(receiver, :kept, @queue) == {:queued, :backpressure}
      Receiver.read(receiver, 6)
      for _ <- 1..5, do: assert_receive({:read, ^receiver, {:waiting, _}})
      assert_receive {:read, ^receiver, :kept}
    end

    test "large data is buffered as a handle" do
      receiver = Receiver.start(5)
      large = List.duplicate(7, 2000)
      assert send_to(receiver, large, @queue) == {:queued, :backpressure}
      Receiver.read(receiver, 6)
      assert_receive {:read, ^receiver, {:ets_ref, _, _} = message}
      assert Messages.open(message) == {:ok, large}
    end

    @tag :two_schedulers
    test "a receiver that does not answer blocks nobody that sends to it" do
      opts = @queue ++ [probe_timeout: 10]
      # The first call probes; the buffer is there for the others.
      {results, busy} =
        Receiver.while_busy(fn busy -> for n <- 1..100, do: send_to(busy, n, opts) end)

      assert Enum.all?(results, &(&1 == {:queued, :backpressure}))
      assert Process.info(busy, :message_queue_len) == nil
    end
  end

  describe "while what holds the buffers is not running" do
    @supervisor Module.concat(Messages.BufferSupervisor, Buffers)
    @registry Module.concat(Messages.BufferSupervisor, Registry)

    test "every way of sending is an error, and nothing is sent" do
      stop(Foundation.Supervisor, Messages.BufferSupervisor)

      for receiver <- [Receiver.start(), Receiver.start(5)], how <- [:drop, :queue, :redirect] do
        opts = [backpressure_strategy: how, alternatives: [self()]]

        assert {:error, %Error{error_type: :not_started, context: %{destination: ^receiver}}} =
                 send_to(receiver, :a, opts)

        assert Buffer.active?({:local, receiver}) == :not_started
      end

      refute_received :a
    end

    test "a buffer that cannot be started is one too" do
      receiver = Receiver.start(5)
      stop(Messages.BufferSupervisor, DynamicSupervisor)
      refute Process.whereis(@supervisor)
      assert Process.whereis(@registry)
      large = List.duplicate(7, 2000)
      assert {:error, %Error{error_type: :not_started}} = send_to(receiver, large, @queue)
    end

    defp stop(supervisor, child) do
      child = id(Supervisor.which_children(supervisor), child)
      :ok = Supervisor.terminate_child(supervisor, child)
      on_exit(fn -> {:ok, _} = Supervisor.restart_child(supervisor, child) end)
    end

    defp id(children, module),
      do: Enum.find_value(children, fn {id, _, _, modules} -> module in modules && id end)
  end
end
