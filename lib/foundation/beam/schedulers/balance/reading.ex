defmodule Foundation.BEAM.Schedulers.Balance.Reading do
  @moduledoc false

  # What is no list becomes one before the work begins. Reading may be long itself, or without an end:
  # it has the call's time, and a most that it takes.

  alias Foundation.BEAM.Schedulers.Ends

  # A look at the clock costs more than an item of a range or a map does. Other items come from code
  # of the user's, which may take any time.
  @looks 1_024

  @doc "The items as a list, and their count; `count` is what is known of it before."
  @spec list(Enumerable.t(item), non_neg_integer() | :unknown, non_neg_integer(), Ends.t()) ::
          {[item], non_neg_integer()} | :timeout | :too_many
        when item: term()
  def list(_items, count, most, _ends) when is_integer(count) and count > most, do: :too_many

  def list(items, count, most, ends) do
    every = if count == :unknown, do: 1, else: @looks

    # A stream may say that it is halted at its own end: the accumulator tells who halted it.
    case Enumerable.reduce(items, {:cont, {[], 0}}, &read(&1, &2, most, every, ends)) do
      {_done_or_halted, {read, count}} -> {:lists.reverse(read), count}
      {_halted, verdict} -> verdict
    end
  end

  defp read(_item, {_read, count}, most, _every, _ends) when count >= most,
    do: {:halt, :too_many}

  defp read(item, {read, count}, _most, every, ends) do
    if rem(count, every) == 0 and Ends.left_ms(ends) == 0,
      do: {:halt, :timeout},
      else: {:cont, {[item | read], count + 1}}
  end
end
