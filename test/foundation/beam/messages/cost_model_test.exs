defmodule Foundation.BEAM.Messages.CostModelTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.BEAM.Messages.CostModel

  @large List.duplicate(7, 15_000)

  defp choice(data, opts), do: Messages.strategy_for(data, [policy: :adaptive] ++ opts)
  defp strategy(data, opts \\ []), do: choice(data, opts).strategy

  test "small data is sent as it is" do
    assert strategy({:ok, 1}) == :direct
    assert strategy({:ok, 1}, receivers: 1000, reads: :part) == :direct
    assert strategy({:ok, 1}, remote: true) == :direct
  end

  test "a large binary alone is shared already" do
    binary = :binary.copy("x", 1_000_000)
    assert strategy(binary) == :direct
    assert strategy(binary, receivers: 1000, reads: :part) == :direct
    # The documented rules would freeze it.
    assert Messages.strategy_for(binary).strategy == :ets_reference
  end

  test "large data of which many read a part is sent by reference, to one alone it is not" do
    assert strategy(@large, receivers: 1000, reads: :part) == :ets_reference
    assert strategy(@large, receivers: 1, reads: :whole) == :direct
  end

  test "other nodes never get a reference; LZ4 where the wire costs more" do
    assert %{strategy: :binary_sharing, compression: :low, costs: costs} =
             choice(@large, remote: true, receivers: 10)

    assert costs.ets_reference == :none
    assert %{compression: :none} = choice(:crypto.strong_rand_bytes(100_000), remote: true)
    assert %{compression: :high} = choice(@large, remote: true, compression: :high)
  end

  test "flow control replaces sending directly, nothing else" do
    assert %{strategy: :flow_controlled, rule: :flow_control} = choice(:a, flow_control: true)

    assert %{strategy: :ets_reference, rule: :least_cost} =
             choice(@large, flow_control: true, receivers: 1000, reads: :part)
  end

  test "the choice is the least of the costs that it shows" do
    for data <- [:a, List.duplicate(1, 300), @large],
        receivers <- [1, 10, 10_000],
        reads <- [:whole, :part],
        remote <- [false, true] do
      choice = choice(data, receivers: receivers, reads: reads, remote: remote)
      least = choice.costs |> Map.values() |> Enum.min()
      assert choice.costs[choice.strategy] == least
    end
  end

  test "a list's length is its number of receivers" do
    receivers = for _ <- 1..200, do: self()
    opts = [policy: :adaptive, reads: :part]
    assert {:ok, handle} = Messages.send_optimized(receivers, @large, opts)
    assert is_reference(handle)
    assert Messages.send_optimized([self()], @large, policy: :adaptive) == {:ok, :sent}
  end

  test "no constant is missing or negative" do
    for {name, value} <- CostModel.constants(), do: assert({name, value > 0} == {name, true})
  end
end
