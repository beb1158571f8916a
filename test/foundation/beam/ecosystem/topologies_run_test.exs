defmodule Foundation.BEAM.Ecosystem.TopologiesRunTest do
  # Who is next to whom in a running ecosystem, and by whom messages go.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.BEAM.Ecosystem.{Changes, RingToken, Roster}
  alias Foundation.Talker

  @moduletag :capture_log

  defp ecosystem!(topology, opts \\ [], member \\ []) do
    member = Keyword.put_new(member, :test, self())
    defaults = [coordinator: {Talker, member}, workers: {Talker, [count: 4] ++ member}]
    Member.ecosystem!([topology: topology] ++ Keyword.merge(defaults, opts))
  end

  defp pid(ecosystem, role),
    do: elem(Roster.member(ecosystem.table, Roster.number(role)), 1)

  defp from(ecosystem, role, fun), do: Talker.inside(pid(ecosystem, role), fun)
  defp workers(range), do: for(n <- range, do: {:worker, n})

  # Everything that members have told of, when nothing is on its way any more: a message goes by each
  # member at most once, so as many rounds of calls as members let it arrive.
  defp heard(ecosystem) do
    for _round <- 1..6, pid <- [ecosystem.coordinator | ecosystem.workers], do: Talker.token(pid)
    drain()
  end

  defp drain do
    receive do
      {:heard, role, message} -> [{role, message} | drain()]
    after
      0 -> []
    end
  end

  test "it shows in struct and info, and is a tree unless something else is asked for" do
    assert Member.ecosystem!().topology == :tree
    ecosystem = ecosystem!(:ring)
    assert ecosystem.topology == :ring
    assert {:ok, %{topology: :ring}} = Processes.ecosystem_info(ecosystem)
    assert :ok = Processes.set_topology(ecosystem, :mesh)
    assert {:ok, %{topology: :mesh}} = Processes.current(ecosystem)
  end

  test "neighbours are those of the topology, by role or pid" do
    ecosystem = ecosystem!(:tree)
    named = fn roles -> {:ok, for(role <- roles, do: {role, pid(ecosystem, role)})} end
    assert Processes.neighbours(ecosystem, :coordinator) == named.(workers(1..4))
    assert Processes.neighbours(ecosystem, hd(ecosystem.workers)) == named.([:coordinator])
    Processes.set_topology(ecosystem, :ring)
    assert Processes.neighbours(ecosystem, {:worker, 4}) == named.([{:worker, 3}, :coordinator])
    Processes.set_topology(ecosystem, :mesh)
    assert Processes.neighbours(ecosystem, {:worker, 4}) == named.([:coordinator | workers(1..3)])
    assert type(Processes.neighbours(ecosystem, {:worker, 5})) == :not_a_member
    assert type(Processes.neighbours(ecosystem, self())) == :not_a_member
    assert type(Processes.neighbours(ecosystem, :someone)) == :not_a_member
  end

  test "the dead are nobody's neighbours" do
    ecosystem = ecosystem!(:ring)
    kill(ecosystem, pid(ecosystem, {:worker, 2}))

    assert Processes.neighbours(ecosystem, {:worker, 1}) ==
             {:ok, for(role <- [:coordinator, {:worker, 3}], do: {role, pid(ecosystem, role)})}
  end

  describe "broadcast" do
    # Who is asked to pass it on.
    for {topology, from, forwards} <- [
          {:tree, :coordinator, []},
          {:tree, {:worker, 2}, [:coordinator]},
          {:mesh, :coordinator, []},
          {:mesh, {:worker, 2}, []},
          {:ring, :coordinator, [worker: 1, worker: 2, worker: 3]},
          {:ring, {:worker, 2}, [:coordinator, {:worker, 3}, {:worker, 4}]}
        ] do
      test "in a #{topology} from #{inspect(from)} reaches every other member once" do
        ecosystem = ecosystem!(unquote(topology))
        from = unquote(Macro.escape(from))
        assert :ok = from(ecosystem, from, fn -> Processes.broadcast(ecosystem, :hello) end)
        heard = heard(ecosystem)
        messages = for {role, {:ecosystem_message, ^from, :hello}} <- heard, do: role
        assert Enum.sort(messages) == List.delete([:coordinator | workers(1..4)], from)
        forwards = for {role, :forwards} <- heard, do: role
        assert Enum.sort(forwards) == unquote(Macro.escape(forwards))
      end
    end

    test "from outside goes straight to everybody" do
      ecosystem = ecosystem!(:ring)
      test = self()
      assert :ok = Processes.broadcast(ecosystem, :hello)
      heard = heard(ecosystem)
      assert length(heard) == 5
      assert Enum.all?(heard, &match?({_role, {:ecosystem_message, ^test, :hello}}, &1))
    end

    test "in a ring keeps the order of what comes by" do
      ecosystem = ecosystem!(:ring)

      from(ecosystem, {:worker, 1}, fn ->
        for n <- 1..100, do: Processes.broadcast(ecosystem, n)
      end)

      heard = heard(ecosystem)

      for role <- [:coordinator | workers(2..4)] do
        assert for({^role, {:ecosystem_message, _from, n}} <- heard, do: n) ==
                 Enum.to_list(1..100)
      end
    end

    test "goes round a ring whose members die and come back" do
      ecosystem = ecosystem!(:ring)
      kill(ecosystem, pid(ecosystem, {:worker, 3}))
      from(ecosystem, {:worker, 2}, fn -> Processes.broadcast(ecosystem, :on) end)
      assert_receive {:heard, {:worker, 1}, {:ecosystem_message, {:worker, 2}, :on}}
      assert_received {:heard, {:worker, 4}, {:ecosystem_message, _from, :on}}
      refute_received {:heard, {:worker, 3}, _message}
    end
  end

  describe "send_to" do
    test "goes by the topology" do
      ecosystem = ecosystem!(:tree)
      send_to = fn -> Processes.send_to(ecosystem, {:worker, 4}, :direct) end
      from = {:worker, 2}

      for {topology, by} <- [
            tree: [:coordinator],
            mesh: [],
            ring: [{:worker, 3}]
          ] do
        Processes.set_topology(ecosystem, topology)
        assert :ok = from(ecosystem, from, send_to)
        heard = heard(ecosystem)

        assert for({role, {:ecosystem_message, ^from, :direct}} <- heard, do: role) == [
                 {:worker, 4}
               ]

        assert for({role, :forwards} <- heard, do: role) == by
      end
    end

    test "reaches oneself, and from outside anybody" do
      ecosystem = ecosystem!(:tree)
      me = {:worker, 1}
      assert :ok = from(ecosystem, me, fn -> Processes.send_to(ecosystem, me, :self) end)
      assert_receive {:heard, ^me, {:ecosystem_message, ^me, :self}}
      assert :ok = Processes.send_to(ecosystem, pid(ecosystem, me), :outside)
      test = self()
      assert_receive {:heard, ^me, {:ecosystem_message, ^test, :outside}}
    end

    test "tells of members that are no members, down, or cut off" do
      ecosystem = ecosystem!(:tree)
      assert type(Processes.send_to(ecosystem, {:worker, 9}, :no)) == :not_a_member
      kill(ecosystem, pid(ecosystem, {:worker, 3}))
      assert type(Processes.send_to(ecosystem, {:worker, 3}, :no)) == :no_route
      kill(ecosystem, ecosystem.coordinator)
      to_other = fn -> Processes.send_to(ecosystem, {:worker, 2}, :no) end
      assert type(from(ecosystem, {:worker, 1}, to_other)) == :no_route
      Processes.set_topology(ecosystem, :mesh)
      assert :ok = from(ecosystem, {:worker, 1}, to_other)
    end
  end

  test "what is no hop is a mistake, and one that is, is for members" do
    ecosystem = ecosystem!(:ring)
    assert_raise ArgumentError, ~r"forward/2", fn -> Processes.forward(ecosystem, :hop) end
    pid(ecosystem, {:worker, 1}) |> Talker.inside(fn -> Processes.broadcast(ecosystem, 1) end)
    assert_raise ArgumentError, ~r"topology", fn -> Processes.set_topology(ecosystem, :star) end
  end

  describe "subscribers" do
    test "hear of who leaves, comes back, is added and removed" do
      ecosystem = ecosystem!(:mesh, fault_tolerance: :self_healing)
      id = ecosystem.id
      assert {:ok, members} = Processes.subscribe(ecosystem)
      assert Enum.map(members, &elem(&1, 0)) == [:coordinator | workers(1..4)]
      old = pid(ecosystem, {:worker, 2})
      kill(ecosystem, old)
      {joined, left} = changes(id, {:worker, 2})
      new = worker(ecosystem, 2)
      assert {joined, left} == {new, old}

      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Talker)
      assert_receive {:members_changed, ^id, %{joined: [{{:worker, 5}, ^added}], left: []}}
      :ok = EcosystemSupervisor.remove_worker(ecosystem, added)
      assert_receive {:members_changed, ^id, %{joined: [], left: [{{:worker, 5}, ^added}]}}

      Processes.set_topology(ecosystem, :tree)
      assert_receive {:topology_changed, ^id, :tree}
      assert :ok = Processes.unsubscribe(ecosystem)
      Processes.set_topology(ecosystem, :mesh)
      refute_received {:topology_changed, ^id, _topology}
    end

    # In one message, or in two.
    defp changes(id, role, joined \\ nil, left \\ nil) do
      if joined && left do
        {joined, left}
      else
        assert_receive {:members_changed, ^id, change}

        find = fn list, found ->
          if pid = :proplists.get_value(role, list, nil), do: pid, else: found
        end

        changes(id, role, find.(change.joined, joined), find.(change.left, left))
      end
    end

    test "in every init have all members, and keep them current" do
      ecosystem = ecosystem!(:mesh, [fault_tolerance: :self_healing], subscribe: true, test: nil)
      for number <- [1, 3], do: kill(ecosystem, worker(ecosystem, number))
      kill(ecosystem, ecosystem.coordinator)

      assert Foundation.Eventually.eventually?(fn ->
               settle(ecosystem)
               living = Map.new(Roster.living(ecosystem.table))

               map_size(living) == 5 and
                 Enum.all?(living, fn {_role, pid} -> Talker.known(pid) == living end)
             end)
    end

    test "that have ended leave nothing" do
      ecosystem = ecosystem!(:mesh)
      {pid, monitor} = spawn_monitor(fn -> Processes.subscribe(ecosystem) end)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}

      assert Foundation.Eventually.eventually?(fn ->
               not :ets.member(ecosystem.table, {:subscriber, pid})
             end)
    end

    test "are known to a steward that comes after another" do
      ecosystem = ecosystem!(:mesh)
      id = ecosystem.id
      {:ok, _members} = Processes.subscribe(ecosystem)
      Process.exit(Roster.get(ecosystem.table, :steward), :kill)
      assert_receive {:members_changed, ^id, %{joined: joined, left: []}}
      assert length(joined) == 5
      worker = pid(ecosystem, {:worker, 1})
      Process.exit(worker, :kill)
      assert_receive {:members_changed, ^id, %{left: [{{:worker, 1}, ^worker}]}}
    end
  end

  describe "the token" do
    test "is one, and goes round" do
      ecosystem = ecosystem!(:ring)
      assert {:ok, token} = Processes.start_token(ecosystem)
      assert type(Processes.start_token(ecosystem)) == :already_exists

      for role <- [:coordinator | workers(1..4)] ++ [:coordinator] do
        assert_receive {:heard, ^role, {:token, token}}
        assert token.holder == {role, pid(ecosystem, role)}
        assert {:ok, _next} = Processes.pass_token(ecosystem, token)
        assert type(Processes.pass_token(ecosystem, token)) == :stale_token
      end

      assert type(Processes.pass_token(ecosystem, token)) == :stale_token
      assert type(Processes.pass_token(ecosystem, :token)) == :stale_token
    end

    test "begins with whom is named" do
      ecosystem = ecosystem!(:ring)
      assert type(Processes.start_token(ecosystem, {:worker, 9})) == :not_a_member

      assert {:ok, %{holder: {{:worker, 3}, _pid}}} =
               Processes.start_token(ecosystem, {:worker, 3})

      assert_receive {:heard, {:worker, 3}, {:token, _token}}
    end

    for tolerance <- [:standard, :self_healing] do
      test "of a #{tolerance} ecosystem goes to the successor of who dies with it" do
        ecosystem = ecosystem!(:ring, fault_tolerance: unquote(tolerance))
        {:ok, first} = Processes.start_token(ecosystem, {:worker, 2})
        kill(ecosystem, pid(ecosystem, {:worker, 2}))
        assert_receive {:heard, {:worker, 3}, {:token, second}}
        assert {second.epoch, second.seq} == {2, 1}
        assert type(Processes.pass_token(ecosystem, first)) == :stale_token
        assert {:ok, %{holder: {{:worker, 4}, _pid}}} = Processes.pass_token(ecosystem, second)
      end
    end

    test "leaves a worker that is removed" do
      ecosystem = ecosystem!(:ring)
      {:ok, _token} = Processes.start_token(ecosystem, {:worker, 4})
      :ok = EcosystemSupervisor.remove_worker(ecosystem, pid(ecosystem, {:worker, 4}))
      assert_receive {:heard, :coordinator, {:token, %{epoch: 2}}}
    end

    test "is healed by a steward that comes after another" do
      ecosystem = ecosystem!(:ring)
      {:ok, _token} = Processes.start_token(ecosystem, {:worker, 1})
      assert_receive {:heard, {:worker, 1}, {:token, _first}}
      steward = Roster.get(ecosystem.table, :steward)
      :erlang.suspend_process(steward)
      ended = pid(ecosystem, {:worker, 1})
      Process.exit(ended, :kill)
      ended(ended)
      Process.exit(steward, :kill)
      assert_receive {:heard, {:worker, 2}, {:token, %{epoch: 2}}}
    end

    test "is a ring's only, and ends with it" do
      ecosystem = ecosystem!(:tree)
      assert type(Processes.start_token(ecosystem)) == :not_a_ring
      Processes.set_topology(ecosystem, :ring)
      assert type(Processes.pass_token(ecosystem, :token)) == :no_token
      {:ok, token} = Processes.start_token(ecosystem)
      Processes.set_topology(ecosystem, :mesh)
      assert type(Processes.pass_token(ecosystem, token)) == :not_a_ring
      Processes.set_topology(ecosystem, :ring)
      assert type(Processes.pass_token(ecosystem, token)) == :no_token
    end

    test "of an earlier ring is stale for good, and later ones are of larger numbers" do
      ecosystem = ecosystem!(:ring)

      Enum.reduce(1..3, [], fn _round, earlier ->
        {:ok, first} = Processes.start_token(ecosystem)
        assert Enum.all?(earlier, &(type(Processes.pass_token(ecosystem, &1)) == :stale_token))
        {:ok, second} = Processes.pass_token(ecosystem, first)
        all = earlier ++ [first, second]
        order = for token <- all, do: {token.epoch, token.seq}
        assert order == Enum.uniq(Enum.sort(order))
        seqs = Enum.map(all, & &1.seq)
        assert seqs == Enum.uniq(Enum.sort(seqs))
        for name <- [:tree, :ring], do: :ok = Processes.set_topology(ecosystem, name)
        all
      end)
    end

    test "that is being passed while the ring ends is not passed into the next one" do
      ecosystem = ecosystem!(:ring)
      {:ok, token} = Processes.start_token(ecosystem)

      # Who passes it has read that it is current, and then reads who comes next.
      ends = fn asked ->
        for name <- [:mesh, :ring], do: :ok = Processes.set_topology(ecosystem, name)
        {:ok, _again} = Processes.start_token(ecosystem)
        Changes.members(ecosystem.table).(asked)
      end

      assert RingToken.pass(ecosystem.table, token, ends) == {:error, :stale}
      {:ok, current} = RingToken.current(ecosystem.table)
      assert {current.epoch, current.seq} > {token.epoch, token.seq}
      assert elem(current.holder, 0) == :coordinator
    end
  end
end
