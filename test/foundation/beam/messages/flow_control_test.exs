defmodule Foundation.BEAM.Messages.FlowControlTest do
  # A process that does not answer holds up whatever else needs its scheduler: not beside others.
  use ExUnit.Case, async: false

  alias Foundation.BEAM.{Messages, Schedulers}
  alias Foundation.{Error, Eventually, Events, Receiver}

  @refused [:foundation, :messages, :refused]
  # Time enough for whoever answers at all.
  @patient [probe_timeout: 60_000]
  @flow [strategy: :flow_controlled, max_queue_size: 5] ++ @patient

  # For one that does not.
  defp impatient(opts), do: Keyword.merge(@flow, opts)

  test "the queue is full at max_queue_size, not before" do
    receiver = Receiver.start(4)
    assert Messages.send_optimized(receiver, :fifth, @flow) == {:ok, :sent}

    assert {:error, %Error{error_type: :flow_control_failed, context: context}} =
             Messages.send_optimized(receiver, :sixth, @flow ++ [max_retries: 0])

    assert context == %{destination: receiver, reason: {:queue_full, 5}}
    assert Process.info(receiver, :message_queue_len) == {:message_queue_len, 5}
  end

  test "the limit is 1000 unless given" do
    opts = [flow_control: true, max_retries: 0] ++ @patient
    assert {:ok, :sent} = Messages.send_optimized(Receiver.start(999), :a, opts)

    assert {:error, %Error{context: %{reason: {:queue_full, 1000}}}} =
             Messages.send_optimized(Receiver.start(1000), :a, opts)
  end

  test "it waits for room, retry_delay first and twice as long each time" do
    receiver = Receiver.start(5)

    {us, {:error, %Error{}}} =
      :timer.tc(fn ->
        Messages.send_optimized(receiver, :a, @flow ++ [max_retries: 3, retry_delay: 5])
      end)

    assert us >= (5 + 10 + 20) * 1000
  end

  test "room that comes while it waits is taken" do
    receiver = Receiver.start(5)
    # However late the room comes.
    opts = @flow ++ [retry_delay: 1, max_retries: 12]
    task = Task.async(fn -> Messages.send_optimized(receiver, :a, opts) end)
    Receiver.read(receiver, 2)
    assert Task.await(task, 60_000) == {:ok, :sent}
    Receiver.read(receiver, 4)
    assert_receive {:read, ^receiver, :a}
  end

  test "what it gives up on is counted by an event" do
    Events.listen(@refused)
    receiver = Receiver.start(5)
    Messages.send_optimized(receiver, :a, @flow ++ [max_retries: 0])

    assert_received {:event, @refused, %{count: 1},
                     %{destination: ^receiver, reason: {:queue_full, 5}}}
  end

  test "in a list only those that are full fail, and the others have their message before" do
    {full, free} = {Receiver.start(5), Receiver.start()}
    {gone, ref} = spawn_monitor(fn -> :ok end)
    assert_receive {:DOWN, ^ref, :process, _, _}
    Receiver.read(free, 1)

    assert {:error, %Error{error_type: :send_failed, context: context}} =
             Messages.send_optimized([full, gone, free], :a, @flow ++ [retry_delay: 1])

    assert_receive {:read, ^free, :a}
    assert %{sent: 1, value: :sent} = context
    assert {_, %Error{error_type: :flow_control_failed}} = List.keyfind(context.failed, full, 0)
    assert {_, %Error{error_type: :noproc}} = List.keyfind(context.failed, gone, 0)
    assert length(context.failed) == 2
  end

  @tag :two_schedulers
  test "a receiver that cannot answer is waited for no longer than probe_timeout" do
    opts = impatient(max_retries: 0, probe_timeout: 20)

    {{us, result}, busy} =
      Receiver.while_busy(fn busy ->
        :timer.tc(fn -> Messages.send_optimized(busy, :a, opts) end)
      end)

    assert {:error, %Error{error_type: :flow_control_failed, context: %{reason: :unresponsive}}} =
             result

    assert us >= 20_000
    # Whoever asks it directly waits until its end.
    assert Process.info(busy, :message_queue_len) == nil
  end

  @tag :two_schedulers
  test "one such receiver delays the others of a list by no message" do
    free = Receiver.start()
    Receiver.read(free, 1)
    opts = impatient(max_retries: 0, probe_timeout: 100)
    {result, busy} = Receiver.while_busy(&Messages.send_optimized([&1, free], :a, opts))
    assert {:error, %Error{context: context}} = result
    assert [{^busy, %Error{context: %{reason: :unresponsive}}}] = context.failed
    assert_receive {:read, ^free, :a}
  end

  test "the caller's own queue is asked too" do
    assert Messages.send_optimized(self(), :a, strategy: :flow_controlled) == {:ok, :sent}
    opts = [strategy: :flow_controlled, max_queue_size: 1, max_retries: 0]
    assert {:error, %Error{}} = Messages.send_optimized(self(), :b, opts)
  end

  @tag :two_schedulers
  test "no helper and no message of a probe stays behind" do
    free = Receiver.start()
    before = Process.info(self(), [:monitors, :links, :messages])
    opts = impatient(max_retries: 1, retry_delay: 0, probe_timeout: 5)
    {result, _busy} = Receiver.while_busy(&Messages.send_optimized(&1, :a, opts))
    assert {:error, %Error{context: %{reason: :unresponsive}}} = result
    assert Messages.send_optimized(free, :a, @flow) == {:ok, :sent}
    assert Process.info(self(), [:monitors, :links, :messages]) == before
  end

  # A scan of 200,000 messages takes as many reductions; the least of several runs is compared, because
  # a collection that falls into a call counts.
  test "what waits in the caller's own mailbox costs a probe nothing" do
    one = Receiver.start()
    ten = for _ <- 1..10, do: Receiver.start()

    for dest <- [one, ten] do
      empty = least(dest)
      for n <- 1..200_000, do: send(self(), n)
      assert least(dest) < empty + 10_000
      Eventually.flush()
    end
  end

  defp least(dest) do
    Enum.min(for _ <- 1..30, do: elem(Schedulers.reductions(fn -> probe(dest) end), 1))
  end

  defp probe(dest) do
    opts = [strategy: :flow_controlled] ++ @patient
    {:ok, :sent} = Messages.send_optimized(dest, :a, opts)
  end
end
