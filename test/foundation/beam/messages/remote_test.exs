defmodule Foundation.BEAM.Messages.RemoteTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.{Error, Peer}

  @moduletag :distributed
  @large List.duplicate(7, 20_000)

  setup_all do
    {peer, node} = Peer.start!()
    %{peer: peer, node: node}
  end

  describe "data for another node" do
    test "goes as a binary, compressed where that pays, and opens there", %{node: node} do
      relay = Peer.relay(node)
      assert {:ok, size} = Messages.send_optimized(relay, @large)
      assert_receive {:arrived, {:shared_binary, binary}}, 30_000
      assert byte_size(binary) == size
      assert size < byte_size(:erlang.term_to_binary(@large)) / 2

      Messages.send_optimized(Peer.opener(node), @large)
      assert_receive {:opened, {:ok, @large}}, 30_000
    end

    test "never goes as a handle, whatever is asked for", %{node: node} do
      for opts <- [
            [strategy: :ets_reference],
            [policy: :adaptive, reads: :part],
            [policy: :adaptive, reads: :part, priority: :high]
          ] do
        assert {:ok, sent} = Messages.send_optimized(Peer.relay(node), @large, opts)
        refute is_reference(sent)
        assert_receive {:arrived, message}, 30_000
        refute match?({:ets_ref, _, _}, message)
        assert Messages.open(message) == {:ok, @large}
      end
    end

    test "a handle that gets there all the same is an error there", %{node: node} do
      send(Peer.opener(node), Messages.pack(@large))
      assert_receive {:opened, {:error, %Error{error_type: :foreign_node}}}, 30_000
    end

    test "small data goes as it is, to a pid and to a name", %{node: node} do
      relay = Peer.relay(node)
      true = :erpc.call(node, Process, :register, [relay, :messages_relay])
      :yes = :global.register_name(:messages_relay, relay)

      for dest <- [relay, {:messages_relay, node}, {:global, :messages_relay}],
          opts <- [[], [priority: :high], [flow_control: true, probe_timeout: 60_000]] do
        assert Messages.send_optimized(dest, :small, opts) == {:ok, :sent}
        assert_receive {:arrived, :small}, 30_000
      end
    end

    test "a list over both nodes: a handle here, a binary there", %{node: node} do
      here = Foundation.Receiver.start()
      Foundation.Receiver.read(here, 1)
      assert {:ok, handle} = Messages.send_optimized([Peer.relay(node), here], @large)
      assert is_reference(handle)
      assert_receive {:read, ^here, {:ets_ref, ^handle, _}}, 30_000
      assert_receive {:arrived, {:shared_binary, _}}, 30_000
    end
  end

  describe "flow control" do
    @flow [strategy: :flow_controlled, max_queue_size: 3, max_retries: 1, retry_delay: 1] ++
            [probe_timeout: 60_000]

    test "sees the queue of a process of another node", %{node: node} do
      deaf = Peer.deaf(node)
      for n <- 1..3, do: assert(Messages.send_optimized(deaf, n, @flow) == {:ok, :sent})

      assert {:error, %Error{error_type: :flow_control_failed, context: context}} =
               Messages.send_optimized(deaf, 4, @flow)

      assert context == %{destination: deaf, reason: {:queue_full, 3}}

      assert Messages.send_with_backpressure(deaf, 4, max_queue_size: 3) ==
               {:dropped, :backpressure}
    end

    test "a process or a name that is not there is :noproc", %{node: node} do
      gone = Peer.deaf(node)
      ref = Process.monitor(gone)
      Process.exit(gone, :kill)
      assert_receive {:DOWN, ^ref, :process, _, _}, 30_000

      for dest <- [gone, {:nobody_has_this, node}] do
        assert {:error, %Error{error_type: :noproc, context: %{destination: ^dest}}} =
                 Messages.send_optimized(dest, :a, @flow)
      end
    end

    test "a buffer delivers to another node in order", %{node: node} do
      deaf = Peer.slow(node)
      opts = [backpressure_strategy: :queue, max_queue_size: 3, probe_timeout: 60_000]

      results = for n <- 1..50, do: Messages.send_with_backpressure(deaf, n, opts)
      assert {:queued, :backpressure} in results
      send(deaf, {Peer, :go})
      for n <- 1..50, do: assert_receive({:arrived, ^n}, 30_000)
    end
  end

  describe "a node that is not connected" do
    @nowhere {:anybody, :nowhere@nohost}

    test "is an error for priority: :high, which does not connect" do
      for opts <- [[], [strategy: :flow_controlled], [strategy: :binary_sharing]] do
        assert {:error, %Error{error_type: :noconnect, context: %{destination: @nowhere}}} =
                 Messages.send_optimized(@nowhere, :a, [priority: :high] ++ opts)
      end

      assert {:error, %Error{error_type: :noconnect}} =
               Messages.send_with_backpressure(@nowhere, :a, priority: :high)

      assert {:error, %Error{error_type: :send_failed, context: context}} =
               Messages.send_optimized([self(), @nowhere], :a, priority: :high)

      assert_received :a
      assert %{sent: 1, failed: [{@nowhere, %Error{error_type: :noconnect}}]} = context
    end

    test "is silent otherwise, as with send/2, and told by flow control" do
      assert Messages.send_optimized(@nowhere, :a) == {:ok, :sent}

      assert {:error, %Error{error_type: :flow_control_failed, context: %{reason: :noconnection}}} =
               Messages.send_optimized(@nowhere, :a, @flow)
    end
  end

  test "what a buffer holds for a node that goes down is counted" do
    Foundation.Events.listen([:foundation, :messages, :refused])
    {peer, node} = Peer.start!()
    deaf = Peer.deaf(node)
    opts = [backpressure_strategy: :queue, max_queue_size: 3, probe_timeout: 60_000]
    for n <- 1..5, do: Messages.send_with_backpressure(deaf, n, opts)
    :peer.stop(peer)
    assert_receive {:event, _, %{count: 2}, %{destination: ^deaf, reason: :noconnection}}, 30_000
  end

  test "a full link is an error for priority: :high", %{node: node} do
    relay = Peer.deaf(node)
    # The peer's VM stands still, so its side of the link takes nothing more.
    os_pid = :erpc.call(node, System, :pid, [])
    on_exit(fn -> System.cmd("kill", ["-CONT", os_pid]) end)
    {_, 0} = System.cmd("kill", ["-STOP", os_pid])
    chunk = :binary.copy("x", 4_000_000)

    result =
      Enum.find_value(1..100, fn _ ->
        with {:ok, _} <-
               Messages.send_optimized(relay, chunk, priority: :high, strategy: :direct),
             do: nil
      end)

    {_, 0} = System.cmd("kill", ["-CONT", os_pid])
    assert {:error, %Error{error_type: :nosuspend, context: %{destination: ^relay}}} = result
  end
end
