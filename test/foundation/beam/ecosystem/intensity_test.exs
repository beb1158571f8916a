defmodule Foundation.BEAM.Ecosystem.IntensityTest do
  # One worker that fails again and again ends an ecosystem of many as it would one of few.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Events
  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Intensity, Roster}

  @moduletag :capture_log

  # However long the machine takes, it is within that time.
  @many [count: 300, fault_tolerance: :self_healing, shutdown_timeout: 200, max_seconds: 600]

  # It is back, and the steward has written that down.
  defp fail(ecosystem, number, reason) do
    pid = worker(ecosystem, number)
    before = failures(ecosystem)
    Member.stop(pid, reason)
    ended(pid)
    assert eventually?(fn -> failures(ecosystem) == before + 1 end)
  end

  test "the fourth failure of one worker within max_seconds is the end, and says why" do
    listen([:foundation, :ecosystem, :stopped])

    log =
      capture_log(fn ->
        ecosystem = Member.ecosystem!([id: :often] ++ @many, test: nil)
        for n <- 1..3, do: fail(ecosystem, 7, {:crash, n})
        # Of two others, which their supervisor counts with those.
        for n <- 8..9, do: fail(ecosystem, n, :other)
        worker = worker(ecosystem, 7)
        monitor = Process.monitor(ecosystem.supervisor)
        Member.stop(worker, {:crash, 4})
        assert_receive {:DOWN, ^monitor, :process, _pid, :shutdown}, 5_000
        assert_receive {:event, _, %{failures: 6}, metadata}
        assert metadata.reason == {:max_restarts, {:worker, 7}, {:crash, 4}}
      end)

    assert log =~
             "ecosystem :often ends: {:worker, 7} has failed more often than max_restarts allows"

    assert log =~ "{:worker, 7} failed: {:crash, 4}"
    assert Processes.whereis(:often) == nil
  end

  test "restarts that fail count: a worker whose init fails each time" do
    listen([:foundation, :ecosystem, :stopped])
    counter = :atomics.new(1, [])
    member = [at: [{:worker, 7}], init: :hang, armed: counter]
    ecosystem = Member.ecosystem!(@many, member)
    monitor = Process.monitor(ecosystem.supervisor)
    :atomics.put(counter, 1, 1_000)
    steward = Roster.get(ecosystem.table, :steward)
    Process.exit(worker(ecosystem, 7), :kill)
    assert kill_each(steward, 0) == 3
    # In the middle of an init, by killing.
    assert_receive {:DOWN, ^monitor, :process, _pid, :killed}, 5_000
    assert_receive {:event, _, %{failures: 1}, metadata}
    assert metadata.reason == {:max_restarts, {:worker, 7}, :killed}
  end

  # Each is held in its init, and fails there when the steward has heard of the one before.
  defp kill_each(steward, killed) do
    assert_receive {:hangs, {:worker, 7}, pid}, 5_000

    if over?(steward) do
      killed
    else
      Process.exit(pid, :kill)
      kill_each(steward, killed + 1)
    end
  end

  # It may even have ended.
  defp over?(steward) do
    :sys.get_state(steward).over != nil
  catch
    :exit, _ended -> true
  end

  test "that many failures of as many workers are none of it" do
    ecosystem = Member.ecosystem!(@many, test: nil)
    for n <- 1..8, do: fail(ecosystem, n, :once)
    assert {:ok, %{status: :degraded, failures: 8}} = Processes.ecosystem_health(ecosystem)
    assert Process.alive?(ecosystem.supervisor)
  end

  test "max_restarts, where it is given, is what counts" do
    ecosystem = Member.ecosystem!([max_restarts: 6] ++ @many, test: nil)
    for n <- 1..6, do: fail(ecosystem, 7, n)
    worker = worker(ecosystem, 7)
    monitor = Process.monitor(ecosystem.supervisor)
    Member.stop(worker, 7)
    assert_receive {:DOWN, ^monitor, :process, _pid, reason}, 5_000
    assert reason in [:shutdown, :noproc]
  end

  test "all workers of an ecosystem may fail at once, and not once more" do
    ecosystem = Member.ecosystem!(@many, test: nil)
    parts = Roster.plan(ecosystem.table).parts
    for pid <- ecosystem.workers, do: Process.exit(pid, :kill)

    assert eventually?(fn ->
             failures(ecosystem) == 300 and length(elem(members(ecosystem), 1)) == 300
           end)

    monitor = Process.monitor(ecosystem.supervisor)
    # Each supervisor has a share of them.
    share = div(300 + parts - 1, parts)
    for n <- 1..(1 + parts * (share - div(300, parts))), do: kill_once(ecosystem, 1 + parts * n)
    assert_receive {:DOWN, ^monitor, :process, _pid, reason}, 5_000
    assert reason in [:shutdown, :noproc]
  end

  defp kill_once(ecosystem, number) do
    with %{} = row <- Roster.member(ecosystem.table, number) |> then(&%{pid: elem(&1, 1)}),
         do: Process.exit(row.pid, :kill)
  end

  describe "the count" do
    defp count(times, window), do: count(times, window, Intensity.new(), [])
    defp count([], _window, _counts, results), do: Enum.reverse(results)

    defp count([{number, at} | rest], window, counts, results) do
      {result, counts} = Intensity.count(counts, number, at, window)
      count(rest, window, counts, [result | results])
    end

    test "is of each for itself, within the time" do
      assert count([{1, 0}, {1, 1}, {1, 2}, {1, 3}], 10) == [:within, :within, :within, :over]

      assert count([{1, 0}, {1, 1}, {1, 2}, {1, 10}, {1, 10}], 10) ==
               [:within, :within, :within, :within, :over]

      assert count(for(n <- 1..10, at <- 1..3, do: {n, at}), 10) == List.duplicate(:within, 30)
    end

    test "forgets who has not failed for long" do
      counts =
        Enum.reduce(1..10_000, Intensity.new(), fn n, counts ->
          {:within, counts} = Intensity.count(counts, n, n, 10)
          counts
        end)

      assert map_size(counts.times) < 200
    end
  end
end
