defmodule Bench.Store.Latency do
  @moduledoc false

  # How long single puts take while a table grows to a million entries, and while entries of the full
  # table are overwritten, deleted and inserted. Both sides do the same operations in one process, a
  # thousand by turns, so that what the machine does meanwhile hits both.
  #
  # The times have the clock's own cost in them, which is printed.

  import Bench.Turns, only: [title: 1, note: 2]

  alias Bench.Side.{Ets, Store}
  alias Bench.Turns

  @entries 1_000_000
  @chunk 1_000
  @percentiles [{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"max", 1.0}]

  def run do
    sides = [{:store, Store, Store.new()}, {:ets, Ets, Ets.new()}]
    values = Turns.values()
    clock = clock()
    title("single puts, the clock's own #{clock} ns included")
    report("growth", sides, fn side, table, number -> put(side, table, number, values) end)
    report("churn", sides, fn side, table, number -> churn(side, table, number, values) end)
    for {_name, side, table} <- sides, do: side.drop(table)
  end

  defp report(phase, sides, operation) do
    all = measure(sides, operation)

    for {name, figures} <- all, {text, _part} <- @percentiles do
      note("#{phase}, #{name}, #{text}", Bench.duration(figures[text]))
    end

    Bench.ratio("put_#{phase}_p999_us", all[:store]["p99.9"] / 1_000)
    Bench.ratio("put_#{phase}_max_us", all[:store]["max"] / 1_000)
    Bench.ratio("put_#{phase}_p999_ets_by_store", all[:ets]["p99.9"] / all[:store]["p99.9"])
  end

  # The times lie outside the heap, so that keeping them costs no collection.
  defp measure(sides, operation) do
    kept = for {name, _side, _table} <- sides, do: {name, :atomics.new(@entries, [])}

    Task.async(fn ->
      # Nothing is collected of the loops: a large heap would have to be, inside of a put.
      for first <- 0..(@entries - 1)//@chunk, {name, side, table} <- sides, reduce: :ok do
        :ok ->
          times = kept[name]

          Enum.each(first..(first + @chunk - 1), fn number ->
            :atomics.put(times, number + 1, operation.(side, table, number))
          end)
      end
    end)
    |> Task.await(:infinity)

    for {name, times} <- kept, do: {name, percentiles(times)}
  end

  defp percentiles(times) do
    sorted = 1..@entries |> Enum.map(&:atomics.get(times, &1)) |> Enum.sort() |> List.to_tuple()

    for {text, part} <- @percentiles, into: %{} do
      {text, elem(sorted, min(@entries - 1, floor(@entries * part)))}
    end
  end

  defp put(side, table, number, values) do
    value = elem(values, rem(number, 64))
    start = System.monotonic_time()
    side.put(table, number, value)
    stop(start)
  end

  # One in four puts a key in the place of another; the others overwrite, in no order that a table
  # has. The factor is odd and the count divides by four: what was deleted is not met again.
  defp churn(side, table, number, values) when rem(number, 4) == 0 do
    side.delete(table, number)
    put(side, table, number + @entries, values)
  end

  defp churn(side, table, number, values),
    do: put(side, table, rem(number * 7_919, @entries), values)

  defp stop(start),
    do: System.convert_time_unit(System.monotonic_time() - start, :native, :nanosecond)

  defp clock do
    times = for _ <- 1..100_000, do: stop(System.monotonic_time())
    Bench.median(times)
  end
end
