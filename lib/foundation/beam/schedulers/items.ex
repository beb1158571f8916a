defmodule Foundation.BEAM.Schedulers.Items do
  @moduledoc false

  # What the items of some work are: an enumerable, or a mistake of who calls.

  alias Foundation.Options

  @doc """
  How many items there are, where that is known without walking what is no list.

  Whatever else could be asked for its count may read a file for it, or call the user's code.
  """
  @spec count!(term(), String.t(), String.t()) :: non_neg_integer() | :unknown
  def count!(items, where, expected \\ "an enumerable")

  # The VM tells a proper list by the walk that counts it.
  def count!(items, where, _expected) when is_list(items) do
    length(items)
  rescue
    ArgumentError -> Options.refuse!("a proper list", where, items)
  end

  def count!(%Range{} = range, _where, _expected), do: Range.size(range)
  def count!(%MapSet{} = set, _where, _expected), do: MapSet.size(set)
  def count!(map, _where, _expected) when is_map(map) and not is_struct(map), do: map_size(map)

  def count!(items, where, expected) do
    if enumerable?(items), do: :unknown, else: Options.refuse!(expected, where, items)
  end

  # The protocol counts every function as enumerable; streams are those of arity 2.
  defp enumerable?(items) when is_function(items), do: is_function(items, 2)
  defp enumerable?(items), do: Enumerable.impl_for(items) != nil
end
