defmodule Foundation.BEAM.Memory do
  @moduledoc """
  Where the bytes are that the VM does not see.
  """

  alias Foundation.Native

  @typedoc "Bytes that this library's native code holds: all of them, and by owner."
  @type native_memory :: %{
          total: non_neg_integer(),
          shared_terms: non_neg_integer(),
          shared_stores: non_neg_integer(),
          codecs: non_neg_integer()
        }

  @doc """
  Bytes held by this library's native code. The garbage collector sees none of them, no process is
  charged for them, and of what Rust allocates `:erlang.memory/0` has nothing. What is frozen in an
  environment of its own (shared terms, large entries of stores) the VM counts as well, under
  `:processes` in `:erlang.memory/0`.

    * `:shared_terms` - frozen copies and their handles (`Foundation.BEAM.SharedTerm`), without the
      payload of large binaries, which `:erlang.memory(:binary)` has.
    * `:shared_stores` - stores, their entries and what leads to them
      (`Foundation.BEAM.SharedStore`), with the payload of binaries that they hold copies of, which
      `:erlang.memory(:binary)` has too.
    * `:codecs` - tables of compressions that run now (`Foundation.BEAM.Compression`): 8 or 16 KiB
      each. Their results are binaries of the VM's.
    * `:total` - the sum.

  The figures are what was asked for. The allocator takes about a tenth more from the system, and
  keeps what is freed for reuse, until a quarter of the most that was held and at least 16 MiB are
  free: then it gives all that back within a second.

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
