defmodule Bench.Store.Batch do
  @moduledoc false

  # A hundred at once against a hundred calls, and against the ways that ETS has.

  import Bench.Turns, only: [title: 1, row: 2]

  alias Bench.Side.{Ets, Store}
  alias Bench.Turns
  alias Foundation.BEAM.SharedStore

  # The larger one does not fit into the processor's caches: then a batch waits for memory as single
  # calls do.
  @sizes [3_000, 300_000]
  @batch 100
  @batches 500

  def run, do: Enum.each(@sizes, &run/1)

  defp run(entries) do
    {store, table} = {Store.new(), Ets.new()}
    for {side, table} <- [{Store, store}, {Ets, table}], do: side.fill(table, 0..(entries - 1))
    keys = keys(entries)
    pairs = Enum.map(keys, fn keys -> Enum.map(keys, &{&1, Turns.value(&1)}) end)
    :ok = SharedStore.put_many(store, hd(pairs))
    {:ok, found} = SharedStore.fetch_many(store, hd(keys))
    ^found = hd(pairs)

    ns =
      Turns.medians(
        for {name, batches, fun} <- [
              {:fetch_many, keys, &({:ok, [_ | _]} = SharedStore.fetch_many(store, &1))},
              {:fetch, keys, &singles(&1, store)},
              {:lookup, keys, &lookups(&1, table)},
              {:put_many, pairs, &(:ok = SharedStore.put_many(store, &1))},
              {:put, pairs, &puts(&1, store)},
              {:insert, pairs, &inserts(&1, table)},
              {:insert_list, pairs, &:ets.insert(table, &1)}
            ],
            do: {name, &Enum.each(&1, fun), [{batches, @batches}]}
      )

    title("#{@batch} entries at a time, of #{entries}")
    row("SharedStore.fetch_many", ns.fetch_many)
    row("#{@batch} SharedStore.fetch, their results in a list", ns.fetch)
    row("#{@batch} :ets.lookup, their results in a list", ns.lookup)
    row("SharedStore.put_many", ns.put_many)
    row("#{@batch} SharedStore.put", ns.put)
    row("#{@batch} :ets.insert", ns.insert)
    row(":ets.insert of a list", ns.insert_list)
    Bench.ratio("fetch_many_by_single_of_#{entries}", ns.fetch / ns.fetch_many)
    Bench.ratio("put_many_by_single_of_#{entries}", ns.put / ns.put_many)
    Bench.ratio("fetch_many_ets_by_store_of_#{entries}", ns.lookup / ns.fetch_many)

    Bench.ratio(
      "put_many_ets_by_store_of_#{entries}",
      min(ns.insert, ns.insert_list) / ns.put_many
    )

    Store.drop(store)
    Ets.drop(table)
  end

  # Each key once in a batch.
  defp keys(entries) do
    :rand.seed(:exsss, 1)

    for _ <- 1..@batches do
      fn -> :rand.uniform(entries) - 1 end
      |> Stream.repeatedly()
      |> Stream.uniq()
      |> Enum.take(@batch)
    end
  end

  defp singles([key | rest], store) do
    {:ok, value} = SharedStore.fetch(store, key)
    [{key, value} | singles(rest, store)]
  end

  defp singles([], _store), do: []

  defp lookups([key | rest], table) do
    [pair] = :ets.lookup(table, key)
    [pair | lookups(rest, table)]
  end

  defp lookups([], _table), do: []

  defp puts([{key, value} | rest], store) do
    :ok = SharedStore.put(store, key, value)
    puts(rest, store)
  end

  defp puts([], _store), do: :ok

  defp inserts([pair | rest], table) do
    :ets.insert(table, pair)
    inserts(rest, table)
  end

  defp inserts([], _table), do: :ok
end
