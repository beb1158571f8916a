defmodule Foundation.BEAM.Ecosystem.MembershipTest do
  # Workers that are added while something else goes wrong: what was returned is so afterwards.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Membership, Roster, Workers}
  alias Foundation.BEAM.Ecosystem.Member, as: Starts
  alias Foundation.{Error, Members}

  # Supervisors report members that do not start.
  @moduletag :capture_log

  defmodule Odd do
    def start_link(opts), do: opts[:fun].()
  end

  defp failed({:error, %Error{error_type: :start_failed, context: context}}),
    do: {context.role, context.reason}

  # Adding and healing go on, with time for it.
  defp assert_goes_on(ecosystem) do
    limit(ecosystem, start_timeout: 60_000)
    assert {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
    settle(ecosystem)
    Process.exit(added, :kill)
    number = Roster.worker(ecosystem.table, added)
    assert eventually?(fn -> elem(Roster.member(ecosystem.table, number), 1) != added end)
  end

  describe "a worker that takes too long to start" do
    test "is an error, and the rest goes on" do
      ecosystem = Member.healing!([], test: nil)
      limit(ecosystem, start_timeout: 50)
      opts = [test: self(), init: :hang, trap: true]

      assert failed(EcosystemSupervisor.add_worker(ecosystem, Member, opts)) ==
               {{:worker, 4}, {:timeout, 50}}

      assert_received {:hangs, {:worker, 4}, hanging}
      refute Process.alive?(hanging)
      assert_nothing_of(ecosystem, 4)
      assert {_coordinator, [_, _, _]} = members(ecosystem)
      assert_goes_on(ecosystem)
    end

    test "is ended also where the caller is killed meanwhile" do
      ecosystem = Member.healing!([start_timeout: 60_000], test: nil)
      test = self()

      caller =
        spawn(fn ->
          EcosystemSupervisor.add_worker(ecosystem, Member, test: test, init: :hang, trap: true)
        end)

      assert_receive {:hangs, {:worker, 4}, hanging}
      Process.exit(caller, :kill)
      limit(ecosystem, start_timeout: 50)
      assert ended(hanging) in [:killed, :noproc]
      assert_goes_on(ecosystem)
      assert_nothing_of(ecosystem, 4)
    end

    test "is ended by another steward than the one that was told of it" do
      ecosystem = Member.healing!([start_timeout: 60_000], test: nil)
      opts = [test: self(), init: :hang, trap: true]
      adding = Task.async(fn -> EcosystemSupervisor.add_worker(ecosystem, Member, opts) end)
      assert_receive {:hangs, {:worker, 4}, _hanging}
      steward = Roster.get(ecosystem.table, :steward)
      Process.exit(steward, :kill)
      assert eventually?(fn -> Roster.get(ecosystem.table, :steward) not in [nil, steward] end)
      limit(ecosystem, start_timeout: 200)
      assert failed(Task.await(adding)) == {{:worker, 4}, {:timeout, 200}}
      assert_goes_on(ecosystem)
    end

    test "does not keep others from coming back" do
      ecosystem = Member.healing!([start_timeout: 60_000], test: nil)
      opts = [test: self(), init: :hang, trap: true]
      adding = Task.async(fn -> EcosystemSupervisor.add_worker(ecosystem, Member, opts) end)
      assert_receive {:hangs, {:worker, 4}, _hanging}
      [first | _] = ecosystem.workers
      kill(ecosystem, first)
      limit(ecosystem, start_timeout: 100)
      assert failed(Task.await(adding)) == {{:worker, 4}, {:timeout, 100}}
      limit(ecosystem, start_timeout: 60_000)
      assert eventually?(fn -> elem(Roster.member(ecosystem.table, 1), 1) != first end)
    end

    test "in start_link itself, before there is a process, takes its supervisor with it" do
      ecosystem = Member.healing!([], test: nil)
      limit(ecosystem, start_timeout: 50)
      never = fn -> receive(do: (:never -> :ok)) end

      assert failed(EcosystemSupervisor.add_worker(ecosystem, Odd, fun: never)) ==
               {{:worker, 4}, {:timeout, 50}}

      limit(ecosystem, start_timeout: 60_000)

      assert eventually?(fn ->
               {_, workers} = members(ecosystem)

               length(workers) == 3 and
                 MapSet.disjoint?(MapSet.new(workers), MapSet.new(ecosystem.workers))
             end)

      assert eventually?(fn ->
               match?({:ok, _}, EcosystemSupervisor.add_worker(ecosystem, Member, test: nil))
             end)

      assert_nothing_of(ecosystem, 4)
    end
  end

  describe "a worker whose supervisor is killed while it is added" do
    # In the place of the workers' supervisor: it starts the worker, and is killed before it says so.
    defp dying_supervisor(ecosystem) do
      context = Starts.new(ecosystem.table, %{Roster.plan(ecosystem.table) | worker: {Odd, []}})

      spawn(fn ->
        receive do
          {:"$gen_call", _from, {:start_child, child}} ->
            {module, function, arguments} = elem(child, 0)
            {:ok, _pid} = apply(module, function, [context | arguments])
            Process.exit(self(), :kill)
        end
      end)
    end

    test "leaves nothing, and does not come back as anything else" do
      ecosystem = Member.healing!([], test: nil)
      supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
      Roster.put(ecosystem.table, {:supervisor, 1}, dying_supervisor(ecosystem))
      result = EcosystemSupervisor.add_worker(ecosystem, Member, test: self(), trap: true)
      assert failed(result) == {{:worker, 4}, {:supervisor, :killed}}
      assert_received {:up, {:worker, 4}, pid, _opts}
      ended(pid)
      settle(ecosystem)
      assert_nothing_of(ecosystem, 4)
      Roster.put(ecosystem.table, {:supervisor, 1}, supervisor)
      kill(ecosystem, supervisor |> DynamicSupervisor.which_children() |> hd() |> elem(1))
      Process.exit(supervisor, :kill)
      assert eventually?(fn -> Roster.get(ecosystem.table, {:supervisor, 1}) != supervisor end)

      assert eventually?(fn ->
               {_, workers} = members(ecosystem)
               length(workers) == 3 and workers -- ecosystem.workers == workers
             end)

      assert Roster.numbers(ecosystem.table) |> Enum.sort() == [1, 2, 3]
    end

    test "is not started by what was on its way" do
      ecosystem = Member.healing!([], test: nil)
      supervisor = Roster.get(ecosystem.table, {:supervisor, 1})
      Roster.put(ecosystem.table, {:supervisor, 1}, dying_supervisor(ecosystem))
      result = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
      assert {{:worker, 4}, {:supervisor, :killed}} = failed(result)

      for arguments <- [[4, :again], [4, Member, [test: self()], false]] do
        plan = Roster.plan(ecosystem.table)
        assert Workers.start(supervisor, plan, arguments) == :ignore
      end

      refute_received {:up, _, _, _}
      assert_nothing_of(settle(ecosystem), 4)
      Roster.put(ecosystem.table, {:supervisor, 1}, supervisor)
    end
  end

  test "while the ecosystem is starting, no worker can be added" do
    test = self()

    start = fn ->
      send(test, {:result, EcosystemSupervisor.add_worker(:early, Member)})
      Member.start_link(test: nil)
    end

    {:ok, ecosystem} =
      Processes.spawn_ecosystem(Member.config(id: :early, coordinator: {Odd, fun: start}))

    assert_received {:result, {:error, %Error{error_type: :not_ready} = error}}
    assert error.message == "the ecosystem :early is still starting: no worker can be added yet"
    assert error.context == %{id: :early}
    assert {:ok, added} = EcosystemSupervisor.add_worker(:early, Member)
    assert Roster.worker(ecosystem.table, added) == 4
    :ok = Processes.shutdown_ecosystem(ecosystem)
  end

  test "options that the ecosystem sets itself are refused, as in a configuration" do
    ecosystem = Member.ecosystem!()
    opts = [role: :coordinator, colour: :red, coordinator: self()]

    error =
      assert_raise ArgumentError, fn ->
        EcosystemSupervisor.add_worker(ecosystem, Member, opts)
      end

    assert error.message ==
             "option :role of add_worker/3 is set by the ecosystem; " <>
               "option :coordinator of add_worker/3 is set by the ecosystem"

    assert_raise ArgumentError, "option :count is none of add_worker/3, which adds one", fn ->
      EcosystemSupervisor.add_worker(ecosystem, Member, count: 2)
    end

    assert Roster.get(ecosystem.table, :next) == 3
  end

  test "a worker that comes just before the steward hears that all are ready is monitored once" do
    ecosystem = Member.healing!([], test: nil)
    table = ecosystem.table
    steward = fn -> Roster.get(table, :steward) end
    # A steward as it is while members start: what says that all have is on its way to it.
    old = steward.()
    Roster.put(table, :state, :starting)
    Process.exit(old, :kill)
    assert eventually?(fn -> steward.() not in [old, nil] end)
    refute :sys.get_state(steward.()).ready?
    Roster.put(table, :state, :ready)
    {:ok, worker} = EcosystemSupervisor.add_worker(ecosystem, Member, test: nil)
    GenServer.cast(steward.(), :ready)
    assert :sys.get_state(steward.()).ready?
    {:monitored_by, pids} = Process.info(worker, :monitored_by)
    assert Enum.count(pids, &(&1 == steward.())) == 1
  end

  test "what goes wrong inside goes wrong in the caller" do
    table = :ets.new(:gone, [:public])
    :ets.delete(table)
    assert_raise ArgumentError, fn -> Membership.remove(table, self()) end
    ecosystem = Member.ecosystem!()
    :ok = Processes.shutdown_ecosystem(ecosystem)
    assert type(EcosystemSupervisor.add_worker(ecosystem, Members.Server)) == :not_found
  end
end
