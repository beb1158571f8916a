defmodule Foundation.BEAM.Ecosystem.SuccessorTest do
  # What a steward that comes after another makes good: nobody heard of what happened in between.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Failures, Roster}

  @moduletag :capture_log

  # Whatever the function brings about, the steward ends without having heard of it.
  defp unheard(ecosystem, fun) do
    steward = Roster.get(ecosystem.table, :steward)
    :erlang.suspend_process(steward)
    fun.()
    Process.exit(steward, :kill)
    ended(steward)
    assert eventually?(fn -> Roster.get(ecosystem.table, :steward) not in [steward, nil] end)
    settle(ecosystem)
  end

  defp restarted(ecosystem, number) do
    {_, old, _, _, _, _} = Roster.member(ecosystem.table, number)
    Process.exit(old, :kill)
    assert eventually?(fn -> elem(Roster.member(ecosystem.table, number), 1) != old end)
    elem(Roster.member(ecosystem.table, number), 1)
  end

  test "workers are told of a coordinator that came back" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    unheard(ecosystem, fn -> restarted(ecosystem, 0) end)
    {:ok, coordinator} = EcosystemSupervisor.get_coordinator(ecosystem)
    for n <- 1..3, do: assert_receive({:changed, {:worker, ^n}, _pid, ^coordinator})
  end

  test "who came back is watched" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    unheard(ecosystem, fn -> restarted(ecosystem, 1) end)
    before = failures(ecosystem)
    kill(ecosystem, worker(ecosystem, 1))
    assert failures(ecosystem) == before + 1
  end

  test "subscribers are told of a worker that was removed" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    second = Enum.at(ecosystem.workers, 1)
    {:ok, _members} = Processes.subscribe(ecosystem)
    settle(ecosystem)
    unheard(ecosystem, fn -> :ok = EcosystemSupervisor.remove_worker(ecosystem, second) end)
    gone = [{{:worker, 2}, second}]
    assert_receive {:members_changed, _id, %{left: ^gone, joined: []}}
    refute :ets.member(settle(ecosystem).table, {:left, second})
  end

  test "subscribers are not told that a worker is back whose removal was heard of first" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    {:ok, _members} = Processes.subscribe(ecosystem)
    unheard(ecosystem, fn -> :ok end)
    # Its supervisor is late to say that it has come back in place of another.
    [_first, second, _third] = ecosystem.workers
    :ok = EcosystemSupervisor.remove_worker(ecosystem, second)
    assert_receive {:members_changed, _id, %{left: [{{:worker, 2}, ^second}]}}
    now = System.monotonic_time()
    send(Roster.get(ecosystem.table, :steward), {:restarted, 2, self(), second, now, now})
    settle(ecosystem)
    assert_received {:members_changed, _id, %{joined: []}}
    refute_received {:members_changed, _id, %{joined: [{{:worker, 2}, ^second}]}}
  end

  test "a failure whose member is back has healed, one whose member is not has not" do
    table = :ets.new(:failures, [:public])
    # In this order: what the machine does in between only makes it longer.
    at = System.system_time(:millisecond) - 50
    now = System.monotonic_time()
    failed = fn number -> %{Failures.new(number, self(), :killed) | at: at} end

    for number <- 0..2, do: Failures.put(table, number + 1, failed.(number))

    rows = [
      {0, spawn(fn -> :ok end), now, 1, :up, Member},
      {1, self(), now, 0, :up, Member},
      {2, spawn(fn -> :ok end), now, 1, :down, Member}
    ]

    Failures.healed(table, rows)
    {[back, same, down], 3} = Failures.list(table)
    assert back.healed_us in 40_000..60_000_000
    assert {same.healed_us, down.healed_us} == {nil, nil}
  end
end
