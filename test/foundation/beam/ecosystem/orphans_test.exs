defmodule Foundation.BEAM.Ecosystem.OrphansTest do
  # Who is left when the top supervisor of an ecosystem is killed, and no link ends them.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Inheritance, Roster}
  alias Foundation.Raw

  @moduletag :capture_log

  @layouts [
    flat: [],
    healing: [fault_tolerance: :self_healing],
    nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    one_for_all: [fault_tolerance: :self_healing, supervision: :one_for_all],
    parts: [count: 300],
    parts_nested: [count: 300, fault_tolerance: :self_healing, supervision: :rest_for_one]
  ]

  defp raw!(opts, member \\ []) do
    {count, opts} = Keyword.pop(opts, :count, 3)
    member = Keyword.put_new(member, :test, self())

    defaults = %{
      coordinator: {Raw, member},
      workers: {Raw, [count: count] ++ member},
      shutdown_timeout: 20
    }

    {:ok, ecosystem} = defaults |> Map.merge(Map.new(opts)) |> Processes.spawn_ecosystem()
    on_exit(fn -> Processes.shutdown_ecosystem(ecosystem) end)
    settle(ecosystem)
  end

  defp processes(ecosystem),
    do: [ecosystem.coordinator, Roster.get(ecosystem.table, :steward) | ecosystem.workers]

  defp supervisors(ecosystem) do
    parts = for [pid] <- :ets.match(ecosystem.table, {{:supervisor, :_}, :"$1"}), do: pid
    Enum.uniq([ecosystem.supervisor | parts])
  end

  defp all_ended(pids), do: Enum.each(pids, &ended/1)

  for {name, opts} <- @layouts, linked? <- [true, false] do
    test "a killed top supervisor leaves nobody: #{name}, #{if linked?, do: "", else: "un"}linked" do
      ecosystem = raw!(unquote(opts), linked: unquote(linked?))
      processes = processes(ecosystem)
      Process.exit(ecosystem.supervisor, :kill)
      all_ended(processes)
      assert_nothing_left()
      assert eventually?(fn -> :ets.tab2list(Inheritance) == [] end)
    end

    test "nor one killed together with all below it: #{name}, #{if linked?, do: "", else: "un"}linked" do
      ecosystem = raw!(unquote(opts), linked: unquote(linked?))
      processes = processes(ecosystem)
      supervisors = supervisors(ecosystem)
      # The steward before, so that it can do nothing.
      steward = Roster.get(ecosystem.table, :steward)
      :erlang.suspend_process(ecosystem.supervisor)
      Process.exit(steward, :kill)
      ended(steward)
      for pid <- supervisors, do: Process.exit(pid, :kill)
      all_ended(processes)
      assert_nothing_left()
    end
  end

  test "each is asked first, and has its time" do
    ecosystem = raw!(shutdown_timeout: 60_000)
    processes = processes(ecosystem)
    Process.exit(ecosystem.supervisor, :kill)
    # By the supervisor of workers, which goes on until they have ended.
    for {worker, n} <- Enum.with_index(ecosystem.workers, 1) do
      assert_receive {:asked, {:worker, ^n}, ^worker, :shutdown}
      send(worker, :go)
    end

    coordinator = ecosystem.coordinator
    assert_receive {:asked, :coordinator, ^coordinator, :shutdown}
    # The roster has it still, but there is no ecosystem any more.
    assert :ets.info(ecosystem.table, :owner) not in [:undefined, ecosystem.supervisor]

    for ref <- [ecosystem, ecosystem.id, ecosystem.supervisor],
        do: assert(type(Processes.ecosystem_info(ref)) == :not_found)

    assert Processes.shutdown_ecosystem(ecosystem) == :ok
    send(coordinator, :go)
    all_ended(processes)
    assert_nothing_left()
  end

  test "a member whose start does not return" do
    for {who, opts} <- [
          {:coordinator, []},
          {:coordinator, [supervision: :rest_for_one]},
          {{:worker, 1}, []}
        ] do
      hang = :atomics.new(1, [])
      opts = [fault_tolerance: :self_healing, count: 1] ++ opts
      ecosystem = raw!(opts, hang: hang)
      for _ <- 1..2, do: assert_receive({:raw, _, _})
      {:ok, first} = Roster.up(ecosystem.table, Roster.number(who))
      :atomics.put(hang, 1, 1)
      Process.exit(first, :kill)
      assert_receive {:raw, ^who, second}
      Process.exit(ecosystem.supervisor, :kill)
      ended(second)
      assert_nothing_left()
      for _ <- 1..2, do: flush()
    end
  end

  test "also while all is being started" do
    hang = :atomics.new(1, [])
    :atomics.put(hang, 1, 1)

    for opts <- [[], [fault_tolerance: :self_healing, supervision: :rest_for_one]],
        {who, coordinator, worker} <- [
          {:coordinator, [hang: hang], []},
          {{:worker, 1}, [], [hang: hang]}
        ] do
      config = [
        id: :half,
        coordinator: {Raw, [test: self()] ++ coordinator},
        workers: {Raw, [test: self()] ++ worker},
        start_timeout: 60_000,
        shutdown_timeout: 20
      ]

      task = Task.async(fn -> Processes.spawn_ecosystem(config ++ opts) end)
      if who != :coordinator, do: assert_receive({:raw, :coordinator, _pid})
      assert_receive {:raw, ^who, pid}
      Process.exit(Processes.whereis(:half), :kill)
      assert type(Task.await(task)) == :start_failed
      ended(pid)
      assert_nothing_left()
    end
  end

  test "the same id begins when the ones before have ended" do
    for {_name, opts} <- Enum.take(@layouts, 4), _round <- 1..5 do
      ecosystem = raw!([id: :same] ++ opts, linked: false)
      members = [ecosystem.coordinator | ecosystem.workers]
      Process.exit(ecosystem.supervisor, :kill)
      assert {:ok, next} = Processes.spawn_ecosystem(Member.config([id: :same], test: nil))
      refute Enum.any?(members, &Process.alive?/1)
      assert Processes.whereis(:same) == next.supervisor
      assert Processes.shutdown_ecosystem(next) == :ok
    end
  end

  test "also where the heir has not come to it yet" do
    ecosystem = raw!([id: :same], linked: false)
    members = [ecosystem.coordinator | ecosystem.workers]
    :sys.suspend(Inheritance)
    Process.exit(ecosystem.supervisor, :kill)
    ended(ecosystem.supervisor)
    config = Member.config([id: :same], test: nil)
    task = Task.async(fn -> Processes.spawn_ecosystem(config) end)
    # It waits for the heir.
    assert eventually?(fn -> {:message_queue_len, 2} == queue(Inheritance) end)
    assert Process.alive?(ecosystem.coordinator)
    :sys.resume(Inheritance)
    assert {:ok, next} = Task.await(task)
    refute Enum.any?(members, &Process.alive?/1)
    assert Processes.shutdown_ecosystem(next) == :ok
  end

  defp queue(name), do: Process.info(Process.whereis(name), :message_queue_len)

  test "many that start under that id at once: one does, when the ones before have ended" do
    ecosystem = raw!(id: :same)
    members = [ecosystem.coordinator | ecosystem.workers]
    Process.exit(ecosystem.supervisor, :kill)

    results =
      1..20
      |> Enum.map(fn _ ->
        Task.async(fn ->
          result = Processes.spawn_ecosystem(Member.config([id: :same], test: nil))
          {result, Enum.any?(members, &Process.alive?/1)}
        end)
      end)
      |> Task.await_many(30_000)

    assert [{{:ok, next}, false}] = for({{:ok, _}, _} = result <- results, do: result)
    assert Processes.shutdown_ecosystem(next) == :ok
  end

  test "a tree of one's own starts it again when the ones before have ended" do
    config = %{
      id: :tree,
      coordinator: {Raw, test: self(), linked: false},
      workers: {Raw, test: self(), linked: false, count: 1},
      shutdown_timeout: 20
    }

    start_supervised!({EcosystemSupervisor, config})
    before = for _ <- 1..2, do: assert_receive({:raw, _, _}) |> elem(2)
    first = Processes.whereis(:tree)
    Process.exit(first, :kill)
    assert_receive {:raw, :coordinator, coordinator}
    refute Enum.any?(before, &Process.alive?/1)
    assert_receive {:raw, {:worker, 1}, _worker}
    assert eventually?(fn -> Processes.whereis(:tree) not in [nil, first] end)
    assert {:ok, ^coordinator} = EcosystemSupervisor.get_coordinator(:tree)
    stop_supervised!({EcosystemSupervisor, :tree})
  end

  test "a killed heir has another take its place, for those that are there" do
    ecosystem = raw!([])
    heir = Process.whereis(Inheritance)
    Process.exit(heir, :kill)
    ended(heir)
    assert eventually?(fn -> Process.whereis(Inheritance) not in [nil, heir] end)
    # It has asked each for its table.
    next = Process.whereis(Inheritance)
    assert eventually?(fn -> :ets.info(ecosystem.table, :heir) == next end)
    processes = processes(ecosystem)
    Process.exit(ecosystem.supervisor, :kill)
    all_ended(processes)
    assert_nothing_left()
  end

  test "who ends them may be killed too" do
    ecosystem = raw!(shutdown_timeout: 60_000)
    coordinator = ecosystem.coordinator
    processes = processes(ecosystem)
    Process.exit(ecosystem.supervisor, :kill)

    for worker <- ecosystem.workers do
      assert_receive {:asked, {:worker, _}, ^worker, :shutdown}
      send(worker, :go)
    end

    assert_receive {:asked, :coordinator, ^coordinator, :shutdown}
    Process.exit(:ets.info(ecosystem.table, :owner), :kill)
    # By another.
    assert_receive {:asked, :coordinator, ^coordinator, :shutdown}
    send(coordinator, :go)
    all_ended(processes)
    assert_nothing_left()
  end

  test "an end that is none by a kill leaves nothing on the list" do
    ecosystem = raw!(id: :listed)
    assert [{:listed, table, supervisor, 20}] = :ets.lookup(Inheritance, :listed)
    assert {table, supervisor} == {ecosystem.table, ecosystem.supervisor}
    :ok = Processes.shutdown_ecosystem(ecosystem)
    assert :ets.tab2list(Inheritance) == []
  end
end
