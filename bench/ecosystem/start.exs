# Ecosystems beside what they are built on: the start of so many workers against
# `DynamicSupervisor.start_link/1` and a loop of `start_child/2`, coordinator included; memory of an idle
# worker against that of a bare GenServer; and how long a killed coordinator is missed.
#
#     mix run bench/ecosystem/start.exs [count ...]
#
# Every `init` has returned before either start does. Candidates take turns, each in a process of its
# own, and are ended untimed.

Code.require_file("../support/bench.exs", __DIR__)

defmodule Bench.Ecosystem.Member do
  use GenServer
  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @impl true
  def init(opts), do: {:ok, {opts[:role], opts[:told]}}

  @impl true
  def handle_info({:coordinator_changed, pid}, {role, told}) do
    if told, do: send(told, {:told, role, pid})
    {:noreply, {role, told}}
  end
end

defmodule Bench.Ecosystem.Start do
  alias Bench.Ecosystem.Member
  alias Foundation.BEAM.Processes

  @rounds 15

  def run(counts) do
    Enum.each(counts, &start/1)
    memory(10_000)
    recovery(1_000)
  end

  defp start(count) do
    candidates = [
      {:ecosystem, fn -> ecosystem(count) end},
      {:self_healing, fn -> ecosystem(count, fault_tolerance: :self_healing) end},
      {:plain, fn -> plain(count) end},
      {:bare, fn -> bare(count) end}
    ]

    for {_name, candidate} <- candidates, do: once(candidate)

    times =
      for _ <- 1..rounds(count), {name, candidate} <- candidates, do: {name, once(candidate)}

    times = Enum.group_by(times, &elem(&1, 0), &elem(&1, 1))
    IO.puts("\n#{count} workers: median (least)")

    for {name, _} <- candidates do
      {median, least} = {Bench.median(times[name]), Enum.min(times[name])}

      IO.puts(
        "  #{String.pad_trailing("#{name}", 14)} #{Bench.duration(median)} (#{Bench.duration(least)})"
      )
    end

    plain = Bench.median(times.plain)
    Bench.ratio("start_#{count}", Bench.median(times.ecosystem) / plain)
    Bench.ratio("start_#{count}_self_healing", Bench.median(times.self_healing) / plain)
    Bench.ratio("start_#{count}_least", Enum.min(times.ecosystem) / Enum.min(times.plain))
  end

  defp rounds(count) when count <= 100, do: 20 * @rounds
  defp rounds(_count), do: @rounds

  defp once(candidate), do: measured(candidate, fn -> System.monotonic_time(:nanosecond) end)

  # In a process of its own, whose heap has nothing of the last round: how much more that function gives
  # when the candidate is there.
  defp measured(candidate, figure) do
    parent = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        before = figure.()
        stop = candidate.()
        send(parent, {:more, figure.() - before})
        stop.()
      end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    end

    receive do
      {:more, more} -> more
    end
  end

  defp ecosystem(count, more \\ []) do
    config = Map.new([coordinator: Member, workers: {Member, count: count}] ++ more)
    {:ok, ecosystem} = Processes.spawn_ecosystem(config)
    fn -> :ok = Processes.shutdown_ecosystem(ecosystem) end
  end

  defp plain(count) do
    {:ok, supervisor} = DynamicSupervisor.start_link(strategy: :one_for_one)
    {:ok, coordinator} = DynamicSupervisor.start_child(supervisor, {Member, role: :coordinator})
    children(supervisor, coordinator, 1, count)
    fn -> DynamicSupervisor.stop(supervisor) end
  end

  defp children(_supervisor, _coordinator, number, count) when number > count, do: :ok

  defp children(supervisor, coordinator, number, count) do
    arg = [ecosystem_id: 1, role: {:worker, number}, worker_id: number, coordinator: coordinator]
    {:ok, _pid} = DynamicSupervisor.start_child(supervisor, {Member, arg})
    children(supervisor, coordinator, number + 1, count)
  end

  defp bare(count) do
    pids = for number <- 0..count, do: elem(Member.start_link(role: {:worker, number}), 1)
    fn -> Enum.each(pids, &GenServer.stop/1) end
  end

  # What the VM has more with them, everything of the ecosystem included.
  defp memory(count) do
    candidates = [
      bare: fn -> bare(count) end,
      plain: fn -> plain(count) end,
      ecosystem: fn -> ecosystem(count) end,
      self_healing: fn -> ecosystem(count, fault_tolerance: :self_healing) end
    ]

    # The first round pays for what the VM keeps.
    [_first | rounds] = for _ <- 0..5, do: for({_name, start} <- candidates, do: bytes(start))

    sizes =
      for {name, sizes} <- Enum.zip(Keyword.keys(candidates), Enum.zip(rounds)),
          into: %{},
          do: {name, Bench.median(Tuple.to_list(sizes)) / count}

    IO.puts("\nbytes for each of #{count} idle workers, supervisors and tables with them")

    for {name, size} <- sizes,
        do: IO.puts("  #{String.pad_trailing("#{name}", 14)} #{round(size)}")

    Bench.ratio("memory_bare", sizes.ecosystem / sizes.bare)
    Bench.ratio("memory_bare_self_healing", sizes.self_healing / sizes.bare)
    Bench.ratio("memory_plain", sizes.ecosystem / sizes.plain)

    {:ok, ecosystem} = Processes.spawn_ecosystem(coordinator: Member, workers: {Member, []})
    {:ok, alone} = Member.start_link(role: {:worker, 1})
    {:memory, worker} = Process.info(hd(ecosystem.workers), :memory)
    {:memory, alone} = Process.info(alone, :memory)
    IO.puts("bytes of the process alone: #{worker}, of a bare GenServer #{alone}")
    Bench.ratio("memory_process", worker / alone)
    Processes.shutdown_ecosystem(ecosystem)
  end

  defp bytes(candidate), do: measured(candidate, &settled/0)

  # Garbage of supervisors is not theirs to keep.
  defp settled do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    :erlang.memory(:total)
  end

  defp recovery(count) do
    {:ok, ecosystem} =
      Processes.spawn_ecosystem(
        coordinator: Member,
        workers: {Member, count: count, told: self()},
        fault_tolerance: :self_healing,
        max_restarts: 1_000
      )

    times = for _ <- 1..@rounds, do: kill(ecosystem, count)
    {back, told} = Enum.unzip(times)
    IO.puts("\na killed coordinator, of #{count} workers: median (most)")

    IO.puts(
      "  back after     #{Bench.duration(Bench.median(back))} (#{Bench.duration(Enum.max(back))})"
    )

    IO.puts(
      "  all told after #{Bench.duration(Bench.median(told))} (#{Bench.duration(Enum.max(told))})"
    )

    Bench.ratio("coordinator_back_ms", Bench.median(back) / 1_000_000)
    Bench.ratio("all_told_ms", Bench.median(told) / 1_000_000)
    Processes.shutdown_ecosystem(ecosystem)
  end

  # Seen by whoever asks all the time, which is one more process that runs.
  defp kill(ecosystem, count) do
    {:ok, %{coordinator: old}} = Processes.current(ecosystem)
    begun = System.monotonic_time(:nanosecond)
    Process.exit(old, :kill)
    back(ecosystem, old)
    back = System.monotonic_time(:nanosecond) - begun
    for _ <- 1..count, do: receive(do: ({:told, _role, _pid} -> :ok))
    {back, System.monotonic_time(:nanosecond) - begun}
  end

  defp back(ecosystem, old) do
    case Foundation.BEAM.EcosystemSupervisor.get_coordinator(ecosystem) do
      {:ok, pid} when pid != old -> pid
      _not_yet -> back(ecosystem, old)
    end
  end
end

counts =
  case System.argv() do
    [] -> [10, 100, 1_000, 10_000]
    counts -> Enum.map(counts, &String.to_integer/1)
  end

Bench.Ecosystem.Start.run(counts)
