defmodule Foundation.BEAM.Schedulers.Claim do
  @moduledoc false

  # How many items of a batch its worker has begun, shared with whoever handed the batch out and may
  # take back what is not. One number that both change at once: an item is either begun or taken back.

  @type t :: {:atomics.atomics_ref(), size :: pos_integer()}

  @doc "On a batch of so many items, of which none is begun."
  @spec new(pos_integer()) :: t()
  def new(size), do: {:atomics.new(1, []), size}

  @doc "Begins the next items: false where they have been taken back."
  @spec begin?(t(), pos_integer()) :: boolean()
  def begin?({begun, size}, count), do: :atomics.add_get(begun, 1, count) <= size

  @doc "How many are not begun; less than none where some have been taken back."
  @spec left(t()) :: integer()
  def left({begun, size}) when is_integer(size), do: size - :atomics.get(begun, 1)

  @doc "Takes back what is not begun, and returns how many are: from here on the worker finds all begun."
  @spec take_back(t()) :: non_neg_integer()
  def take_back({begun, size}), do: begun |> :atomics.exchange(1, size) |> min(size)
end
