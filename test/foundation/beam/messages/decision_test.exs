defmodule Foundation.BEAM.Messages.DecisionTest do
  # The configuration belongs to the whole node.
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.BEAM.Messages.Policy

  # `bytes` of data, in list elements of 16 bytes, or a binary's payload.
  defp heap(bytes), do: List.duplicate(0, div(bytes, 16))

  defp rule(data, opts \\ []) do
    %{strategy: strategy, rule: rule} = Messages.strategy_for(data, opts)
    {strategy, rule}
  end

  describe "the documented order" do
    test "holds at its thresholds" do
      assert rule(heap(1008)) == {:direct, :small}
      assert rule(heap(1024)) == {:direct, :small}
      assert rule(heap(1040)) == {:binary_sharing, :medium}
      assert rule(heap(10_240)) == {:binary_sharing, :medium}
      assert rule(heap(10_256)) == {:ets_reference, :large}
      assert rule(heap(1008), priority: :high) == {:direct, :small_high_priority}
      assert rule(heap(1024), priority: :high) == {:direct, :small}
    end

    test "takes the first rule that holds" do
      all = [frequency: :frequent, flow_control: true]
      assert rule(heap(1008), [priority: :high] ++ all) == {:direct, :small_high_priority}
      assert rule(heap(20_000), [priority: :high] ++ all) == {:ets_reference, :large}
      assert rule(heap(1040), all) == {:binary_sharing, :frequent}
      assert rule(heap(16), frequency: :continuous) == {:binary_sharing, :frequent}
      assert rule(heap(1040), flow_control: true) == {:flow_controlled, :flow_control}
      assert rule(heap(16), flow_control: true) == {:flow_controlled, :flow_control}
      assert rule(heap(20_000), all ++ [strategy: :direct]) == {:direct, :forced}
    end

    test "counts the payload of binaries as size" do
      assert rule(:binary.copy("x", 20_000)) == {:ets_reference, :large}
      assert rule(:binary.copy("x", 2000)) == {:binary_sharing, :medium}
    end

    test "looks no further into the data than it must" do
      assert %{complete?: false, size: size} = Messages.strategy_for(heap(10_000_000))
      assert size < 20_000
      assert %{complete?: true, size: 1040} = Messages.strategy_for(heap(1040))
    end

    test "has no references for other nodes" do
      assert rule(heap(20_000), remote: true) == {:binary_sharing, :large}
      assert rule(:a, remote: true, strategy: :ets_reference) == {:binary_sharing, :forced}
      assert {:shared_binary, _} = Messages.pack(heap(20_000), remote: true)
    end
  end

  describe "the default policy" do
    setup do
      on_exit(fn ->
        Application.delete_env(:foundation, :message_policy)
        Policy.load!()
      end)
    end

    test "is :documented unless the configuration says otherwise" do
      assert Messages.strategy_for(:a).policy == :documented
      Application.put_env(:foundation, :message_policy, :adaptive)
      Policy.load!()
      assert Messages.strategy_for(:a).policy == :adaptive
      assert Messages.strategy_for(:a, policy: :documented).policy == :documented
    end

    test "a configuration that is no policy is refused by name" do
      Application.put_env(:foundation, :message_policy, "adaptive")
      assert_raise ArgumentError, ~r/message_policy: .*:adaptive.*"adaptive"/, &Policy.load!/0
    end
  end
end
