defmodule Bench.Store.Ttl do
  @moduledoc false

  # The same as `small`, with a time to live on every side: ten minutes, so that nothing ends
  # meanwhile and every put sets a deadline anew.

  import Bench.Turns, only: [title: 1, row: 2]

  alias Bench.Side.{CacheTab, EtsCache, Store}
  alias Bench.Store.Small
  alias Bench.Turns

  @entries 300_000
  @operations 20_000
  @seconds 600

  def run do
    if installed?() do
      store = Store.new(ttl: @seconds * 1_000)
      cache = CacheTab.new(:bench_cache_tab, @seconds)
      ets_cache = EtsCache.new(:bench_ets_cache, @seconds * 1_000)

      sides = [
        {:store, Store, store},
        {:cache_tab, CacheTab, cache},
        {:ets_cache, EtsCache, ets_cache}
      ]

      for {_name, side, table} <- sides, do: side.fill(table, 0..(@entries - 1))
      for processes <- [1, 2], kind <- [:get, :put, :mixed], do: compare(kind, processes, sides)
      for {_name, side, table} <- sides, do: side.drop(table)
    else
      IO.puts("\nttl: skipped, erlang-p1-cache-tab is not installed")
    end
  end

  # Elixir 1.15 and newer leave what no project names out of the code path.
  defp installed? do
    for folder <- Path.wildcard("#{:code.lib_dir()}/p1_{utils,cache_tab}-*/ebin"),
        do: Code.append_path(folder)

    match?({:ok, _}, Application.ensure_all_started(:cache_tab))
  end

  defp compare(kind, processes, sides) do
    works = Small.works(@entries, @operations, processes)
    loops = for {name, side, table} <- sides, do: {name, Small.loop(kind, side, table), works}
    ns = Turns.medians(loops)

    title("small values with a time to live, #{kind}, processes: #{processes}")
    for {name, _side, _table} <- sides, do: row("#{name}", ns[name])

    for rival <- [:cache_tab, :ets_cache] do
      Bench.ratio("store_ttl_#{kind}_#{processes}_#{rival}_by_store", ns[rival] / ns.store)
    end
  end
end
