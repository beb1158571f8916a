defmodule Foundation.BEAM.Ecosystem.UnseenTest do
  # Ends of members that the steward does not see: it monitors them when they have started, and they may
  # be dead and back by then.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Additions, Roster}

  @moduletag :capture_log

  # An ecosystem of which `spawn_ecosystem/1` has returned, while its steward has not heard of that.
  # What the function does then, happens before it has.
  defp unwatched(opts, fun) do
    {ecosystem, steward} = suspended(opts)
    fun.(ecosystem)
    :erlang.resume_process(steward)
    settle(ecosystem)
  end

  defp suspended(opts) do
    {starting, last} = starting(opts)
    {:ok, {_supervisor, table}} = Roster.whereis(:unseen)
    steward = Roster.get(table, :steward)
    :erlang.suspend_process(steward)
    {started(starting, last), steward}
  end

  # One whose last worker is in its `init`.
  defp starting(opts) do
    defaults = [id: :unseen, fault_tolerance: :self_healing, max_restarts: 100, count: 3]
    opts = defaults |> Keyword.merge(opts) |> Enum.reject(&(&1 == {:max_restarts, nil}))
    role = {:worker, opts[:count]}
    armed = :atomics.new(1, [])
    :atomics.put(armed, 1, 1)
    member = [at: [role], init: :wait, armed: armed, test: self()]
    starting = Task.async(fn -> Member.ecosystem(opts, member) end)
    assert_receive {:waits, ^role, last}
    {starting, last}
  end

  defp started(starting, last) do
    send(last, :go)
    {:ok, ecosystem} = Task.await(starting)
    on_exit(fn -> Processes.shutdown_ecosystem(ecosystem, timeout: 1_000) end)
    ecosystem
  end

  # Gives who was there, when somebody else is.
  defp replace(table, number) do
    {_, old, _, _, _, _} = Roster.member(table, number)
    Process.exit(old, :kill)
    assert eventually?(fn -> pid(table, number) != old end)
    old
  end

  # All of them have been replaced.
  defp restart_all(table, number) do
    before = for {_, pid, _, _, _, _} <- Roster.members(table), do: pid
    old = replace(table, number)
    assert eventually?(fn -> Enum.all?(Roster.members(table), &(elem(&1, 1) not in before)) end)
    old
  end

  defp while_suspended(ecosystem, fun) do
    steward = Roster.get(ecosystem.table, :steward)
    :erlang.suspend_process(steward)
    result = fun.()
    :erlang.resume_process(steward)
    # It monitors whom it is told of, and hears of those that are dead next.
    for _ <- 1..2, do: settle(ecosystem)
    result
  end

  defp pid(table, number), do: elem(Roster.member(table, number), 1)

  # The steward monitors who is back, then writes that down.
  defp failed(ecosystem) do
    settle(ecosystem)
    {:ok, failures} = Processes.failures(ecosystem)
    failures = Enum.reverse(failures)
    assert failures(ecosystem) == length(failures)
    steward = :sys.get_state(Roster.get(ecosystem.table, :steward))
    assert {steward.pending, steward.early} == {%{}, %{}}
    assert Enum.all?(failures, & &1.healed_us)
    for failure <- failures, do: {failure.pid, failure.reason}
  end

  describe "a member that is dead and back before anybody monitors it" do
    test "is a failure, once for each time" do
      for number <- [0, 1, 3], times <- [1, 2] do
        me = self()

        ecosystem =
          unwatched([], fn ecosystem ->
            send(me, {:dead, for(_ <- 1..times, do: replace(ecosystem.table, number))})
          end)

        assert_received {:dead, dead}
        assert failed(ecosystem) == for(pid <- dead, do: {pid, :unknown})
        # And what comes after that is seen.
        again = worker(ecosystem, number)
        kill(ecosystem, again)
        worker(ecosystem, number)
        assert List.last(failed(ecosystem)) == {again, :killed}
        assert length(failed(ecosystem)) == times + 1
        :ok = Processes.shutdown_ecosystem(ecosystem)
      end
    end

    test "is a failure once for each time also while members are being started" do
      {starting, last} = starting([])
      {:ok, {_supervisor, table}} = Roster.whereis(:unseen)
      dead = for _ <- 1..2, do: replace(table, 0)
      :sys.get_state(Roster.get(table, :steward))
      ecosystem = settle(started(starting, last))
      assert Enum.sort(failed(ecosystem)) == Enum.sort(for pid <- dead, do: {pid, :unknown})
    end

    test "is counted by the bound of each worker" do
      {ecosystem, steward} = suspended(max_restarts: nil, max_seconds: 600, count: 10)
      for _ <- 1..4, do: replace(ecosystem.table, 1)
      monitor = Process.monitor(ecosystem.supervisor)
      :erlang.resume_process(steward)
      assert_receive {:DOWN, ^monitor, :process, _pid, _shutdown}, 5_000
    end
  end

  test "one_for_all: of those whose reason nobody has seen one fails each time" do
    me = self()

    ecosystem =
      unwatched([supervision: :one_for_all], fn ecosystem ->
        send(me, {:dead, for(number <- [2, 0], do: restart_all(ecosystem.table, number))})
      end)

    assert_received {:dead, [_second, coordinator]}
    assert [{_first, :unknown}, {^coordinator, :unknown}] = failed(ecosystem)

    [last] =
      while_suspended(ecosystem, fn ->
        for number <- [3, 1], do: restart_all(ecosystem.table, number)
        [restart_all(ecosystem.table, 0)]
      end)

    assert [_, _, third, _fourth, fifth] = failed(ecosystem)
    assert {elem(third, 1), fifth} == {:killed, {last, :noproc}}
  end

  describe "rest_for_one: workers that are restarted with the coordinator are no failures" do
    test "before they are monitored for the first time" do
      me = self()

      ecosystem =
        unwatched([supervision: :rest_for_one], fn ecosystem ->
          send(me, {:dead, for(_ <- 1..2, do: restart_all(ecosystem.table, 0))})
        end)

      assert_received {:dead, dead}
      assert failed(ecosystem) == for(pid <- dead, do: {pid, :unknown})
    end

    test "before they are monitored again" do
      ecosystem =
        Member.ecosystem!(
          fault_tolerance: :self_healing,
          supervision: :rest_for_one,
          max_restarts: 100
        )

      {[first | others], alone} =
        while_suspended(ecosystem, fn ->
          coordinators = for _ <- 1..3, do: restart_all(ecosystem.table, 0)
          {coordinators, replace(ecosystem.table, 1)}
        end)

      expected = [{first, :killed} | for(pid <- others ++ [alone], do: {pid, :noproc})]
      assert Enum.sort(failed(ecosystem)) == Enum.sort(expected)
    end
  end

  test "a member that is back is monitored once, also by a steward that came after another" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    [first, _second, _third] = ecosystem.workers
    steward = Roster.get(ecosystem.table, :steward)
    Process.exit(steward, :kill)
    assert eventually?(fn -> Roster.get(ecosystem.table, :steward) not in [steward, nil] end)
    settle(ecosystem)
    steward = Roster.get(ecosystem.table, :steward)
    # Its supervisor has brought somebody back, and its end has not been heard of yet.
    now = System.monotonic_time()
    {:again, ^first} = Roster.again(ecosystem.table, 1, self(), Member, now)
    send(steward, {:restarted, 1, first, self(), now, now})
    settle(ecosystem)
    assert Process.info(first, :monitored_by) |> elem(1) |> Enum.count(&(&1 == steward)) == 1
    # So the only reason that comes is that of its end.
    Process.exit(first, :kill)
    assert eventually?(fn -> failures(ecosystem) > 0 end)
    {:ok, failures} = Processes.failures(ecosystem)
    assert %{reason: :killed} = List.last(failures)
  end

  test "an added worker is monitored once, though the steward has found it in the roster" do
    {ecosystem, steward} = suspended([])
    {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self())
    :erlang.resume_process(steward)
    settle(ecosystem)
    assert Process.info(added, :monitored_by) |> elem(1) |> Enum.count(&(&1 == steward)) == 1
    assert Additions.numbers(ecosystem.table) == []
  end

  test "workers hear of no coordinator after one that has followed it" do
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing, max_restarts: 10, count: 2)
    steward = Roster.get(ecosystem.table, :steward)
    :erlang.suspend_process(steward)
    replace(ecosystem.table, 0)
    replace(ecosystem.table, 0)
    last = pid(ecosystem.table, 0)
    :erlang.resume_process(steward)
    settle(ecosystem)

    for role <- [{:worker, 1}, {:worker, 2}] do
      assert_receive {:changed, ^role, _pid, ^last}
      refute_received {:changed, ^role, _pid, _another}
    end
  end
end
