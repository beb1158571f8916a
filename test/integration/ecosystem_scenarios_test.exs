defmodule Foundation.EcosystemScenariosTest do
  # The life of an ecosystem as its users see it: with its public functions and the test helpers only.
  use ExUnit.Case, async: false
  use Foundation.Property
  use Foundation.Ecosystems

  import Foundation.ConcurrentTestHelpers

  @moduletag :capture_log

  defmodule Loop do
    @moduledoc "A coordinator without any of OTP's behaviours."
    def start_link(_opts), do: {:ok, spawn_link(&loop/0)}

    defp loop do
      receive do
        {:test_message, _data, caller} ->
          send(caller, {:message_processed, :coordinator})
          loop()

        {:work_request, from, work} ->
          send(from, {:work_assigned, work})
          loop()

        :shutdown ->
          :ok
      end
    end
  end

  test "creation and shutdown" do
    {:ok, ecosystem} =
      Processes.spawn_ecosystem(%{coordinator: Member, workers: {Member, count: 5}})

    assert Process.alive?(ecosystem.coordinator)
    assert length(ecosystem.workers) == 5
    assert Enum.all?(ecosystem.workers, &Process.alive?/1)

    assert Processes.shutdown_ecosystem(ecosystem) == :ok
    refute Process.alive?(ecosystem.coordinator)
    assert verify_ecosystem_cleanup(ecosystem) == :ok
  end

  test "a coordinator heals itself" do
    {:ok, ecosystem} =
      Processes.spawn_ecosystem(%{
        coordinator: Member,
        workers: {Member, count: 3},
        fault_tolerance: :self_healing
      })

    original_coordinator = ecosystem.coordinator
    Process.exit(original_coordinator, :kill)

    assert_eventually(fn ->
      {:ok, info} = Processes.ecosystem_info(ecosystem)

      info.coordinator.pid != original_coordinator and
        Process.alive?(info.coordinator.pid)
    end)

    # And its workers are those that there were.
    {:ok, healed} = Processes.current(ecosystem)
    assert healed.workers == ecosystem.workers
    :ok = Processes.shutdown_ecosystem(ecosystem)
  end

  test "a coordinator that is a loop of receive: messages, healing, end" do
    {:ok, ecosystem} =
      Processes.spawn_ecosystem(%{
        coordinator: Loop,
        workers: {Member, count: 2},
        fault_tolerance: :self_healing
      })

    send(ecosystem.coordinator, {:test_message, %{some: :data}, self()})
    assert_receive {:message_processed, :coordinator}
    send(ecosystem.coordinator, {:work_request, self(), :work})
    assert_receive {:work_assigned, :work}

    monitor = Process.monitor(ecosystem.coordinator)
    send(ecosystem.coordinator, :shutdown)
    assert_receive {:DOWN, ^monitor, :process, _pid, :normal}

    assert_eventually(fn ->
      {:ok, now} = Processes.current(ecosystem)
      now.coordinator != ecosystem.coordinator and Process.alive?(now.coordinator)
    end)

    {:ok, now} = Processes.current(ecosystem)
    send(now.coordinator, {:test_message, %{some: :data}, self()})
    assert_receive {:message_processed, :coordinator}
    :ok = Processes.shutdown_ecosystem(ecosystem)
    assert verify_ecosystem_cleanup(now) == :ok
  end

  property "memory of each process is bounded, however many there are", runs: 60 do
    strategies = [:default, :isolated_heaps, :shared_binaries, :frequent_gc, :low_latency]

    forall {count, strategy} <- {integer(1, 20), oneof(strategies)} do
      {:ok, ecosystem} =
        Processes.spawn_ecosystem(%{
          coordinator: Member,
          workers: {Member, count: count},
          memory_strategy: strategy
        })

      {:ok, info} = Processes.ecosystem_info(ecosystem)
      :ok = Processes.shutdown_ecosystem(ecosystem)

      info.total_processes == count + 1 and info.total_memory / info.total_processes < 200_000 and
        Enum.all?([info.coordinator | info.workers], &(&1.memory < 200_000))
    end
  end

  test "what one member holds is its own: the others' memory stays what it was" do
    {:ok, ecosystem} =
      Processes.spawn_ecosystem(%{
        coordinator: Member,
        workers: {Member, count: 4},
        memory_strategy: :isolated_heaps
      })

    # Each monitor of the steward's is a little of a member's memory.
    settle(ecosystem)
    [first | others] = ecosystem.workers
    before = memory(ecosystem)
    :sys.replace_state(first, fn opts -> [{:held, Enum.to_list(1..200_000)} | opts] end)
    later = memory(ecosystem)
    assert later[first] > before[first] + 3_000_000
    assert Enum.all?(others, &(later[&1] == before[&1]))
    assert later[ecosystem.coordinator] == before[ecosystem.coordinator]

    # With the process its memory goes.
    assert kill(first) == :killed

    assert_eventually(fn ->
      {:ok, info} = Processes.ecosystem_info(ecosystem)
      info.total_memory < 1_000_000 and info.total_processes == 4
    end)

    :ok = Processes.shutdown_ecosystem(ecosystem)
  end

  defp memory(ecosystem) do
    {:ok, info} = Processes.ecosystem_info(ecosystem)
    Map.new([info.coordinator | info.workers], &{&1.pid, &1.memory})
  end
end
