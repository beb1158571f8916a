# The candidates, each with the same functions and the same loops around them. The loops are written
# out for each side (`use Bench.Loops`), so that none pays for a call through a fun.

defmodule Bench.Loops do
  @moduledoc false

  defmacro __using__(_opts) do
    quote do
      import Bitwise

      @compile {:inline, get: 2, put: 3}

      # Operations of `Bench.Turns.sequence/3`.
      def gets(<<_::8, key::24, rest::binary>>, table) do
        get(table, key)
        gets(rest, table)
      end

      def gets(<<>>, _table), do: :ok

      def puts(<<_::8, key::24, rest::binary>>, table, values) do
        put(table, key, elem(values, key &&& 63))
        puts(rest, table, values)
      end

      def puts(<<>>, _table, _values), do: :ok

      def mixed(<<0, key::24, rest::binary>>, table, values) do
        get(table, key)
        mixed(rest, table, values)
      end

      def mixed(<<1, key::24, rest::binary>>, table, values) do
        put(table, key, elem(values, key &&& 63))
        mixed(rest, table, values)
      end

      def mixed(<<>>, _table, _values), do: :ok

      def fill(table, range) do
        Bench.Turns.parallel(fn index, count ->
          for key <- range, rem(key, count) == index, do: put(table, key, Bench.Turns.value(key))
          :ok
        end)

        table
      end
    end
  end
end

defmodule Bench.Side.Store do
  @moduledoc false
  use Bench.Loops

  alias Foundation.BEAM.SharedStore

  def new(opts \\ []) do
    store = SharedStore.new(opts)
    true = is_reference(store)
    store
  end

  def named(name, opts \\ []) do
    {:ok, _owner} = SharedStore.start_link([name: name] ++ opts)
    name
  end

  def drop(store), do: SharedStore.close(store)
  def get(store, key), do: {:ok, _value} = SharedStore.fetch(store, key)
  def put(store, key, value), do: :ok = SharedStore.put(store, key, value)
  def delete(store, key), do: :ok = SharedStore.delete(store, key)
end

defmodule Bench.Side.Ets do
  @moduledoc false
  use Bench.Loops

  @usual [read_concurrency: true, write_concurrency: :auto]

  @doc "The options that people choose between; the first is what most say."
  def options do
    [
      ets: @usual,
      ets_central: @usual ++ [decentralized_counters: false],
      ets_locks: [read_concurrency: true, write_concurrency: true],
      ets_plain: []
    ]
  end

  def new(opts \\ @usual), do: :ets.new(:bench, [:set, :public] ++ opts)
  def drop(table), do: :ets.delete(table)
  def get(table, key), do: [{_key, _value}] = :ets.lookup(table, key)
  def put(table, key, value), do: :ets.insert(table, {key, value})
  def delete(table, key), do: :ets.delete(table, key)
end

# Processes that each hold a part of the table; an entry ends `life_time` seconds after it was put.
# `lru: false` is the quicker choice: a lookup then changes nothing.
defmodule Bench.Side.CacheTab do
  @moduledoc false
  use Bench.Loops

  @compile {:no_warn_undefined, :cache_tab}

  def new(name, seconds) do
    :ok = :cache_tab.new(name, max_size: :unlimited, life_time: seconds, lru: false, warn: false)
    name
  end

  def drop(name), do: :cache_tab.delete(name)
  def get(name, key), do: {:ok, _value} = :cache_tab.dirty_lookup(name, key, fn -> :error end)
  def put(name, key, value), do: :ok = :cache_tab.dirty_insert(name, key, value)
end

# The newer module of the same package: an ETS table that its readers check. `insert/3` keeps a value
# that is there, so a put that replaces is its `update/4`.
defmodule Bench.Side.EtsCache do
  @moduledoc false
  use Bench.Loops

  @compile {:no_warn_undefined, :ets_cache}

  def new(name, milliseconds) do
    :ok = :ets_cache.new(name, life_time: milliseconds, max_size: :infinity)
    name
  end

  def drop(name), do: :ets_cache.delete(name)
  def get(name, key), do: {:ok, _value} = :ets_cache.lookup(name, key)
  def put(name, key, value), do: :ets_cache.update(name, key, {:ok, value}, fn -> :ok end)
end
