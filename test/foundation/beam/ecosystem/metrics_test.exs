defmodule Foundation.BEAM.Ecosystem.MetricsTest do
  # What an ecosystem tells of itself in figures, and what is counted where that was asked for.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.{Eventually, OSFiles}

  alias Foundation.BEAM.Ecosystem.{Roster, Samples, Scarcity}
  alias Foundation.{Members, Telemetry}

  @moduletag :capture_log

  def relay([_, _, event], measurements, metadata, test),
    do: send(test, {event, measurements, metadata})

  defp hear(events) do
    events = for event <- events, do: [:foundation, :ecosystem, event]
    :ok = Telemetry.attach_many(__MODULE__, events, &__MODULE__.relay/4, self())
    on_exit(fn -> Telemetry.detach(__MODULE__) end)
  end

  # Far away: the tests bring about what happens at them.
  @intervals [sample_interval: 600_000, snapshot_interval: 600_000]

  defp sampled! do
    ecosystem = Member.ecosystem!(@intervals)
    sample(ecosystem)
    ecosystem
  end

  defp sample(ecosystem) do
    ticker = Roster.get(ecosystem.table, :ticker)
    send(ticker, :sample)
    :sys.get_state(ticker, 30_000)
    # It has been told.
    assert eventually?(fn -> :sys.get_state(ticker, 30_000).sample.open == nil end)
  end

  # Of all events so far.
  defp sum(event, key, sum \\ 0) do
    receive do
      {^event, %{^key => count}, _metadata} -> sum(event, key, sum + count)
    after
      0 -> sum
    end
  end

  # Who was late counts with the next one: what all samples together tell, until it is so much.
  defp sampled(ecosystem, event, key, least, sum \\ 0) do
    sample(ecosystem)
    sum = sum + sum(event, key)
    if sum >= least, do: sum, else: sampled(ecosystem, event, key, least, sum)
  end

  test "metrics are those of info and health, in one map of figures" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    kill(ecosystem, hd(ecosystem.workers))
    worker(ecosystem, 1)
    assert {:ok, metrics} = look_at(ecosystem, &Telemetry.ecosystem_metrics/1)
    {:ok, info} = Processes.ecosystem_info(ecosystem)
    assert metrics.id == ecosystem.id and metrics.topology == :tree and metrics.uptime_ms >= 0
    assert {metrics.status, metrics.coordinator} == {:degraded, :alive}
    assert metrics.workers == %{alive: 3, dead: 0, restarting: 0, unresponsive: 0, total: 3}
    sizes = Enum.map([info.coordinator | info.workers], & &1.memory)
    assert metrics.memory.total >= metrics.memory.max and metrics.memory.max > 0
    assert_in_delta metrics.memory.mean, Enum.sum(sizes) / 4, 10_000
    assert metrics.message_queue_len == %{total: 0, mean: 0, max: 0}
    assert {metrics.failures, metrics.restarts} == {1, 1}
    assert metrics.heal_us.max == metrics.heal_us.mean and metrics.heal_us.max > 0
    assert {metrics.snapshots, metrics.sample} == {%{count: 0, bytes: 0}, nil}
  end

  test "messages of members are counted" do
    hear([:message_processed])
    ecosystem = sampled!()
    id = ecosystem.id
    assert_receive {:message_processed, %{count: 0}, %{id: ^id}}
    assert sampled(ecosystem, :message_processed, :members, 4) >= 4
    for pid <- ecosystem.workers, _ <- 1..100, do: GenServer.call(pid, :opts)
    # The statistics themselves are asked for by system messages, which are none of these.
    assert sampled(ecosystem, :message_processed, :count, 300) == 300
    sample(ecosystem)
    assert_receive {:message_processed, %{count: 0, duration: time}, %{id: ^id}}
    assert time > 0
    assert {:ok, %{sample: %{count: 0, duration: ^time}}} = Telemetry.ecosystem_metrics(ecosystem)
  end

  test "collections of members are counted" do
    hear([:gc_completed])
    ecosystem = sampled!()
    assert_receive {:gc_completed, %{collections: 0}, _metadata}
    # More than fits into the first heap of a process.
    allocate = fn state -> if Enum.sum(Enum.to_list(1..50_000)) > 0, do: state end
    for pid <- ecosystem.workers, do: :sys.replace_state(pid, allocate)
    assert sampled(ecosystem, :gc_completed, :collections, 3) >= 3
    assert sampled(ecosystem, :gc_completed, :heap_bytes, 4 * 233 * 8) >= 4 * 233 * 8
  end

  test "a full collection counts as one, and sets the count back" do
    collections = &Samples.collections(%{minor_gcs: &1}, %{minor_gcs: &2})
    assert {collections.(3, 7), collections.(7, 0), collections.(7, 2)} == {4, 1, 3}
  end

  test "a member that is busy counts with the next sample" do
    hear([:message_processed])
    ecosystem = sampled!()
    assert_receive {:message_processed, %{count: 0}, _metadata}
    sampled(ecosystem, :message_processed, :members, 4)
    busy = hd(ecosystem.workers)
    for _ <- 1..10, do: GenServer.call(busy, :opts)
    Member.hold(busy)
    sample(ecosystem)
    assert sum(:message_processed, :count) == 0
    send(busy, :go)
    GenServer.call(busy, :opts)
    # The cast that held it, and the call after it.
    assert sampled(ecosystem, :message_processed, :count, 12) == 12
  end

  test "members that are busy have one request each, and keep nobody from being counted" do
    hear([:message_processed])
    ecosystem = Member.ecosystem!([count: 30] ++ @intervals)
    [idle | busy] = ecosystem.workers
    sampled(ecosystem, :message_processed, :members, 31)
    for pid <- busy, do: Member.hold(pid)
    for _ <- 1..5, do: GenServer.call(idle, :opts)
    ticker = Roster.get(ecosystem.table, :ticker)
    for _ <- 1..4, do: send(ticker, :sample)
    assert sampled(ecosystem, :message_processed, :count, 5) == 5
    # Whoever was late in that one is counted in one that nobody is late in.
    assert eventually?(fn ->
             sample(ecosystem)
             Roster.get(ecosystem.table, :sample).counted == 2
           end)

    for pid <- busy,
        do: assert(Process.info(pid, :message_queue_len) == {:message_queue_len, 1})

    {:ok, metrics} = Telemetry.ecosystem_metrics(ecosystem)
    # Their memory is known all the same.
    assert %{members: 31, counted: 2} = metrics.sample
    for pid <- busy, do: send(pid, :go)
    assert sampled(ecosystem, :message_processed, :count, 29) == 29
  end

  test "statistics that somebody turns off are turned on again" do
    hear([:message_processed])
    ecosystem = sampled!()
    worker = hd(ecosystem.workers)
    assert eventually?(fn -> is_list(elem(:sys.statistics(worker, :get), 1)) end)
    :sys.statistics(worker, false)

    assert eventually?(fn ->
             sample(ecosystem)
             is_list(elem(:sys.statistics(worker, :get), 1))
           end)
  end

  test "members that are none of OTP's get no message of it" do
    hear([:message_processed])
    config = [workers: {Members.Plain, count: 2, test: self()}] ++ @intervals
    ecosystem = Member.ecosystem!(config)
    sample(ecosystem)

    assert eventually?(fn ->
             sample(ecosystem)
             Roster.get(ecosystem.table, :sample).members == 3
           end)

    # The coordinator alone tells of messages, all of collections.
    assert_receive {:message_processed, %{count: 0, members: 1}, _metadata}
    refute_received {:got, _pid, _message}
  end

  # A container of 1,000 MiB, of which so many are used, in place of the machine's own.
  defp use_memory(ecosystem, root, mib) do
    write(root, Map.merge(cgroup("0::/\n", mount(2)), group("/", 1_000, mib, 0)))
    ticker = Roster.get(ecosystem.table, :ticker)
    :sys.replace_state(ticker, &put_in(&1.scarcity, %{&1.scarcity | root: root, due: nil}))
    sample(ecosystem)
  end

  test "a change of memory's pressure is told once, with what members have" do
    root = root()
    ecosystem = Member.ecosystem!(@intervals)
    id = ecosystem.id
    hear([:memory_pressure])
    use_memory(ecosystem, root, 100)
    refute_received {:memory_pressure, _measurements, _metadata}
    for _ <- 1..2, do: use_memory(ecosystem, root, 800)
    assert_receive {:memory_pressure, measurements, metadata}
    assert metadata == %{id: id, level: :medium, previous: :low, kind: :container}
    assert %{fraction: 0.8, used: 838_860_800, limit: 1_048_576_000, members: 4} = measurements
    {:ok, %{total_memory: total}} = Processes.ecosystem_info(ecosystem)
    assert_in_delta measurements.memory, total, 40_000
    # The same as the monitor's: 0.72 is not far enough below 0.75.
    for mib <- [720, 950], do: use_memory(ecosystem, root, mib)
    assert_receive {:memory_pressure, _measurements, %{id: ^id, level: :high, previous: :medium}}
    use_memory(ecosystem, root, 100)
    assert_receive {:memory_pressure, _measurements, %{id: ^id, level: :low, previous: :high}}
    refute_received {:memory_pressure, _measurements, _metadata}
  end

  test "memory is looked at once a second at most" do
    root = write(root(), Map.merge(cgroup("0::/\n", mount(2)), group("/", 1_000, 800, 0)))

    assert {{_measurements, %{level: :medium}}, state} =
             Scarcity.look(%{Scarcity.new() | root: root}, 5_000)

    write(root, group("/", 1_000, 100, 0))
    assert {nil, ^state} = Scarcity.look(state, 5_999)
    assert {{_measurements, %{level: :low, previous: :medium}}, _} = Scarcity.look(state, 6_000)
  end

  test "without an interval nothing is counted" do
    ecosystem = Member.ecosystem!()
    assert Roster.get(ecosystem.table, :ticker) == nil
    assert {:ok, :no_statistics} = :sys.statistics(hd(ecosystem.workers), :get)
  end

  test "a change of the topology is told" do
    hear([:topology_changed])
    ecosystem = Member.ecosystem!()
    id = ecosystem.id
    for topology <- [:ring, :ring], do: Processes.set_topology(ecosystem, topology)
    assert_receive {:topology_changed, %{count: 1}, metadata}
    assert metadata == %{id: id, topology: :ring, previous: :tree}
    refute_received {:topology_changed, _measurements, _metadata}
  end
end
