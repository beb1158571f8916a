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
    pairs?(pairs) || invalid!("a map or a list of {key, value}", pairs, where)
    put_slices(store, pairs, ttl, [])
  end

  defp put_slices(store, pairs, ttl, refused) do
    case Native.shared_store_put_many(store, pairs, ttl) do
      {:ok, []} -> report(refused)
      {[], _reason} -> report(refused)
      {rest, :more} -> put_slices(store, rest, ttl, refused)
      {[first | rest], _reason} -> put_first(store, first, rest, ttl, refused)
      result -> Call.settle(result, store)
    end
  end

  defp put_first(store, {key, value}, rest, ttl, refused) do
    case Call.put(store, key, value, ttl, :always) do
      :ok -> put_slices(store, rest, ttl, refused)
      {:error, %Error{error_type: :too_large}} -> put_slices(store, rest, ttl, [key | refused])
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
    proper?(keys) || invalid!("a list of keys", keys, where)
    fetch_slices(store, keys, [])
  end

  defp fetch_slices(store, keys, slices) do
    case Native.shared_store_fetch_many(store, keys) do
      {found, [], _} -> {:ok, join([found | slices])}
      {found, rest, :more} -> fetch_slices(store, rest, [found | slices])
      {found, [key | rest], :large} -> fetch_first(store, key, rest, [found | slices])
      result -> Call.settle(result, store)
    end
  end

  defp fetch_first(store, key, rest, slices) do
    case Call.fetch(store, key) do
      {:ok, value} -> fetch_slices(store, rest, [[{key, value}] | slices])
      {:error, %Error{error_type: :not_found}} -> fetch_slices(store, rest, slices)
      error -> error
    end
  end

  defp join([found]), do: found
  defp join(slices), do: slices |> Enum.reverse() |> Enum.concat()

  @spec delete(store(), [term()], String.t()) :: :ok | {:error, Error.t()}
  def delete(store, keys, where) do
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

  defp pairs?([{_key, _value} | rest]), do: pairs?(rest)
  defp pairs?(rest), do: rest == []

  defp proper?(list), do: is_list(list) and not List.improper?(list)

  @spec invalid!(String.t(), term(), String.t()) :: no_return()
  defp invalid!(expected, given, where) do
    raise ArgumentError, "expected #{expected} in #{where}, got: #{Options.given(given)}"
  end
end
