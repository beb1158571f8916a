defmodule Foundation.SchedulersBalancePropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Schedulers

  # Items that take no time, some microseconds, or a turn on the scheduler.
  defp item,
    do: frequency([{6, {:light, integer()}}, {1, {:heavy, integer(1, 300)}}, {1, :yield}])

  defp work({:light, number}), do: [number]
  defp work({:heavy, count}), do: Enum.sum(1..count)

  defp work(:yield) do
    :erlang.yield()
    :yielded
  end

  property "the results are those of Enum.map, by any number of processes", runs: 300 do
    forall {items, repeated, workers, pin} <-
             {list(item()), integer(1, 40), integer(1, 9), boolean()} do
      items = items |> List.duplicate(repeated) |> Enum.concat()
      opts = [max_concurrency: workers, pin: pin]
      Schedulers.balance_work_across_schedulers(items, &work/1, opts) == Enum.map(items, &work/1)
    end
  end

  property "every item is called once, whatever is taken back" do
    forall {count, workers, seed} <- {integer(0, 400), integer(1, 6), integer()} do
      calls = :counters.new(max(1, count), [])

      fun = fn item ->
        :counters.add(calls, item, 1)
        # Some wait for their turn, so that batches are taken back at any place.
        if rem(item * 7 + seed, 5) == 0, do: :erlang.yield()
        item
      end

      opts = [max_concurrency: workers]
      items = Enum.take(1..400, count)

      Schedulers.balance_work_across_schedulers(items, fun, opts) == items and
        Enum.all?(items, &(:counters.get(calls, &1) == 1))
    end
  end
end
