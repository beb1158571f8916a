defmodule Foundation.BEAM.SharedStore.Atomic do
  @moduledoc false

  # Read a value with its version, work on it in the caller, put on condition that the version is
  # still the entry's; otherwise again. Nothing is held while the caller works: what raises leaves
  # the entry as it was, and of several callers at once one always gets on.

  import Foundation.BEAM.SharedStore.Call, only: [native: 1, missing: 0]

  alias Foundation.BEAM.SharedStore.{Call, Options}
  alias Foundation.Error

  @type store :: Call.store()

  # What the native side adds to nothing: more than 64 bits, a large key, numbers that are, or are to
  # be, compressed, and what is no number.
  @singly [:big, :dirty, :pack, :not_a_number]

  # What is left to the entry, or a lifetime as the native side takes it.
  @type lifetime :: :kept | :default | non_neg_integer()

  @spec update(store(), term(), (term() -> term()), {:ok, term()} | :error, lifetime()) ::
          {:ok, term()} | {:error, Error.t()}
  def update(store, key, fun, initial, lifetime) do
    case {Call.read(store, key), initial} do
      {{:ok, value, version}, _} ->
        change(store, key, fun.(value), lifetime, version, fn ->
          update(store, key, fun, initial, lifetime)
        end)

      {:missing, {:ok, first}} ->
        change(store, key, first, lifetime, :absent, fn ->
          update(store, key, fun, initial, lifetime)
        end)

      {:missing, :error} ->
        missing()

      {{:error, _} = error, _} ->
        error
    end
  end

  @spec get_and_update(store(), term(), (term() -> {term(), term()} | :pop)) ::
          {:ok, term()} | {:error, Error.t()}
  def get_and_update(store, key, fun) do
    case Call.read(store, key) do
      {:ok, value, version} -> value |> fun.() |> decide(store, key, fun, value, version)
      :missing -> nil |> fun.() |> decide(store, key, fun, nil, :absent)
      error -> error
    end
  end

  defp decide({get, new}, store, key, fun, _value, condition) do
    case put(store, key, new, :kept, condition) do
      :ok -> {:ok, get}
      :conflict -> get_and_update(store, key, fun)
      error -> error
    end
  end

  defp decide(:pop, _store, _key, _fun, nil, :absent), do: {:ok, nil}

  defp decide(:pop, store, key, fun, value, version) do
    case native(shared_store_delete_version(store, key, version)) do
      :ok -> {:ok, value}
      :conflict -> get_and_update(store, key, fun)
      fault -> Call.settle(fault, store)
    end
  end

  defp decide(other, _store, _key, _fun, _value, _condition) do
    raise ArgumentError,
          "expected the function given to SharedStore.get_and_update/3 to return {get, new} or " <>
            ":pop, got: #{Foundation.Options.given(other)}"
  end

  @spec compare_and_put(store(), term(), term(), term()) :: :ok | {:error, Error.t()}
  def compare_and_put(store, key, expected, new) do
    case Call.read(store, key) do
      {:ok, value, version} when value === expected ->
        with :conflict <- put(store, key, new, :kept, version),
             do: compare_and_put(store, key, expected, new)

      {:ok, _other, _version} ->
        {:error, Error.new(:conflict, "the value is not the one that was expected")}

      :missing ->
        missing()

      error ->
        error
    end
  end

  @spec increment(store(), term(), number(), number(), non_neg_integer() | :default) ::
          {:ok, number()} | {:error, Error.t()}
  def increment(store, key, by, initial, ttl) do
    case native(shared_store_increment(store, key, by, initial, ttl)) do
      {:ok, _sum} = ok -> ok
      result when result in @singly -> increment_by_version(store, key, by, initial, ttl)
      result -> Call.settle(result, store)
    end
  end

  defp increment_by_version(store, key, by, initial, ttl) do
    again = fn -> increment_by_version(store, key, by, initial, ttl) end

    case Call.read(store, key) do
      {:ok, value, version} when is_number(value) ->
        with {:ok, sum} <- add(value, by), do: change(store, key, sum, :kept, version, again)

      {:ok, _value, _version} ->
        no_number("the value is not a number")

      :missing ->
        with {:ok, sum} <- add(initial, by), do: change(store, key, sum, ttl, :absent, again)

      error ->
        error
    end
  end

  defp add(value, by) do
    {:ok, value + by}
  rescue
    ArithmeticError -> no_number("the sum is beyond what a float holds")
  end

  defp no_number(text), do: {:error, Error.new(:not_a_number, text)}

  defp change(store, key, new, lifetime, condition, again) do
    case put(store, key, new, lifetime, condition) do
      :ok -> {:ok, new}
      :conflict -> again.()
      error -> error
    end
  end

  defp put(store, key, new, :kept, :absent), do: Call.put(store, key, new, :default, :absent)

  defp put(store, key, new, :kept, version),
    do: Call.put(store, key, new, left(store, key), version)

  defp put(store, key, new, ttl, condition), do: Call.put(store, key, new, ttl, condition)

  # An entry that has gone or been touched meanwhile is not put: it is of another version.
  defp left(store, key) do
    case native(shared_store_ttl(store, key)) do
      ms when is_integer(ms) -> ms
      :infinity -> Options.ttl(:infinity)
      _gone -> :default
    end
  end
end
