defmodule Foundation.BEAM.Ecosystem.MetricsTest do
  # What an ecosystem tells of itself in figures, and what is counted where that was asked for.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.OSFiles

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

  defp sampled! do
    # Far away: the tests bring about what happens at it.
    ecosystem = Member.ecosystem!(sample_interval: 600_000)
    sample(ecosystem)
    ecosystem
  end

  defp sample(ecosystem) do
    ticker = Roster.get(ecosystem.table, :ticker)
    send(ticker, :sample)
    :sys.get_state(ticker)
  end

  test "metrics are those of info and health, in one map of figures" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    kill(ecosystem, hd(ecosystem.workers))
    worker(ecosystem, 1)
    assert {:ok, metrics} = Telemetry.ecosystem_metrics(ecosystem)
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
    assert_receive {:message_processed, %{count: 0, members: 4}, %{id: ^id}}
    for pid <- ecosystem.workers, _ <- 1..100, do: GenServer.call(pid, :opts)
    sample(ecosystem)
    # The statistics themselves are asked for by system messages, which are none of these.
    assert_receive {:message_processed, %{count: 300, members: 4, duration: time}, %{id: ^id}}
    assert time > 0
    assert {:ok, %{sample: %{count: 300}}} = Telemetry.ecosystem_metrics(ecosystem)
  end

  test "collections of members are counted" do
    hear([:gc_completed])
    ecosystem = sampled!()
    assert_receive {:gc_completed, %{collections: 0}, _metadata}
    # More than fits into the first heap of a process.
    allocate = fn state -> if Enum.sum(Enum.to_list(1..50_000)) > 0, do: state end
    for pid <- ecosystem.workers, do: :sys.replace_state(pid, allocate)
    sample(ecosystem)

    assert_receive {:gc_completed, %{collections: count, heap_bytes: bytes, members: 4},
                    _metadata}

    assert count >= 3 and bytes >= 4 * 233 * 8
  end

  test "a full collection counts as one, and sets the count back" do
    assert Samples.collections(3, 7) == 4
    assert Samples.collections(7, 0) == 1
    assert Samples.collections(7, 2) == 3
  end

  test "a member that is busy counts with the next sample" do
    hear([:message_processed])
    ecosystem = sampled!()
    assert_receive {:message_processed, %{count: 0}, _metadata}
    busy = hd(ecosystem.workers)
    for _ <- 1..10, do: GenServer.call(busy, :opts)
    Member.hold(busy)
    sample(ecosystem)
    assert_receive {:message_processed, %{count: 0}, _metadata}
    send(busy, :go)
    GenServer.call(busy, :opts)
    sample(ecosystem)
    # The cast that held it, and the call after it.
    assert_receive {:message_processed, %{count: 12}, _metadata}
  end

  test "members that are none of OTP's get no message of it" do
    hear([:message_processed])
    config = [workers: {Members.Plain, count: 2, test: self()}, sample_interval: 600_000]
    ecosystem = Member.ecosystem!(config)
    for _ <- 1..2, do: sample(ecosystem)
    assert_receive {:message_processed, %{count: 0, members: 3}, _metadata}
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
    ecosystem = Member.ecosystem!(sample_interval: 600_000)
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
