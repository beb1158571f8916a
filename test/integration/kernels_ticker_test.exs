defmodule Foundation.KernelsTickerTest do
  # Others run while native jobs want every dirty scheduler.
  #
  # Where the machine does other work, its own turns make everybody late: so the bound is wide, and
  # wider where a loop that the VM can interrupt anywhere holds others up.
  use ExUnit.Case

  import Foundation.KernelLoad

  alias Foundation.Ticker

  @lateness_us 20_000
  @callers 2 * System.schedulers_online()

  setup_all do
    make_data()
  end

  defp p99(fun) do
    {_result, late} = Ticker.during(fun)
    # Long enough to say something.
    assert length(late) > 100
    Ticker.percentile(late, 0.99)
  end

  defp together(funs), do: funs |> Enum.map(&Task.async/1) |> Task.await_many(60_000)

  # What this machine does to others beside loops that the VM can interrupt anywhere.
  defp baseline do
    loop = rounds(fn -> Enum.reduce(1..100_000, &(&1 + &2)) end)
    p99(fn -> together(List.duplicate(loop, @callers)) end)
  end

  # Once in ten: a moment of the machine's own is no fault of ours.
  defp in_time?(fun),
    do: Enum.any?(1..10, fn _ -> p99(fun) < max(@lateness_us, 3 * baseline()) end)

  # Work of half a second at least.
  defp rounds(jobs) when is_list(jobs), do: rounds(fn -> Enum.each(jobs, &run/1) end)
  defp rounds(work), do: fn -> rounds(work, System.monotonic_time(:millisecond) + 500) end

  defp rounds(work, until) do
    work.()
    if System.monotonic_time(:millisecond) < until, do: rounds(work, until)
  end

  test "a ticker is on time beside jobs of every kind from more callers than schedulers" do
    jobs = Enum.chunk_every(all(), div(length(all()), @callers) + 1)
    assert in_time?(fn -> together(Enum.map(jobs, &rounds(&1))) end)
  end

  test "a ticker is on time beside one job that has every dirty scheduler" do
    assert in_time?(rounds([{:packed, :sort, [parallel: true]}]))
  end

  test "a ticker is on time while lists come in and go out" do
    work = rounds([{:integers, :sort, []}, {:texts, :compress_many, []}, {:text, :words, []}])
    assert in_time?(fn -> together(List.duplicate(work, @callers)) end)
  end
end
