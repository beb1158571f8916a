# `balance_work_across_schedulers/3` beside one process, beside `Task.async_stream/3`, and beside a
# task for each scheduler with an equal share.
#
#     mix run bench/schedulers.exs balance
#
# The uneven work comes in two orders: spread (every tenth item takes twenty times as long), and
# with all the long ones at the front, where equal shares give nearly everything to one process. Each
# ratio is the time of the other way over ours.

defmodule Bench.Schedulers.Balance do
  alias Foundation.BEAM.Schedulers

  def run do
    spread = for n <- 1..400, do: if(rem(n, 10) == 0, do: 100, else: 5)
    uneven("spread", spread)
    uneven("long_first", Enum.sort(spread, :desc))
    tiny()
    few()
    walk()
  end

  defp uneven(name, items) do
    times =
      Bench.compare("400 uneven items, #{name}", [
        {"balance", fn -> Schedulers.balance_work_across_schedulers(items, &work/1) end},
        {"balance, pinned",
         fn -> Schedulers.balance_work_across_schedulers(items, &work/1, pin: true) end},
        {"Enum.map", fn -> Enum.map(items, &work/1) end},
        {"Task.async_stream", fn -> items |> Task.async_stream(&work/1) |> results() end},
        {"a Task for each share", fn -> shares(items) end}
      ])

    ours = times["balance"]
    Bench.ratio("#{name}_one_process", times["Enum.map"] / ours)
    Bench.ratio("#{name}_one_process_pinned", times["Enum.map"] / times["balance, pinned"])
    Bench.ratio("#{name}_async_stream", times["Task.async_stream"] / ours)
    Bench.ratio("#{name}_shares", times["a Task for each share"] / ours)
  end

  # What the call itself costs: 100,000 items that take nothing.
  defp tiny do
    items = Enum.to_list(1..100_000)

    times =
      Bench.compare(
        "100,000 tiny items",
        [
          {"balance", fn -> Schedulers.balance_work_across_schedulers(items, &(&1 + 1)) end},
          {"Enum.map", fn -> Enum.map(items, &(&1 + 1)) end},
          {"Task.async_stream", fn -> items |> Task.async_stream(&(&1 + 1)) |> results() end}
        ],
        rounds: 5
      )

    Bench.ratio("tiny_async_stream", times["Task.async_stream"] / times["balance"])
    Bench.ratio("tiny_enum_map", times["Enum.map"] / times["balance"])
  end

  defp few do
    times =
      Bench.compare("4 tiny items", [
        {"balance", fn -> Schedulers.balance_work_across_schedulers([1, 2, 3, 4], &(&1 + 1)) end},
        {"Task.async, await_many",
         fn -> [1, 2, 3, 4] |> Enum.map(&task/1) |> Task.await_many() end}
      ])

    Bench.ratio("few_tasks", times["Task.async, await_many"] / times["balance"])
  end

  defp walk do
    items = Enum.to_list(1..100_000)

    times =
      Bench.compare("a walk through 100,000 items", [
        {"Enum.each", fn -> Enum.each(items, &(&1 + 1)) end},
        {"yield_every 500",
         fn -> items |> Schedulers.yield_every(500) |> Enum.each(&(&1 + 1)) end},
        {"yield_every 2000",
         fn -> items |> Schedulers.yield_every(2_000) |> Enum.each(&(&1 + 1)) end},
        {"Stream.map", fn -> items |> Stream.map(& &1) |> Enum.each(&(&1 + 1)) end}
      ])

    Bench.ratio("yield_every_2000_stream_map", times["Stream.map"] / times["yield_every 2000"])
  end

  defp task(item), do: Task.async(fn -> item + 1 end)

  defp shares(items) do
    items
    |> Enum.chunk_every(ceil(length(items) / System.schedulers_online()))
    |> Enum.map(fn share -> Task.async(fn -> Enum.map(share, &work/1) end) end)
    |> Task.await_many()
    |> Enum.concat()
  end

  defp results(stream), do: Enum.map(stream, fn {:ok, result} -> result end)

  # About 13 us for each unit, without garbage.
  defp work(units), do: Enum.reduce(1..(units * 1_000), 0, &rem(&2 * 31 + &1, 1_000_003))
end
