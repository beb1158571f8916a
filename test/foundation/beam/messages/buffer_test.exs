defmodule Foundation.BEAM.Messages.BufferTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Messages
  alias Foundation.BEAM.Messages.{Buffer, BufferSupervisor}
  alias Foundation.{Events, Receiver}

  # Time enough for whoever answers at all.
  @opts [
    backpressure_strategy: :queue,
    max_queue_size: 3,
    max_buffer: 100_000,
    probe_timeout: 60_000
  ]

  # Buffers stop whenever they are empty, so the senders meet them starting, living and stopping.
  test "many senders lose nothing and stay in order each, however often the buffer stops" do
    {senders, each} = {8, 300}
    receiver = Receiver.start()
    # It reads nothing before one message was queued.
    queued = :atomics.new(1, [])
    first? = fn -> :atomics.add_get(queued, 1, 1) == 1 end

    tasks =
      for sender <- 1..senders do
        Task.async(fn ->
          for n <- 1..each do
            case Messages.send_with_backpressure(receiver, {sender, n}, @opts) do
              {:ok, :sent} ->
                :direct

              {:queued, :backpressure} ->
                if first?.(), do: Receiver.read(receiver, senders * each)
                :queued
            end
          end
        end)
      end

    ways = tasks |> Task.await_many(60_000) |> List.flatten() |> Enum.frequencies()
    # Both ways were taken, or the test has shown nothing.
    assert %{direct: _, queued: _} = ways

    got =
      for _ <- 1..(senders * each) do
        assert_receive {:read, ^receiver, message}, 30_000
        message
      end

    by_sender = Enum.group_by(got, &elem(&1, 0), &elem(&1, 1))
    for sender <- 1..senders, do: assert(by_sender[sender] == Enum.to_list(1..each))
  end

  test "two callers at once get the same buffer" do
    receiver = Receiver.start(3)
    limits = %{max_buffer: 10, max_queue_size: 3, probe_timeout: 60_000, priority: :normal}
    dest = {receiver, {:local, receiver}}
    tasks = for n <- 1..10, do: Task.async(fn -> Buffer.push(dest, n, limits) end)
    assert Task.await_many(tasks, 30_000) == List.duplicate(:queued, 10)
    assert Buffer.push(dest, 11, limits) == :full
    # 10 of its 11 messages are here: the buffer is one.
    assert %{count: 10} = :sys.get_state(BufferSupervisor.whereis({:local, receiver}))
  end

  test "a push to a buffer that stops is told so, and was not taken" do
    receiver = Receiver.start(3)
    limits = %{max_buffer: 10, max_queue_size: 3, probe_timeout: 60_000, priority: :normal}
    dest = {receiver, {:local, receiver}}
    assert Buffer.push(dest, :first, limits) == :queued
    buffer = BufferSupervisor.whereis({:local, receiver})

    # The buffer finds its end in its queue before it finds the push.
    :sys.suspend(buffer)
    Process.unlink(receiver)
    ref = Process.monitor(receiver)
    Process.exit(receiver, :kill)
    assert_receive {:DOWN, ^ref, :process, _, _}
    task = Task.async(fn -> Buffer.push(dest, :second, limits) end)
    wait_until_waiting(task.pid)
    :sys.resume(buffer)
    assert Task.await(task, 30_000) == :gone
  end

  test "when the application stops, what is left is counted" do
    Events.listen([:foundation, :messages, :refused])
    receiver = Receiver.start(3)
    for n <- 1..4, do: Messages.send_with_backpressure(receiver, n, @opts)
    buffer = BufferSupervisor.whereis({:local, receiver})
    supervisor = Module.concat(BufferSupervisor, Buffers)
    assert :ok = DynamicSupervisor.terminate_child(supervisor, buffer)
    assert_receive {:event, _, %{count: 4}, %{destination: ^receiver, reason: :shutdown}}
  end

  test "a buffer that has ended is none, even before the registry has heard of it" do
    receiver = Receiver.start(3)
    assert Messages.send_with_backpressure(receiver, :a, @opts) == {:queued, :backpressure}
    buffer = BufferSupervisor.whereis({:local, receiver})
    # The buffers' registry hears of their ends in this process, which is kept from it.
    [{partition, _}] = for {_, pid, _, _} <- registry(), do: {pid, :sys.suspend(pid)}

    try do
      ref = Process.monitor(buffer)
      Receiver.read(receiver, 4)
      assert_receive {:DOWN, ^ref, :process, _, :normal}
      refute Buffer.active?({:local, receiver})
    after
      :sys.resume(partition)
    end
  end

  defp registry, do: Supervisor.which_children(Module.concat(BufferSupervisor, Registry))

  # A call has been sent once its caller waits for the answer.
  defp wait_until_waiting(pid) do
    case Process.info(pid, [:status, :current_function]) do
      [status: :waiting, current_function: {:gen, _, _}] -> :ok
      _ -> wait_until_waiting(pid)
    end
  end
end
