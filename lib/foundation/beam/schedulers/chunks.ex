defmodule Foundation.BEAM.Schedulers.Chunks do
  @moduledoc false

  # Data that is worked on in parts: a list, a range, or whatever is enumerable, taken from bit by
  # bit. A stream is suspended in between, so it never runs ahead of what is asked for.

  alias Foundation.BEAM.Schedulers.Items
  alias Foundation.Options

  @type source ::
          {:list, list(), non_neg_integer()}
          | {:range, integer(), integer(), non_neg_integer()}
          | {:enum, Enumerable.continuation()}
          | :done

  @typedoc "Data and how many items it has, where that is known without going through it."
  @type plan :: {:whole, term()} | {:chunks, source(), non_neg_integer() | :unknown}

  @doc "Lists are always worked on in chunks, other data when a size is given."
  @spec plan(term(), :auto | pos_integer(), String.t()) :: plan()
  def plan(data, _size, where) when is_list(data), do: list(data, where)
  def plan(data, :auto, _where), do: {:whole, data}

  def plan(first.._//step = range, _size, _where) do
    count = Range.size(range)
    {:chunks, {:range, first, step, count}, count}
  end

  def plan(%MapSet{} = set, _size, where), do: set |> MapSet.to_list() |> list(where)

  def plan(data, _size, where) when is_map(data) and not is_struct(data),
    do: data |> Map.to_list() |> list(where)

  def plan(data, _size, where) do
    # Nothing else is asked how many items it has: to answer, a file is read from end to end.
    Items.count!(data, where, "data that is enumerable, because :chunk_size is given,")

    {:chunks, {:enum, &Enumerable.reduce(data, &1, fn item, acc -> step(item, acc) end)},
     :unknown}
  end

  @doc "The next `size` items, how many they are, and the rest."
  @spec take(source(), pos_integer()) :: {[term(), ...], pos_integer(), source()} | :done
  def take({:list, [], 0}, _size), do: :done
  def take({:list, list, left}, size) when size >= left, do: {list, left, :done}

  def take({:list, list, left}, size) do
    # One pass less than `:lists.split/2`, which builds the chunk in reverse.
    {:lists.sublist(list, size), size, {:list, :lists.nthtail(size, list), left - size}}
  end

  def take({:range, _first, _step, 0}, _size), do: :done

  def take({:range, first, step, left} = range, size) do
    count = min(size, left)
    {Enum.to_list(first..(first + (count - 1) * step)//step), count, drop(range, count)}
  end

  def take({:enum, continue}, size) do
    case continue.({:cont, {size, []}}) do
      {:suspended, {0, items}, continue} -> {:lists.reverse(items), size, {:enum, continue}}
      {_done_or_halted, {_size, []}} -> :done
      {_done_or_halted, {left, items}} -> {:lists.reverse(items), size - left, :done}
    end
  end

  def take(:done, _size), do: :done

  @doc "As `take/2`, but the items are a source of their own."
  @spec split(source(), pos_integer()) :: {source(), pos_integer(), source()} | :done
  def split({:range, first, step, left} = range, size) when left > 0 do
    count = min(size, left)
    {{:range, first, step, count}, count, drop(range, count)}
  end

  def split(source, size) do
    with {items, count, rest} <- take(source, size), do: {{:list, items, count}, count, rest}
  end

  @doc "Without the first `count` items; of a list or a range that has as many."
  @spec drop(source(), non_neg_integer()) :: source()
  def drop({_kind, _items, count}, count), do: :done
  def drop({_kind, _first, _step, count}, count), do: :done
  def drop({:list, list, left}, count), do: {:list, :lists.nthtail(count, list), left - count}

  def drop({:range, first, step, left}, count),
    do: {:range, first + count * step, step, left - count}

  @doc "Items left, where that is known."
  @spec left(source()) :: non_neg_integer() | :unknown
  def left({:list, _list, left}), do: left
  def left({:range, _first, _step, left}), do: left
  def left({:enum, _continue}), do: :unknown
  def left(:done), do: 0

  @doc "Lets a stream that is not at its end clean up."
  @spec close(source()) :: :ok
  def close({:enum, continue}) do
    continue.({:halt, {0, []}})
    :ok
  end

  def close(_source), do: :ok

  @doc "Puts the result of a chunk, as a list, before those of earlier ones."
  @spec join(term(), [list()]) :: [list()]
  def join(result, earlier) when is_list(result) and length(result) >= 0, do: [result | earlier]

  def join(result, _earlier) when is_list(result) do
    raise ArgumentError,
          "expected the function to return a proper list, or what is no list, " <>
            "for a chunk, got: #{Options.given(result)}"
  end

  def join(result, earlier), do: [[result] | earlier]

  @doc "One list of those, the last of which comes first."
  @spec concat([list()]) :: list()
  def concat(lists), do: :lists.foldl(&++/2, [], lists)

  defp list(data, where) do
    count = Items.count!(data, where)
    {:chunks, {:list, data, count}, count}
  end

  defp step(item, {1, items}), do: {:suspend, {0, [item | items]}}
  defp step(item, {left, items}), do: {:cont, {left - 1, [item | items]}}
end
