defmodule Foundation.BEAM.MemoryTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  doctest Foundation.BEAM.Memory

  alias Foundation.BEAM.{Memory, SharedTerm}

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
end
