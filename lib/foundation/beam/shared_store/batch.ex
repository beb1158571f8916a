defmodule Foundation.BEAM.SharedStore.Batch do
  @moduledoc false

  # Many entries in one call. The native side works for one time slice and gives back what is left;
  # what it cannot do there, with a large or a compressed value, is done singly.

  import Foundation.BEAM.SharedStore.Call, only: [native: 1]

  alias Foundation.BEAM.SharedStore.Call
  alias Foundation.{Error, Native, Options}

  @type store :: Call.store()

  @spec put(store(), term(), non_neg_integer() | :default, String.t()) ::
          :ok | {:error, Error.t()}
  def put(store, pairs, ttl, where) do
    pairs = if is_map(pairs) and not is_struct(pairs), do: Map.to_list(pairs), else: pairs
    put_slices(store, pairs, {ttl, where}, [])
  end

  # The list is walked once, by the native side: another walk to look at it first costs as much as
  # the puts where it does not lie in the processor's caches.
  defp put_slices(store, pairs, {ttl, where} = how, refused) do
    case Native.shared_store_put_many(store, pairs, ttl) do
      {:ok, []} -> report(refused)
      {rest, {:over, number}} -> make_room(store, rest, how, refused, number)
      {rest, :more} -> put_slices(store, rest, how, refused)
      {rest, :invalid} -> invalid!("a map or a list of {key, value}", rest, where)
      {[first | rest], _reason} -> put_first(store, first, rest, how, refused)
      result -> Call.settle(result, store)
    end
  end

  defp make_room(store, rest, how, refused, number) do
    Call.make_room(store, number)
    put_slices(store, rest, how, refused)
  end

  defp put_first(store, {key, value}, rest, {ttl, _where} = how, refused) do
    case Call.put(store, key, value, ttl, :always) do
      :ok -> put_slices(store, rest, how, refused)
      {:error, %Error{error_type: :too_large}} -> put_slices(store, rest, how, [key | refused])
      error -> error
    end
  end

  defp report([]), do: :ok

  defp report(refused) do
    text = "#{length(refused)} values are too large; the others are stored"
    {:error, Error.new(:too_large, text, %{keys: Enum.reverse(refused)})}
  end

  @spec fetch(store(), [term()], String.t()) :: {:ok, [{term(), term()}]} | {:error, Error.t()}
  def fetch(store, keys, where) do
    fetch_slices(store, keys, where, [])
  end

  defp fetch_slices(store, keys, where, slices) do
    case Native.shared_store_fetch_many(store, keys) do
      {found, [], _} -> {:ok, join([found | slices])}
      {found, [_ | _] = rest, :more} -> fetch_slices(store, rest, where, [found | slices])
      {found, [key | rest], :large} -> fetch_first(store, key, rest, where, [found | slices])
      {_found, rest, :more} -> invalid!("a list of keys", rest, where)
      result -> Call.settle(result, store)
    end
  end

  defp fetch_first(store, key, rest, where, slices) do
    case Call.fetch(store, key) do
      {:ok, value} -> fetch_slices(store, rest, where, [[{key, value}] | slices])
      {:error, %Error{error_type: :not_found}} -> fetch_slices(store, rest, where, slices)
      error -> error
    end
  end

  defp join([found]), do: found
  defp join(slices), do: slices |> Enum.reverse() |> Enum.concat()

  @spec delete(store(), [term()], String.t()) :: :ok | {:error, Error.t()}
  def delete(store, keys, where) do
    # Looked at first: a rest that is an atom would look like an answer.
    proper?(keys) || invalid!("a list of keys", keys, where)
    delete_slices(store, keys)
  end

  defp delete_slices(store, keys) do
    case native(shared_store_delete_many(store, keys)) do
      [] -> :ok
      [_ | _] = rest -> delete_slices(store, rest)
      result -> Call.settle(result, store)
    end
  end

  defp proper?(list), do: is_list(list) and not List.improper?(list)

  @spec invalid!(String.t(), term(), String.t()) :: no_return()
  defp invalid!(expected, given, where) do
    raise ArgumentError, "expected #{expected} in #{where}, got: #{Options.given(given)}"
  end
end
