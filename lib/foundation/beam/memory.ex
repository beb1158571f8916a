defmodule Foundation.BEAM.Memory do
  @moduledoc """
  Where the bytes are that the VM does not see.
  """

  alias Foundation.Native

  @typedoc "Bytes that this library's native code holds: all of them, and by owner."
  @type native_memory :: %{
          total: non_neg_integer(),
          shared_terms: non_neg_integer(),
          shared_stores: non_neg_integer()
        }

  @doc """
  Bytes held by this library's native code. Neither `:erlang.memory/0` nor the garbage collector
  sees them.

    * `:shared_terms` - frozen copies and their handles (`Foundation.BEAM.SharedTerm`), without the
      payload of large binaries, which `:erlang.memory(:binary)` has.
    * `:shared_stores` - stores, their entries and what leads to them
      (`Foundation.BEAM.SharedStore`), with the payload of binaries that they hold copies of.
    * `:total` - the sum.

  The figures are what was asked for, not what the allocator took from the system for it.

  ## Example

      iex> before = Foundation.BEAM.Memory.native_memory().shared_terms
      iex> handle = Foundation.BEAM.SharedTerm.new(Enum.to_list(1..1000))
      iex> Foundation.BEAM.Memory.native_memory().shared_terms - before > 16_000
      true
      iex> Foundation.BEAM.SharedTerm.release(handle)
      :ok
  """
  @spec native_memory() :: native_memory()
  def native_memory do
    held = Map.new(Native.memory_held())
    Map.put(held, :total, held |> Map.values() |> Enum.sum())
  end
end
