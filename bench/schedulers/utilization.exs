# `get_scheduler_utilization/1` beside OTP's own `:scheduler.utilization/2` in the same window, and what
# it costs.
#
#     mix run bench/schedulers.exs utilization

defmodule Bench.Schedulers.Utilization do
  alias Foundation.BEAM.Schedulers

  @window_ms 1_000

  def run do
    with_runtime_tools()

    IO.puts(
      "\ndifference from :scheduler in the same window, percentage points (most of all schedulers)"
    )

    worst =
      for {name, load} <- [
            {"nothing", fn -> :ok end},
            {"a loop", &loop/0},
            {"a loop half of the time", &half/0},
            {"loops on every scheduler", fn -> on_all(&loop/0) end}
          ] do
        difference(name, load)
      end

    IO.puts("POINTS utilization_difference #{Float.round(Enum.max(worst), 3)}")
    cost()
    clocks()
  end

  defp difference(name, load) do
    worker = spawn(load)
    # Theirs begins before ours and ends after it, by microseconds.
    :erlang.system_flag(:scheduler_wall_time, true)
    from = :scheduler.sample_all()
    ours = Schedulers.get_scheduler_utilization(sample_ms: @window_ms)
    to = :scheduler.sample_all()
    :erlang.system_flag(:scheduler_wall_time, false)
    Process.exit(worker, :kill)

    known = Map.new(ours.individual ++ ours.dirty_cpu.individual ++ ours.dirty_io.individual)

    points =
      for {kind, id, share, _text} <- :scheduler.utilization(from, to),
          kind in [:normal, :cpu, :io],
          Map.has_key?(known, id),
          do: abs(share - known[id]) * 100

    most = Enum.max(points)

    IO.puts(
      "  #{String.pad_trailing(name, 30)}#{Float.round(most, 3)}  (average #{Float.round(ours.average, 3)})"
    )

    most
  end

  # What a call takes beside the time that it waits.
  defp cost do
    beside =
      for _ <- 1..200 do
        {micros, usage} = :timer.tc(fn -> Schedulers.get_scheduler_utilization(sample_ms: 1) end)

        micros - usage.window_ms * 1_000
      end

    {_, reductions} =
      Schedulers.reductions(fn -> Schedulers.get_scheduler_utilization(sample_ms: 1) end)

    IO.puts(
      "\na call beside its window: #{Float.round(Bench.median(beside), 1)} us, " <>
        "#{reductions} reductions of the caller"
    )

    IO.puts("US utilization_call #{Float.round(Bench.median(beside), 1)}")
  end

  # The clocks are read at each change of process while somebody asks for them.
  defp clocks do
    partner = spawn_link(&echo/0)

    ask = fn ->
      send(partner, self())
      receive do: (:echo -> :ok)
    end

    {without, with_clocks} = Enum.unzip(for _ <- 1..15, do: {held(false, ask), held(true, ask)})

    {off, on} = {Bench.median(without), Bench.median(with_clocks)}
    IO.puts("a message there and back: #{Bench.duration(off)}, with clocks #{Bench.duration(on)}")
    Bench.ratio("utilization_clocks", on / off)
  end

  defp held(flag, ask) do
    :erlang.system_flag(:scheduler_wall_time, flag)
    time = Bench.time(ask, 10_000)
    :erlang.system_flag(:scheduler_wall_time, false)
    time
  end

  defp echo do
    receive do: (pid -> send(pid, :echo))
    echo()
  end

  defp on_all(fun) do
    for _ <- 2..System.schedulers_online()//1, do: spawn_link(fun)
    fun.()
  end

  defp loop, do: loop(1)
  defp loop(n), do: loop(rem(n * 31 + 7, 1_000_003))

  defp half do
    Enum.reduce(1..200_000, 1, &rem(&1 + &2, 1_000_003))
    Process.sleep(2)
    half()
  end

  # Elixir 1.15 and newer leave applications out of the code path that nobody has named.
  defp with_runtime_tools do
    if function_exported?(Mix, :ensure_application!, 1),
      do: apply(Mix, :ensure_application!, [:runtime_tools])
  end
end
