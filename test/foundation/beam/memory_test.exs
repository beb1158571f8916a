defmodule Foundation.BEAM.MemoryTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  doctest Foundation.BEAM.Memory

  alias Foundation.BEAM.{Memory, SharedStore, SharedTerm}

  import Foundation.Eventually

  test "the total is the sum of the owners" do
    {total, owners} = Map.pop!(Memory.native_memory(), :total)
    assert total == owners |> Map.values() |> Enum.sum()
  end

  test "a shared term is counted while it is held, its handle until that is collected" do
    before = Foundation.NativeBytes.settle().shared_terms
    handle = SharedTerm.new(Enum.to_list(1..10_000))
    assert Memory.native_memory().shared_terms - before >= 160_000

    SharedTerm.release(handle)
    left = Foundation.NativeBytes.settle().shared_terms - before
    assert left in 1..200
    assert {:ok, %{state: :released}} = SharedTerm.info(handle)
  end

  @tag :proc
  test "what a store of many entries took goes back to the system when it is closed" do
    store = SharedStore.new()
    for n <- 1..200_000, do: :ok = SharedStore.put(store, n, {n, "value", [n]})
    held = Memory.native_memory().shared_stores
    full = resident()
    :ok = SharedStore.close(store)

    assert held > 20_000_000
    assert eventually?(fn -> full - resident() > div(held, 2) end, 30_000)
  end

  describe "pressure" do
    @tag :proc
    test "is the level of the fullest limit" do
      fullest = Memory.OS.read().limits |> Enum.map(&(&1.used / &1.limit)) |> Enum.max()
      assert Memory.pressure(medium: fullest / 2, high: 1) == :medium
      assert Memory.pressure(medium: fullest / 4, high: fullest / 2) == :high
      assert Memory.pressure(medium: 0.999, high: 1) == :low
    end

    test "refuses thresholds out of order and of the wrong type" do
      message = fn opts ->
        assert_raise(ArgumentError, fn -> Memory.pressure(opts) end).message
      end

      assert message.(medium: 0.9, high: 0.8) ==
               "invalid option :high in Memory.pressure/1: " <>
                 "expected a number above :medium (0.9), got: 0.8"

      assert message.(medium: 0) =~ "option :medium"
      assert message.(high: 90) =~ "option :high in Memory.pressure/1: expected a number from 0.0"
      assert message.(hysteresis: 0.1) =~ "unknown option :hysteresis"
    end
  end

  defp resident do
    [_, pages | _] = "/proc/self/statm" |> File.read!() |> String.split()
    String.to_integer(pages) * 4096
  end
end
