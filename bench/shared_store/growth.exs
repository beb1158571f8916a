defmodule Bench.Store.Growth do
  @moduledoc false

  # A get from a thousand entries, and from a million: what a growing table costs its readers.

  import Bench.Turns, only: [title: 1, row: 2]

  alias Bench.Side.{Ets, Store}
  alias Bench.Turns

  @sizes [1_000, 10_000, 100_000, 1_000_000]
  @operations 100_000

  def run do
    tables =
      for size <- @sizes, {name, side} <- [store: Store, ets: Ets] do
        {{name, size}, side, side.fill(side.new(), 0..(size - 1))}
      end

    works = Map.new(@sizes, &{&1, [{Turns.sequence(&1, @operations, 1), @operations}]})

    ns =
      Turns.medians(
        for {{_name, size} = key, side, table} <- tables,
            do: {key, &side.gets(&1, table), works[size]}
      )

    title("a get, by entries of the table")
    for {{name, size}, _side, _table} <- tables, do: row("#{name}, #{size}", ns[{name, size}])
    [first, last] = [hd(@sizes), List.last(@sizes)]
    growth = Map.new([:store, :ets], &{&1, ns[{&1, last}] / ns[{&1, first}]})
    Bench.ratio("get_growth_store", growth.store)
    Bench.ratio("get_growth_ets", growth.ets)
    Bench.ratio("get_growth_ets_by_store", growth.ets / growth.store)
    for {_key, side, table} <- tables, do: side.drop(table)
  end
end
