defmodule Foundation.TickerTest do
  # The measure by which others are judged.
  use ExUnit.Case, async: false

  alias Foundation.Ticker

  defp now, do: System.monotonic_time(:millisecond)

  # Keeps this process busy, not the others.
  defp pass(ms), do: until(now() + ms)
  defp until(time), do: now() >= time || until(time)

  # The ticks, and the milliseconds that went by in the function and around it all: so many ticks
  # there are at least, and at most.
  defp during(fun) do
    from = now()

    {inside, late} =
      Ticker.during(fn ->
        from = now()
        fun.()
        now() - from
      end)

    {late, inside, now() - from}
  end

  # The ticker stands still while the function runs.
  defp stalled(fun) do
    [ticker] = elem(Process.info(self(), :links), 1) -- Process.get(:links)
    :erlang.suspend_process(ticker)
    fun.()
    :erlang.resume_process(ticker)
  end

  setup do
    Process.put(:links, elem(Process.info(self(), :links), 1))
    :ok
  end

  test "there are as many ticks as milliseconds, whatever is late" do
    for fun <- [fn -> pass(50) end, fn -> stalled(fn -> pass(50) end) end] do
      {late, least, most} = during(fun)
      # Of a millisecond that has begun the tick may be there or not.
      assert length(late) in (least - 1)..(most + 1)
      assert late == Enum.sort(late)
      assert Enum.all?(late, &(&1 >= 0))
    end
  end

  test "every tick that a stall swallows is counted, each by what it waited" do
    for after_it <- [fn -> pass(30) end, fn -> :ok end] do
      {late, _inside, took} =
        during(fn ->
          stalled(fn -> pass(200) end)
          after_it.()
        end)

      # The first waited for all of it, the next one a millisecond less.
      assert Ticker.worst(late) >= 199_000
      for ms <- [50, 100, 150], do: assert(Enum.count(late, &(&1 >= ms * 1_000)) >= 199 - ms)
      # Half of the ticks, where nothing but the stall and what came after it took time.
      assert Ticker.percentile(late, 0.5) >= 70_000 or took > 240
    end
  end

  test "percentiles and the worst of few values" do
    assert Ticker.percentile([1, 2, 3, 4], 0.5) == 2
    assert Ticker.percentile([1, 2, 3, 4], 0.99) == 4
    assert Ticker.percentile([7], 0.01) == 7
    assert Ticker.worst([1, 2, 3]) == 3
    assert Ticker.worst([]) == 0
  end
end
