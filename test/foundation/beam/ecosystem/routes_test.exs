defmodule Foundation.BEAM.Ecosystem.RoutesTest do
  # What a running ecosystem looks up for a message, against what the topology says of a list of all members;
  # and what members keep so that they need not look for it.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems
  use Foundation.Property

  alias Foundation.BEAM.Ecosystem.{Caller, Config, Handle, Roster, Routes}
  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Router
  alias Foundation.Talker

  @moduletag :capture_log

  # A table of members by role, each a process that tells who it is and what it gets.
  defp table(roles) do
    {:ok, plan} = Config.new(coordinator: Agent, workers: {Agent, count: 9})
    table = Roster.new(plan)
    Roster.put(table, {:supervisor, 0}, self())
    test = self()

    for role <- roles do
      pid = spawn_link(fn -> member(test, table, role) end)
      Roster.started(table, Roster.number(role), pid, Agent, 0)
    end

    table
  end

  defp member(test, table, role) do
    receive do
      {:run, fun} -> send(test, {:ran, fun.(table)})
      message -> send(test, {:got, role, message})
    end

    member(test, table, role)
  end

  defp run(table, role, fun) do
    {:ok, pid} = Roster.up(table, Roster.number(role))
    send(pid, {:run, fun})
    receive do: ({:ran, result} -> result)
  end

  # Whatever has been sent has been handled when each has answered once more.
  defp got(table) do
    for {role, _pid} <- Roster.living(table), do: run(table, role, fn _ -> :ok end)
    Enum.sort(drain())
  end

  defp drain do
    receive do
      {:got, role, message} -> [{role, message} | drain()]
    after
      0 -> []
    end
  end

  defp close(table) do
    for {_role, pid} <- Roster.living(table) do
      Process.unlink(pid)
      Process.exit(pid, :kill)
    end

    :ets.delete(table)
  end

  defp hop(name, from, to), do: {Routes, name, from, to, :text}
  defp role, do: oneof([:coordinator, bind(integer(1, 9), &{:worker, &1})])

  defp case_of do
    bind({non_empty(list(role())), oneof(Router.names())}, fn {roles, name} ->
      roles = Topology.order(roles)
      {name, roles, oneof(roles), role()}
    end)
  end

  property "to one: the same step as with a list of all members", runs: 300 do
    forall {name, roles, at, to} <- case_of() do
      table = table(roles)
      result = run(table, at, &Routes.forward(&1, hop(name, {:worker, 10}, to)))
      got = got(table)
      close(table)

      cond do
        to not in roles -> type(result) == :not_a_member and got == []
        to == at -> true
        true -> one_step?(Router.next_hop(name, roles, at, to), to, name, {result, got})
      end
    end
  end

  defp one_step?({:ok, to}, to, _name, seen),
    do: seen == {:ok, [{to, {:ecosystem_message, {:worker, 10}, :text}}]}

  defp one_step?({:ok, next}, to, name, seen),
    do: seen == {:ok, [{next, {:ecosystem_forward, hop(name, {:worker, 10}, to)}}]}

  defp one_step?({:error, error}, _to, _name, {result, got}),
    do: got == [] and type(result) == error.error_type

  property "to all: the same step as with a list of all members", runs: 300 do
    forall {name, roles, at, from} <- case_of() do
      table = table(roles)
      :ok = run(table, at, &Routes.forward(&1, hop(name, from, :all)))
      got = got(table)
      close(table)

      expected =
        for next <- Router.forward(name, roles, from, at), reduce: [] do
          told ->
            told = [{next, {:ecosystem_message, from, :text}} | told]

            if Router.forward(name, roles, from, next) == [],
              do: told,
              else: [{next, {:ecosystem_forward, hop(name, from, :all)}} | told]
        end

      got == Enum.sort(expected)
    end
  end

  describe "who is named by a pid" do
    setup do
      table = table([:coordinator, {:worker, 1}, {:worker, 2}])
      {:ok, table: table, pid: elem(Roster.up(table, 1), 1)}
    end

    # Another comes in its place.
    defp succeeded(table, pid) do
      test = self()
      new = spawn_link(fn -> member(test, table, {:worker, 1}) end)
      {:again, ^pid} = Roster.again(table, 1, new, Agent, 0)
    end

    test "is meant, and nobody who has its role later", %{table: table, pid: pid} do
      :ok = run(table, {:worker, 2}, &Routes.send_to(&1, pid, :text))
      [{:coordinator, {:ecosystem_forward, hop}}] = got(table)
      succeeded(table, pid)

      error = run(table, :coordinator, &Routes.forward(&1, hop))
      assert {type(error), elem(error, 1).context} == {:no_route, %{to: pid}}
      assert type(run(table, {:worker, 2}, &Routes.send_to(&1, pid, :text))) == :not_a_member
      assert got(table) == []
      Process.unlink(pid)
      Process.exit(pid, :kill)
      close(table)
    end

    test "gets what is sent to it, by whomever it goes", %{table: table, pid: pid} do
      :ok = run(table, {:worker, 2}, &Routes.send_to(&1, pid, :text))
      [{:coordinator, {:ecosystem_forward, hop}}] = got(table)
      :ok = run(table, :coordinator, &Routes.forward(&1, hop))
      assert got(table) == [{{:worker, 1}, {:ecosystem_message, {:worker, 2}, :text}}]
      close(table)
    end

    test "is down where it is down", %{table: table, pid: pid} do
      Roster.down(table, 1, pid)
      assert type(Routes.send_to(table, pid, :text)) == :no_route
      Process.unlink(pid)
      close(table)
    end

    # The row is read once: who has it then is who gets it.
    test "gets nothing that is for another, while the row goes from one to the other", context do
      %{table: table, pid: pid} = context
      row = Roster.member(table, 1)
      other = spawn_link(fn -> receive(do: (:never -> :ok)) end)

      swapping = spawn_link(fn -> swap(table, [row, put_elem(row, 1, other)]) end)

      sent = for _ <- 1..20_000, do: Routes.send_to(table, pid, :text) == :ok
      assert Enum.any?(sent)
      assert Process.info(other, :message_queue_len) == {:message_queue_len, 0}
      for process <- [swapping, other, pid], do: Process.unlink(process)
      for process <- [swapping, other, pid], do: Process.exit(process, :kill)
      ended(swapping)
      close(table)
    end

    defp swap(table, [one, other]) do
      :ets.insert(table, one)
      swap(table, [other, one])
    end
  end

  test "what is not shaped like a hop is a mistake, whoever makes it" do
    table = table([:coordinator, {:worker, 1}])

    for hop <- [
          {Routes, :bogus, :coordinator, :all, 1},
          {Routes, :ring, :bogus, :all, 1},
          {Routes, :ring, {:worker, 0}, {:worker, 1}, 1},
          {Routes, :tree, :coordinator, :bogus, 1},
          {Routes, :tree, :coordinator, {:worker, 1.0}, 1},
          {Routes, :tree, :coordinator, {:bogus, self()}, 1},
          {Routes, :tree, :coordinator, 1},
          {Router, :tree, :coordinator, :all, 1}
        ] do
      attempt = fn table ->
        assert_raise ArgumentError, ~r"forward/2, got: ", fn -> Routes.forward(table, hop) end
      end

      run(table, :coordinator, attempt)
    end

    assert got(table) == []
    close(table)
  end

  defp mesh!(opts \\ []) do
    member = [test: self()]
    defaults = [coordinator: {Talker, member}, workers: {Talker, [count: 4] ++ member}]
    Member.ecosystem!([topology: :mesh, fault_tolerance: :self_healing] ++ defaults ++ opts)
  end

  defp up(ecosystem, n), do: elem(Roster.up(ecosystem.table, n), 1)

  defp told(ecosystem) do
    :ok = Processes.broadcast(ecosystem, :hello)
    for pid <- Enum.map(Roster.living(ecosystem.table), &elem(&1, 1)), do: Talker.look(pid)
    for {:heard, role, _} <- heard(), do: role
  end

  defp heard do
    receive do
      {:heard, _role, {:ecosystem_message, _, :hello}} = message -> [message | heard()]
      {:heard, _role, _other} -> heard()
    after
      0 -> []
    end
  end

  test "a broadcast goes to those who are there now, whoever came or went since the last one" do
    ecosystem = mesh!()
    workers = for n <- 1..4, do: {:worker, n}
    assert Enum.sort(told(ecosystem)) == [:coordinator | workers]
    assert Enum.sort(told(ecosystem)) == [:coordinator | workers]
    {:ok, fifth} = EcosystemSupervisor.add_worker(ecosystem, Talker, test: self())
    assert Enum.sort(told(ecosystem)) == [:coordinator | workers] ++ [{:worker, 5}]
    :ok = EcosystemSupervisor.remove_worker(ecosystem, fifth)
    assert Enum.sort(told(ecosystem)) == [:coordinator | workers]
    old = up(ecosystem, 2)
    kill(ecosystem, old)

    assert Foundation.Eventually.eventually?(fn ->
             match?({:ok, pid} when pid != old, Roster.up(ecosystem.table, 2))
           end)

    assert Enum.sort(told(ecosystem)) == [:coordinator | workers]
  end

  test "the list that is kept is that of the rows, after each change of them" do
    workers = for n <- 1..3, do: {:worker, n}
    table = table([:coordinator | workers])

    same? = fn ->
      Enum.sort(Roster.pids(table)) == Enum.sort(for({_, pid} <- Roster.living(table), do: pid))
    end

    # While members are started, nothing is kept.
    assert same?.()
    assert :ets.lookup(table, :pids) == []
    Roster.put(table, :state, :ready)
    assert same?.()
    assert [{:pids, _count, [_, _, _, _] = pids}] = :ets.lookup(table, :pids)
    {:ok, second} = Roster.up(table, 2)
    new = spawn(fn -> :ok end)

    for change <- [
          fn -> Roster.down(table, 2, second) end,
          fn -> Roster.started(table, 2, new, Agent, 0) end,
          fn -> Roster.forget(table, 2, new) end
        ] do
      change.()
      assert same?.() and same?.()
    end

    for pid <- pids, do: Process.unlink(pid)
    for pid <- pids, do: Process.exit(pid, :kill)
  end

  test "a member finds its own ecosystem without the registry, and another one that it has spoken with" do
    [one, other] = [mesh!(), mesh!()]

    found =
      Talker.inside(one.coordinator, fn ->
        before = {Caller.find(one.id), Caller.find(other.id)}
        :ok = Processes.send_to(one.id, {:worker, 1}, :hello)
        :ok = Processes.send_to(other.id, {:worker, 1}, :hello)
        {before, {Caller.find(one.id), Caller.find(other.id)}}
      end)

    own = {:ok, {one.supervisor, one.table}}
    assert found == {{:error, :error}, {own, {:ok, {other.supervisor, other.table}}}}
    coordinator = one.coordinator
    assert_receive {:heard, {:worker, 1}, {:ecosystem_message, :coordinator, :hello}}
    assert_receive {:heard, {:worker, 1}, {:ecosystem_message, ^coordinator, :hello}}

    # It has ended, and its id is somebody else's.
    :ok = Processes.shutdown_ecosystem(other)
    again = mesh!(id: other.id)
    found = Talker.inside(coordinator, fn -> Handle.find(other.id, "a test") end)
    assert found == {:ok, {again.supervisor, again.table}}
  end

  test "who is no member keeps the ecosystem that it has spoken with last" do
    [one, other] = [mesh!(), mesh!()]
    for ecosystem <- [one, other], do: :ok = Processes.send_to(ecosystem.id, {:worker, 1}, :hello)
    assert Caller.find(one.id) == :error
    assert Caller.find(other.id) == {:ok, {other.supervisor, other.table}}
    :ok = Processes.shutdown_ecosystem(other)
    assert Caller.find(other.id) == :error
  end

  # As a module does whose `start_link/1` starts a process and then links it.
  test "who becomes a member after it has spoken is known as one" do
    ecosystem = mesh!()
    test = self()
    later = spawn_link(fn -> member(test, ecosystem.table, :later) end)
    send(later, {:run, fn _ -> Processes.send_to(ecosystem, {:worker, 1}, :hello) end})
    assert_receive {:heard, {:worker, 1}, {:ecosystem_message, ^later, :hello}}

    # Its supervisor links it, and then it has its row.
    :sys.replace_state(Roster.get(ecosystem.table, {:supervisor, 1}), fn state ->
      Process.link(later)
      Roster.started(ecosystem.table, Roster.next(ecosystem.table), later, Talker, 0)
      state
    end)

    send(later, {:run, fn _ -> Processes.send_to(ecosystem, {:worker, 1}, :hello) end})
    assert_receive {:heard, {:worker, 1}, {:ecosystem_message, {:worker, 5}, :hello}}
  end
end
