defmodule Foundation.Stores do
  @moduledoc "What the tests of SharedStore share."

  alias Foundation.BEAM.SharedStore
  alias Foundation.{Error, Eventually, NativeBytes}

  @doc "The type of the error that a call has returned."
  def error_type({:error, %Error{error_type: type, message: text}}) when is_binary(text), do: type

  @doc "Whether the last store is freed before long; earlier tests may still be letting go of theirs."
  def no_store_left? do
    Eventually.eventually?(fn -> NativeBytes.settle().shared_stores == 0 end)
  end

  @doc "Bytes of a store's entries."
  def live_bytes(store) do
    {:ok, %{live_bytes: bytes}} = SharedStore.stats(store)
    bytes
  end

  @doc "Larger than what a normal scheduler copies (256 KB)."
  def large(id \\ 0), do: Map.new(1..5_000, &{&1, {id, [row: &1]}})

  @doc "Larger than what is copied straight onto the caller's heap (16 KB)."
  def medium(id \\ 0), do: for(n <- 1..2_000, do: {id, n})

  @doc "A reference of another node."
  def foreign do
    :erlang.binary_to_term(<<131, 90, 2::16, 119, 5, "other", 1::32, 7::32, 9::32>>)
  end
end
