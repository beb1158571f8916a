defmodule Foundation.BEAM.Schedulers.Chunks do
  @moduledoc false

  # Data that is worked on in parts: a list, or whatever is enumerable, taken from bit by bit. A
  # stream is suspended in between, so it never runs ahead of what is asked for.

  alias Foundation.Options

  @type source ::
          {:list, list(), non_neg_integer()}
          | {:enum, Enumerable.continuation()}
          | :done

  @typedoc "Data and how many items it has, where that is known without going through it."
  @type plan :: {:whole, term()} | {:chunks, source(), non_neg_integer() | :unknown}

  @doc "Lists are always worked on in chunks, other data when a size is given."
  @spec plan(term(), :auto | pos_integer(), String.t()) :: plan()
  def plan(data, _size, _where) when is_list(data) and length(data) >= 0,
    do: {:chunks, {:list, data, length(data)}, length(data)}

  def plan(data, _size, where) when is_list(data), do: invalid!(where, "a proper list", data)
  def plan(data, :auto, _where), do: {:whole, data}

  def plan(data, _size, where) do
    if enumerable?(data) do
      {:chunks, {:enum, &Enumerable.reduce(data, &1, fn item, acc -> step(item, acc) end)},
       count(data)}
    else
      invalid!(where, "data that is enumerable, because :chunk_size is given", data)
    end
  end

  @doc "The next `size` items, how many they are, and the rest."
  @spec take(source(), pos_integer()) :: {[term(), ...], pos_integer(), source()} | :done
  def take({:list, [], 0}, _size), do: :done
  def take({:list, list, left}, size) when size >= left, do: {list, left, :done}

  def take({:list, list, left}, size) do
    # One pass less than `:lists.split/2`, which builds the chunk in reverse.
    {:lists.sublist(list, size), size, {:list, :lists.nthtail(size, list), left - size}}
  end

  def take({:enum, continue}, size) do
    case continue.({:cont, {size, []}}) do
      {:suspended, {0, items}, continue} -> {:lists.reverse(items), size, {:enum, continue}}
      {_done_or_halted, {_size, []}} -> :done
      {_done_or_halted, {left, items}} -> {:lists.reverse(items), size - left, :done}
    end
  end

  def take(:done, _size), do: :done

  @doc "Items left, where that is known."
  @spec left(source()) :: non_neg_integer() | :unknown
  def left({:list, _list, left}), do: left
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

  defp step(item, {1, items}), do: {:suspend, {0, [item | items]}}
  defp step(item, {left, items}), do: {:cont, {left - 1, [item | items]}}

  # The protocol counts every function as enumerable; streams are those of arity 2.
  defp enumerable?(data) when is_function(data), do: is_function(data, 2)
  defp enumerable?(data), do: Enumerable.impl_for(data) != nil

  defp count(data) do
    case Enumerable.count(data) do
      {:ok, count} -> count
      {:error, _module} -> :unknown
    end
  end

  defp invalid!(where, expected, data) do
    raise ArgumentError, "#{where} expects #{expected}, got: #{Options.given(data)}"
  end
end
