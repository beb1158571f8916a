defmodule Bench.Store.Large do
  @moduledoc false

  # One value of 240 KB: nested maps, lists, tuples and small binaries. All of it, and a part of it.

  import Bench.Turns, only: [title: 1, row: 2, calls: 1]

  alias Bench.Side.{Ets, Store}
  alias Bench.Turns
  alias Foundation.BEAM.SharedStore

  @heap_bytes 240_000

  def run do
    term = nested(@heap_bytes)
    {store, table} = {Store.new(), Ets.new()}
    Store.put(store, :term, term)
    Ets.put(table, :term, term)
    id = div(map_size(term.users), 2)
    path = [:users, id, :name]
    head = [{{:term, %{users: %{id => %{name: :"$1"}}}}, [], [:"$1"]}]
    name = get_in(term, path)
    {:ok, ^term} = SharedStore.fetch(store, :term)
    {:ok, ^name} = SharedStore.fetch_in(store, :term, path)
    [^name] = :ets.select(table, head)

    ns =
      Turns.medians(
        for {name, count, fun} <- [
              {:fetch, 60, fn -> SharedStore.fetch(store, :term) end},
              {:lookup, 60, fn -> :ets.lookup(table, :term) end},
              {:element, 60, fn -> :ets.lookup_element(table, :term, 2) end},
              {:put, 30, fn -> SharedStore.put(store, :other, term) end},
              {:insert, 30, fn -> :ets.insert(table, {:other, term}) end},
              {:fetch_in, 20_000, fn -> SharedStore.fetch_in(store, :term, path) end},
              {:get_in, 60, fn -> get_in(elem(hd(:ets.lookup(table, :term)), 1), path) end},
              {:select, 10_000, fn -> :ets.select(table, head) end}
            ],
            do: {name, calls(fun), [{count, count}]}
      )

    title("a value of #{:erts_debug.flat_size(term) * 8} bytes of heap")
    row("SharedStore.fetch", ns.fetch)
    row(":ets.lookup", ns.lookup)
    row(":ets.lookup_element", ns.element)
    row("SharedStore.put over another", ns.put)
    row(":ets.insert over another", ns.insert)
    row("SharedStore.fetch_in, three steps", ns.fetch_in)
    row(":ets.lookup and get_in", ns.get_in)
    row(":ets.select, the path in the head", ns.select)
    Bench.ratio("store_large_fetch_times_ets_lookup", ns.fetch / min(ns.lookup, ns.element))
    Bench.ratio("store_large_put_times_ets_insert", ns.put / ns.insert)
    Bench.ratio("store_large_fetch_in_ets_lookup_by_store", ns.get_in / ns.fetch_in)
    Bench.ratio("store_large_fetch_in_ets_select_by_store", ns.select / ns.fetch_in)
    Store.drop(store)
    Ets.drop(table)
  end

  defp nested(bytes) do
    one = :erts_debug.flat_size(users(100)) * 8 / 100
    users(round(bytes / one))
  end

  @doc "A term of so many rows."
  def users(count), do: %{users: Map.new(1..count, &{&1, user(&1)}), version: 1}

  defp user(n), do: %{id: n, name: "user #{n}", tags: [:a, :b], at: {n * 1.5, n * 2.5}}
end
