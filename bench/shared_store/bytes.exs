defmodule Bench.Store.Bytes do
  @moduledoc false

  # What a small entry takes of the operating system's memory: a million of them, fresh, and after ten
  # times as many operations that overwrite entries and replace them by entries under other keys. Each
  # side in a virtual machine of its own, as memory that one gave back could serve the other.

  import Bench.Turns, only: [title: 1, note: 2]

  alias Bench.Side.{Ets, Store}
  alias Bench.Turns
  alias Foundation.BEAM.SharedStore

  @entries 1_000_000
  @churn 10 * @entries
  @script Path.expand("../shared_store.exs", __DIR__)

  def run do
    title("resident bytes an entry, #{@entries} small entries")
    sides = [:store | Keyword.keys(Ets.options())]
    figures = Map.new(sides, &{&1, measure(&1)})
    tables = figures |> Map.delete(:store) |> Map.values()

    for figure <- [:fresh, :churned] do
      best = tables |> Enum.map(& &1[figure]) |> Enum.min()
      own = figures.store[figure]
      Bench.ratio("bytes_an_entry_#{figure}_ets_by_store", figures.ets[figure] / own)
      Bench.ratio("bytes_an_entry_#{figure}_best_ets_by_store", best / own)
    end
  end

  defp measure(side) do
    arguments = ["run", "--no-compile", @script, "bytes_of", "#{side}"]
    {text, 0} = System.cmd("mix", arguments, env: [{"MIX_ENV", "#{Mix.env()}"}])
    [fresh, churned] = Regex.run(~r/^BYTES (\d+) (\d+)$/m, text, capture: :all_but_first)
    note("#{side}, fresh", "#{fresh} bytes")
    note("#{side}, after churn", "#{churned} bytes")
    for [line] <- Regex.scan(~r/^  .+$/m, text), do: IO.puts(line)
    %{fresh: String.to_integer(fresh), churned: String.to_integer(churned)}
  end

  @doc "In a virtual machine of its own: prints the two figures and what the side itself says."
  def child("store") do
    inside(Store, Store.new(), fn store ->
      {:ok, stats} = SharedStore.stats(store)
      inspect(stats)
    end)
  end

  def child(name) do
    table = Ets.new(Ets.options()[String.to_existing_atom(name)])
    inside(Ets, table, &"#{:ets.info(&1, :memory) * 8} bytes by ets:info/2")
  end

  defp inside(side, table, about) do
    # Which of its keys each place holds: 8 MB that both sides have before they are measured.
    places = :atomics.new(@entries, signed: false)
    for key <- -1_000..-1, do: side.put(table, key, Turns.value(key))
    for key <- -1_000..-1, do: side.delete(table, key)
    before = Turns.resident()
    side.fill(table, 0..(@entries - 1))
    fresh = Turns.resident() - before
    IO.puts("  #{about.(table)}")
    Turns.parallel(fn index, count -> churn(side, table, places, index, count) end)
    churned = Turns.resident() - before
    IO.puts("  #{about.(table)}")
    IO.puts("BYTES #{div(fresh, @entries)} #{div(churned, @entries)}")
  end

  # Each process has the places whose number gives `index`.
  defp churn(side, table, places, index, count) do
    :rand.seed(:exsss, index)
    own = div(@entries, count)

    for turn <- 1..div(@churn, count) do
      place = (:rand.uniform(own) - 1) * count + index
      generation = :atomics.get(places, place + 1)
      key = place + generation * @entries

      if rem(turn, 2) == 0 do
        side.put(table, key, Turns.value(turn))
      else
        :atomics.put(places, place + 1, generation + 1)
        side.delete(table, key)
        side.put(table, key + @entries, Turns.value(key))
      end
    end

    :ok
  end
end
