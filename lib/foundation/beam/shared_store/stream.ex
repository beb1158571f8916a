defmodule Foundation.BEAM.SharedStore.Stream do
  @moduledoc false

  # A store as an enumerable: a cursor that travels through it, some entries a call. The entries lie
  # in no order, and nothing is held between two calls.

  alias Foundation.BEAM.SharedStore.Call
  alias Foundation.{Error, Native, Options}

  # Entries that one call brings: enough for its cost not to count.
  @slice 100

  @spec new(Call.store(), :entries | :keys | {:path, [term()]}) :: Enumerable.t()
  def new(store, what) do
    wanted = wanted!(what)
    Stream.resource(fn -> 0 end, &next(&1, store, wanted), fn _cursor -> :ok end)
  end

  defp next(:done, _store, _wanted), do: {:halt, :done}

  defp next(cursor, store, wanted) do
    case Native.shared_store_scan(store, cursor, wanted, @slice) do
      {items, cursor} -> {expand(items, store, wanted), cursor}
      result -> result |> Call.settle(store) |> Error.unwrap!()
    end
  end

  defp expand(keys, _store, :keys), do: keys

  defp expand(items, store, wanted) do
    Enum.flat_map(items, fn
      {_key, _value} = entry -> [entry]
      {key} -> fetch(store, key, wanted)
    end)
  end

  # What is large or compressed is fetched singly; it may have gone since.
  defp fetch(store, key, wanted) do
    result =
      if wanted == :entries, do: Call.fetch(store, key), else: Call.fetch_in(store, key, wanted)

    case result do
      {:ok, value} -> [{key, value}]
      {:error, %Error{error_type: type}} when type in [:not_found, :path_not_found] -> []
      {:error, error} -> raise error
    end
  end

  defp wanted!(what) when what in [:entries, :keys], do: what

  defp wanted!({:path, path} = what) do
    if is_list(path) and not List.improper?(path), do: path, else: invalid!(what)
  end

  defp wanted!(what), do: invalid!(what)

  @spec invalid!(term()) :: no_return()
  defp invalid!(what) do
    raise ArgumentError,
          "expected :entries, :keys or {:path, a list of steps} in SharedStore.stream/2, " <>
            "got: #{Options.given(what)}"
  end
end
