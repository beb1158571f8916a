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

  test "what a store of many entries took goes back to the system when it is closed" do
    store = SharedStore.new()
    for n <- 1..200_000, do: :ok = SharedStore.put(store, n, {n, "value", [n]})
    held = Memory.native_memory().shared_stores
    full = resident()
    :ok = SharedStore.close(store)

    assert held > 20_000_000
    assert eventually?(fn -> full - resident() > div(held, 2) end)
  end

  defp resident do
    [_, pages | _] = "/proc/self/statm" |> File.read!() |> String.split()
    String.to_integer(pages) * 4096
  end
end
