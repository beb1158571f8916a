defmodule Foundation.BEAM.Ecosystem.ArrangementTest do
  # Topologies and tokens that several processes change at once, which may be held or killed anywhere in it.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.BEAM.Ecosystem.{Reaper, RingToken, Roster}
  alias Foundation.Talker

  @moduletag :capture_log
  @rounds 300

  setup do
    member = [test: self()]
    members = [coordinator: {Talker, member}, workers: {Talker, [count: 2] ++ member}]
    {:ok, ecosystem: Member.ecosystem!([topology: :mesh] ++ members)}
  end

  # A process that does it over and over, stopped where it happens to be.
  defp somewhere_in(fun, stop) do
    {pid, monitor} = spawn_monitor(fn -> over_and_over(fun, :go_on) end)
    for _ <- 1..:rand.uniform(300), do: :erlang.yield()
    stop.(pid)
    {pid, monitor}
  end

  defp over_and_over(fun, :go_on) do
    fun.()
    over_and_over(fun, receive(do: (:stop -> :stop), after: (0 -> :go_on)))
  end

  defp over_and_over(_fun, :stop), do: :ok

  # What a process apart has begun for it, that one brings to its end.
  defp kill_in(fun) do
    {pid, monitor} = somewhere_in(fun, &Process.exit(&1, :kill))
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
    apart = for other <- Process.list(), Reaper.parent(other) == pid, do: other
    for process <- apart, do: ended(process)
  end

  defp hold_in(fun, meanwhile) do
    {pid, monitor} = somewhere_in(fun, &:erlang.suspend_process/1)
    meanwhile.()
    send(pid, :stop)
    :erlang.resume_process(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}
  end

  defp change(ecosystem, names),
    do: for(name <- names, do: Processes.set_topology(ecosystem, name))

  # The newest, if there is any.
  defp told(id, last) do
    receive do
      {:topology_changed, ^id, name} -> told(id, name)
    after
      0 -> last
    end
  end

  defp told_what_it_is(ecosystem, before) do
    told = told(settle(ecosystem).id, before)
    assert told == Roster.topology(ecosystem.table)
    told
  end

  describe "the topology that subscribers are told last is what it is" do
    setup %{ecosystem: ecosystem} do
      {:ok, _members} = Processes.subscribe(ecosystem)
      :ok
    end

    test "where whoever changes it is held up", %{ecosystem: ecosystem} do
      Enum.reduce(1..@rounds, :mesh, fn _round, told ->
        hold_in(fn -> change(ecosystem, [:mesh, :tree]) end, fn -> change(ecosystem, [:ring]) end)
        told_what_it_is(ecosystem, told)
      end)
    end

    test "where whoever changes it is killed", %{ecosystem: ecosystem} do
      Enum.reduce(1..@rounds, :mesh, fn _round, told ->
        kill_in(fn -> change(ecosystem, [:mesh, :tree]) end)
        told_what_it_is(ecosystem, told)
      end)
    end

    test "as the steward alone tells of it", %{ecosystem: %{id: id} = ecosystem} do
      steward = Roster.get(ecosystem.table, :steward)
      :erlang.suspend_process(steward)
      change(ecosystem, [:tree, :mesh, :ring])
      refute_received {:topology_changed, ^id, _name}
      :erlang.resume_process(steward)
      assert_receive {:topology_changed, ^id, :ring}
      assert told_what_it_is(ecosystem, :ring) == :ring
    end

    test "where the steward is killed before it comes to it", %{ecosystem: ecosystem} do
      id = ecosystem.id

      for name <- [:ring, :tree] do
        steward = Roster.get(ecosystem.table, :steward)
        :erlang.suspend_process(steward)
        change(ecosystem, [:mesh, name])
        Process.exit(steward, :kill)
        assert_receive {:topology_changed, ^id, ^name}
      end
    end
  end

  describe "the token of a ring" do
    test "outlives whoever has ended the one before, and is held up in that", context do
      %{ecosystem: ecosystem} = context

      for _ <- 1..@rounds do
        again = fn ->
          change(ecosystem, [:ring])
          Processes.start_token(ecosystem)
          change(ecosystem, [:tree])
        end

        hold_in(again, fn -> :ok end)
        change(ecosystem, [:ring])

        hold_in(fn -> Processes.start_token(ecosystem) end, fn ->
          change(ecosystem, [:tree, :ring])
          Processes.start_token(ecosystem)
          assert {:ok, token} = RingToken.current(ecosystem.table)
          send(self(), {:current, token})
        end)

        assert_received {:current, token}
        assert RingToken.current(ecosystem.table) == {:ok, token}
      end
    end

    test "ends with it, also where whoever ends it is killed", %{ecosystem: ecosystem} do
      for _ <- 1..@rounds do
        change(ecosystem, [:ring])
        Processes.start_token(ecosystem)
        {:ok, token} = RingToken.current(ecosystem.table)
        kill_in(fn -> change(ecosystem, [:tree, :ring]) end)
        change(ecosystem, [:tree, :ring])
        assert type(Processes.pass_token(ecosystem, token)) == :no_token
      end
    end

    test "is handed over where who starts it is no member, and is killed in it", context do
      %{ecosystem: ecosystem} = context

      for _ <- 1..@rounds do
        change(ecosystem, [:ring])

        kill_in(fn ->
          Processes.start_token(ecosystem)
          change(ecosystem, [:tree, :ring])
        end)

        with {:ok, token} <- RingToken.current(ecosystem.table) do
          assert_receive {:heard, :coordinator, {:token, ^token}}
        end

        change(ecosystem, [:tree])
      end
    end

    # Of the ends of these nobody hears.
    test "is handed over by a process apart for who is no member", %{ecosystem: ecosystem} do
      change(ecosystem, [:ring])
      {:ok, token} = Processes.start_token(ecosystem)
      assert [{:token, ^token, from, _ring}] = :ets.lookup(ecosystem.table, :token)
      assert from != self()
      {:ok, next} = Processes.pass_token(ecosystem, token)
      assert [{:token, ^next, from, _ring}] = :ets.lookup(ecosystem.table, :token)
      assert from != self()

      {_role, holder} = next.holder
      pass = fn -> Processes.pass_token(ecosystem, next) end
      {:ok, last} = Talker.inside(holder, pass)
      assert [{:token, ^last, ^holder, _ring}] = :ets.lookup(ecosystem.table, :token)
    end

    test "is for a role, or for the first: not for anything else", %{ecosystem: ecosystem} do
      change(ecosystem, [:ring])

      for role <- [false, true, 0, {:worker, 0}, {:worker, 9}, "coordinator"],
          do: assert(type(Processes.start_token(ecosystem, role)) == :not_a_member)

      assert {:ok, %{holder: {:coordinator, _pid}}} = Processes.start_token(ecosystem, nil)
    end
  end
end
