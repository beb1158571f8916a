defmodule Foundation.BEAM.Schedulers.Kernels.Fold do
  @moduledoc false

  # Kernels in Elixir, for lists whose elements cost more to hand over than to use. They answer as
  # the native kernels do, where these have an answer, and beyond it: integers may be of any size.
  # Floats are left to those: added one after the other they would lose more than the native sum
  # does, and to tell them apart from integers takes longer than to hand them over.
  #
  # No element is asked what it is, which would take as long again as all the rest: a sum with a
  # float in it is one itself, and `bor` has none. What they do not expect (`:native`), the native
  # kernel looks at from the start. The first clause of a loop matches the 0 that is left to take, and
  # nothing of the list: a guard, or the list looked at before, makes the loop three times as long.

  import Bitwise

  @type result :: {:cont, term(), term()} | {:done, term()} | :native

  @doc "How many integers there are, and their sum."
  @spec integers(term(), nil | {non_neg_integer(), integer()}, pos_integer()) :: result()
  def integers([_ | _] = list, nil, left), do: integers(list, {0, 0}, left)
  def integers(_other, nil, _left), do: :native

  def integers(list, {count, sum}, left) do
    list |> add(sum, left, count + left) |> unless_float()
  rescue
    # Of something that is no number.
    ArithmeticError -> :native
  end

  # `count` is what it will be once nothing is left to take.
  defp add(list, sum, 0, count), do: {:cont, list, {count, sum}}
  defp add([number | rest], sum, left, count), do: add(rest, sum + number, left - 1, count)
  defp add([], sum, left, count), do: {:done, {count - left, sum}}
  defp add(_improper, _sum, _left, _count), do: :native

  defp unless_float({:cont, _list, {_count, sum}} = result) when is_integer(sum), do: result
  defp unless_float({:done, {_count, sum}} = result) when is_integer(sum), do: result
  defp unless_float(_other), do: :native

  @doc "The least of integers."
  @spec min(term(), nil | {integer(), integer()}, pos_integer()) :: result()
  def min([first | _] = list, nil, left) when is_integer(first), do: min(list, {first, 0}, left)
  def min(_other, nil, _left), do: :native

  def min(list, {least, bits}, left) do
    least(list, least, bits, left)
  rescue
    ArithmeticError -> :native
  end

  # `bits` are there for the error that anything but an integer is to them.
  defp least(list, least, bits, 0), do: {:cont, list, {least, bits}}

  defp least([number | rest], least, bits, left) when number < least,
    do: least(rest, number, bits ||| number, left - 1)

  defp least([number | rest], least, bits, left),
    do: least(rest, least, bits ||| number, left - 1)

  defp least([], least, _bits, _left), do: {:done, least}
  defp least(_improper, _least, _bits, _left), do: :native

  @doc "The greatest."
  @spec max(term(), nil | {integer(), integer()}, pos_integer()) :: result()
  def max([first | _] = list, nil, left) when is_integer(first), do: max(list, {first, 0}, left)
  def max(_other, nil, _left), do: :native

  def max(list, {most, bits}, left) do
    most(list, most, bits, left)
  rescue
    ArithmeticError -> :native
  end

  defp most(list, most, bits, 0), do: {:cont, list, {most, bits}}

  defp most([number | rest], most, bits, left) when number > most,
    do: most(rest, number, bits ||| number, left - 1)

  defp most([number | rest], most, bits, left),
    do: most(rest, most, bits ||| number, left - 1)

  defp most([], most, _bits, _left), do: {:done, most}
  defp most(_improper, _most, _bits, _left), do: :native
end
