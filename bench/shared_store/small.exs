defmodule Bench.Store.Small do
  @moduledoc false

  # Maps of three keys, keys at random from 300,000.

  import Bench.Turns, only: [title: 1, row: 2]

  alias Bench.Side.{Ets, Store}
  alias Bench.Turns

  @entries 300_000
  @operations 100_000

  def run do
    store = Store.fill(Store.new(), 0..(@entries - 1))
    named = Store.fill(Store.named(:bench_small), 0..(@entries - 1))
    sides = [{:store, Store, store}, {:store_by_name, Store, named}]

    tables =
      for {name, opts} <- Ets.options(),
          do: {name, Ets, Ets.fill(Ets.new(opts), 0..(@entries - 1))}

    for processes <- [1, 2], kind <- [:get, :put, :mixed] do
      compare(kind, processes, sides ++ tables)
    end

    for {_name, side, table} <- sides ++ tables, do: side.drop(table)
  end

  defp compare(kind, processes, sides) do
    works = works(@entries, @operations, processes)

    ns =
      Turns.medians(for {name, side, table} <- sides, do: {name, loop(kind, side, table), works})

    title("small values, #{kind}, processes: #{processes}")
    for {name, _side, _table} <- sides, do: row("#{name}", ns[name])
    best = ns |> Map.take(Keyword.keys(Ets.options())) |> Map.values() |> Enum.min()

    for name <- [:store, :store_by_name] do
      Bench.ratio("#{name}_#{kind}_#{processes}_ets_by_store", ns.ets / ns[name])
      Bench.ratio("#{name}_#{kind}_#{processes}_best_ets_by_store", best / ns[name])
    end
  end

  @doc "A sequence of its own for each process."
  def works(entries, operations, processes) do
    for seed <- 1..processes, do: {Turns.sequence(entries, operations, seed), operations}
  end

  @doc "What runs a sequence on a side."
  def loop(:get, side, table), do: &side.gets(&1, table)

  def loop(kind, side, table) do
    values = Turns.values()
    if kind == :put, do: &side.puts(&1, table, values), else: &side.mixed(&1, table, values)
  end
end
