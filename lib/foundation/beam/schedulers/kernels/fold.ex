defmodule Foundation.BEAM.Schedulers.Kernels.Fold do
  @moduledoc false

  # Kernels in Elixir, for lists whose elements cost more to hand over than to use. They answer as
  # the native kernels do, where these have an answer, and beyond it: integers may be of any size.
  # Floats are not added here: one after the other they would lose more than the native sum does, and
  # to keep what is lost takes longer than to hand them over.
  #
  # What they do not expect (`:native`), the native kernel looks at from the start.

  @type result :: {:cont, term(), term()} | {:done, term()} | :native

  @doc "How many integers there are, and their sum."
  @spec integers(term(), nil | {non_neg_integer(), integer()}, pos_integer()) :: result()
  def integers([_ | _] = list, nil, left), do: integers(list, {0, 0}, left)
  def integers(list, {count, sum}, left), do: add(list, sum, left, count + left)
  def integers(_other, nil, _left), do: :native

  # `count` is what it will be once nothing is left to take.
  defp add([number | rest], sum, left, count) when is_integer(number) and left > 0,
    do: add(rest, sum + number, left - 1, count)

  defp add([], sum, left, count), do: {:done, {count - left, sum}}
  defp add([_ | _] = list, sum, 0, count), do: {:cont, list, {count, sum}}
  defp add(_other, _sum, _left, _count), do: :native

  @doc "The least of integers or of floats."
  @spec min(term(), number() | nil, pos_integer()) :: result()
  def min([first | rest], nil, left) when is_number(first), do: least(rest, first, left - 1)
  def min(_other, nil, _left), do: :native
  def min(list, least, left), do: least(list, least, left)

  defp least([number | rest], least, left)
       when left > 0 and
              ((is_integer(number) and is_integer(least)) or
                 (is_float(number) and is_float(least))),
       do: least(rest, if(number < least, do: number, else: least), left - 1)

  defp least(list, least, left), do: stop(list, least, left)

  @doc "The greatest."
  @spec max(term(), number() | nil, pos_integer()) :: result()
  def max([first | rest], nil, left) when is_number(first), do: most(rest, first, left - 1)
  def max(_other, nil, _left), do: :native
  def max(list, most, left), do: most(list, most, left)

  defp most([number | rest], most, left)
       when left > 0 and
              ((is_integer(number) and is_integer(most)) or (is_float(number) and is_float(most))),
       do: most(rest, if(number > most, do: number, else: most), left - 1)

  defp most(list, most, left), do: stop(list, most, left)

  # Comparison does not tell the zeros of both signs apart.
  defp stop([], acc, _left) when is_integer(acc) or acc != 0, do: {:done, acc}
  defp stop([_ | _] = list, acc, 0), do: {:cont, list, acc}
  defp stop(_other, _acc, _left), do: :native
end
