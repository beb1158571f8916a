defmodule Foundation.BEAM.Ecosystem.SubscribersTest do
  # What is told to those who subscribed, where changes and subscriptions cross, or the steward dies.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.Roster

  @moduletag :capture_log

  defp healing!, do: Member.ecosystem!(fault_tolerance: :self_healing, max_restarts: 100)
  defp steward(ecosystem), do: Roster.get(ecosystem.table, :steward)

  # What the function does is heard of by the steward when all of it is done.
  defp while_suspended(ecosystem, fun) do
    steward = steward(ecosystem)
    :erlang.suspend_process(steward)
    result = fun.()
    :erlang.resume_process(steward)
    settle(ecosystem)
    # It has monitored somebody who is dead, and hears of that next.
    settle(ecosystem)
    result
  end

  # Nothing of it is heard of by any steward.
  defp while_killed(ecosystem, fun) do
    steward = steward(ecosystem)
    :erlang.suspend_process(steward)
    fun.()
    Process.exit(steward, :kill)
    assert eventually?(fn -> steward(ecosystem) not in [steward, nil] end)
    settle(ecosystem)
    settle(ecosystem)
  end

  defp subscribe(ecosystem) do
    {:ok, members} = Processes.subscribe(ecosystem)
    Map.new(members)
  end

  defp kill_unheard(pid) do
    Process.exit(pid, :kill)
    ended(pid)
  end

  defp replace(ecosystem, number) do
    {_, old, _, _, _, _} = Roster.member(ecosystem.table, number)
    Process.exit(old, :kill)
    assert eventually?(fn -> elem(Roster.member(ecosystem.table, number), 1) != old end)
    old
  end

  # The members after all that was told, as the guide keeps them.
  defp known(members) do
    receive do
      {:members_changed, _id, %{joined: joined, left: left}} ->
        members = Map.reject(members, &(&1 in left))
        known(Enum.into(joined, members))
    after
      0 -> members
    end
  end

  defp assert_knows(ecosystem, members),
    do: assert(known(members) == Map.new(Roster.living(ecosystem.table)))

  describe "who subscribes" do
    test "when somebody is dead, of which the steward has not heard, is told" do
      ecosystem = Member.ecosystem!()
      [first | _] = ecosystem.workers

      members =
        while_suspended(ecosystem, fn ->
          kill_unheard(first)
          subscribe(ecosystem)
        end)

      assert members[{:worker, 1}] == first
      assert_knows(ecosystem, members)
    end

    test "when an added worker has done what it was for, is told" do
      ecosystem = Member.ecosystem!()
      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self())
      settle(ecosystem)

      members =
        while_suspended(ecosystem, fn ->
          Member.stop(added, :normal)
          ended(added)
          subscribe(ecosystem)
        end)

      assert members[{:worker, 4}] == added
      assert_knows(ecosystem, members)
    end

    test "once more after it had unsubscribed, is told" do
      ecosystem = Member.ecosystem!()
      [first | _] = ecosystem.workers
      subscribe(ecosystem)
      settle(ecosystem)

      members =
        while_suspended(ecosystem, fn ->
          :ok = Processes.unsubscribe(ecosystem)
          kill_unheard(first)
          subscribe(ecosystem)
        end)

      assert_knows(ecosystem, members)
    end

    test "and unsubscribes before the steward has heard of it, is told nothing" do
      ecosystem = Member.ecosystem!()

      while_suspended(ecosystem, fn ->
        kill_unheard(hd(ecosystem.workers))
        subscribe(ecosystem)
        :ok = Processes.unsubscribe(ecosystem)
      end)

      refute_received {:members_changed, _id, _change}
      assert :sys.get_state(steward(ecosystem)).subscribers == %{}
    end
  end

  describe "over a steward's end" do
    test "a member that was marked as down, of which nobody was told" do
      ecosystem = Member.ecosystem!()
      members = subscribe(ecosystem)
      [first | _] = ecosystem.workers

      while_killed(ecosystem, fn ->
        kill_unheard(first)
        Roster.down(ecosystem.table, 1, first)
      end)

      assert_knows(ecosystem, members)
    end

    test "a worker that came back and was removed then" do
      ecosystem = healing!()
      members = subscribe(ecosystem)

      while_killed(ecosystem, fn ->
        replace(ecosystem, 1)
        :ok = EcosystemSupervisor.remove_worker(ecosystem, worker_pid(ecosystem, 1))
      end)

      refute Map.new(Roster.living(ecosystem.table))[{:worker, 1}]
      assert_knows(ecosystem, members)
    end

    defp worker_pid(ecosystem, number), do: elem(Roster.member(ecosystem.table, number), 1)

    test "who came, who went, and who is another" do
      ecosystem = healing!()
      members = subscribe(ecosystem)
      [_first, second, _third] = ecosystem.workers

      while_killed(ecosystem, fn ->
        replace(ecosystem, 0)
        replace(ecosystem, 1)
        :ok = EcosystemSupervisor.remove_worker(ecosystem, second)
        {:ok, _added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self())
      end)

      assert_knows(ecosystem, members)
    end
  end

  test "an end that is heard of when the member is back is told" do
    ecosystem = healing!()
    subscribe(ecosystem)
    settle(ecosystem)
    gone = spawn(fn -> :ok end)
    # Its successor's start has not been heard of, which may be removed before that.
    send(steward(ecosystem), {1, make_ref(), :process, gone, :killed})
    settle(ecosystem)
    assert_received {:members_changed, _id, %{left: [{{:worker, 1}, ^gone}], joined: []}}
  end

  test "nobody is told to have joined who is dead, and has been replaced, already" do
    ecosystem = healing!()
    subscribe(ecosystem)
    settle(ecosystem)
    me = self()

    while_suspended(ecosystem, fn ->
      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: me)
      send(me, {:dead, [added, replace(ecosystem, 4), replace(ecosystem, 4)]})
    end)

    assert_received {:dead, dead}
    {:ok, last} = Roster.up(ecosystem.table, 4)
    assert [{{:worker, 4}, last}] == joined()
    refute last in dead
  end

  defp joined do
    receive do
      {:members_changed, _id, %{joined: joined}} -> joined ++ joined()
    after
      0 -> []
    end
  end
end
