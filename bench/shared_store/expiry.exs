defmodule Bench.Store.Expiry do
  @moduledoc false

  # A million entries end in the same second. Meanwhile a process on each scheduler sleeps a
  # millisecond again and again: how late it wakes is how long its scheduler was not to be had.

  import Bench.Turns, only: [title: 1, note: 2]

  alias Bench.Side.Store
  alias Bench.Turns
  alias Foundation.BEAM.SharedStore

  @entries 1_000_000
  # Enough to put them all.
  @lead 15_000
  @idle 3_000
  @limit 60_000

  def run do
    store = Store.new()
    ends = now() + @lead
    fill(store, ends)
    # All are there, and none has ended yet.
    true = SharedStore.size(store) == @entries
    true = now() + @idle < ends
    idle = lateness(fn -> wait(@idle) end)
    wait(ends - now())
    freeing = lateness(fn -> wait_until_empty(store, now() + @limit) end)
    report(idle, freeing)
    {:ok, stats} = SharedStore.stats(store)
    note("expirations", stats.expirations)
    Store.drop(store)
  end

  defp report({idle, _}, {freeing, took}) do
    title("#{@entries} entries that end in one second, freed in #{took} ms")

    for {text, ticks} <- [idle: idle, freeing: freeing], {scheduler, late, over} <- ticks do
      note("#{text}, scheduler #{scheduler}, latest", Bench.duration(late))
      note("#{text}, scheduler #{scheduler}, over 2 ms late", "#{over} times")
    end

    Bench.ratio("expiry_idle_latest_ms", latest(idle) / 1_000_000)
    Bench.ratio("expiry_freeing_latest_ms", latest(freeing) / 1_000_000)
  end

  defp latest(ticks), do: ticks |> Enum.map(&elem(&1, 1)) |> Enum.max()

  # The deadlines are spread over half a second.
  defp fill(store, ends) do
    Turns.parallel(fn index, count ->
      for key <- index..(@entries - 1)//count do
        ttl = max(ends + rem(key, 500) - now(), 0)
        :ok = SharedStore.put(store, key, Turns.value(key), ttl: ttl)
      end

      :ok
    end)
  end

  defp lateness(during) do
    tickers = for scheduler <- 1..System.schedulers_online(), do: ticker(scheduler)
    start = now()
    during.()
    took = now() - start
    for {_, pid} <- tickers, do: send(pid, :stop)
    ticks = for {scheduler, pid} <- tickers, do: receive(do: ({^pid, l, o} -> {scheduler, l, o}))
    {ticks, took}
  end

  defp ticker(scheduler) do
    parent = self()

    pid =
      spawn_link(fn ->
        # Undocumented, and what there is to stay on one scheduler.
        :erlang.process_flag(:scheduler, scheduler)
        tick(parent, 0, 0)
      end)

    {scheduler, pid}
  end

  # A timer of one millisecond fires within the next one, so that up to two are no lateness.
  defp tick(parent, latest, over) do
    start = System.monotonic_time(:nanosecond)

    receive do
      :stop -> send(parent, {self(), latest, over})
    after
      1 ->
        late = max(System.monotonic_time(:nanosecond) - start - 2_000_000, 0)
        tick(parent, max(late, latest), if(late > 2_000_000, do: over + 1, else: over))
    end
  end

  defp wait_until_empty(store, limit) do
    {:ok, stats} = SharedStore.stats(store)

    cond do
      stats.expirations >= @entries -> :ok
      now() > limit -> raise "#{stats.expirations} of #{@entries} freed"
      true -> wait(20) && wait_until_empty(store, limit)
    end
  end

  defp wait(ms), do: receive(after: (max(ms, 0) -> :ok))
  defp now, do: System.monotonic_time(:millisecond)
end
