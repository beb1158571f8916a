defmodule Foundation.BEAM.Ecosystem.StartingTest do
  # What every function does with an ecosystem whose members are still in their `init`.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.BEAM.Ecosystem.{Config, Launch, Roster, Routes, Steward}
  alias Foundation.{Error, Telemetry}

  @moduletag :capture_log

  # Started by a process of its own, which is held by a member that waits in its `init`.
  defp start(at, opts \\ []) do
    test = self()
    member = [test: test, at: [at], init: :wait]
    opts = [id: :held, topology: :ring, memory_strategy: :shared_heap] ++ opts
    opts = [start_timeout: 60_000] ++ opts
    starter = spawn_link(fn -> send(test, {:result, Member.ecosystem(opts, member)}) end)
    assert_receive {:waits, ^at, pid}, 5_000
    on_exit(fn -> Processes.shutdown_ecosystem(:held, timeout: 500) end)
    {starter, pid}
  end

  # Each with what it gives: a type of error, or anything else. The last ends it.
  defp functions(coordinator) do
    hop = {Routes, :ring, :coordinator, :all, :message}

    [
      {:whereis, &is_pid(Processes.whereis(&1)), true},
      {:current, &elem(Processes.current(&1), 0), :ok},
      {:ecosystem_info, &elem(Processes.ecosystem_info(&1), 0), :ok},
      {:ecosystem_health, &elem(Processes.ecosystem_health(&1), 0), :ok},
      {:failures, &Processes.failures/1, {:ok, []}},
      {:neighbours, &type(Processes.neighbours(&1, {:worker, 3})), :not_a_member},
      {:broadcast, &Processes.broadcast(&1, :hello), :ok},
      {:send_to, &type(Processes.send_to(&1, {:worker, 3}, :hello)), :not_a_member},
      {:forward, &type(Processes.forward(&1, hop)), :not_a_member},
      {:pass_token, &type(Processes.pass_token(&1, :token)), :no_token},
      {:start_token, &type(Processes.start_token(&1, {:worker, 3})), :not_a_member},
      {:set_topology, &Processes.set_topology(&1, :ring), :ok},
      {:subscribe, &elem(Processes.subscribe(&1), 0), :ok},
      {:unsubscribe, &Processes.unsubscribe/1, :ok},
      {:share, &elem(Processes.share(&1, %{a: 1}), 0), :ok},
      {:checkpoint, &type(Processes.checkpoint(&1)), :not_a_member},
      {:checkpoint, &type(Processes.checkpoint(&1, 1)), :not_a_member},
      {:get_coordinator, &EcosystemSupervisor.get_coordinator/1, coordinator},
      {:list_workers, &is_list(EcosystemSupervisor.list_workers(&1)), true},
      {:get_ecosystem_info, &elem(EcosystemSupervisor.get_ecosystem_info(&1), 0), :ok},
      # It is refused: see the tests of workers.
      {:add_worker, fn _ -> :ok end, :ok},
      {:remove_worker, &EcosystemSupervisor.remove_worker(&1, self()), {:error, :not_found}},
      {:ecosystem_metrics, &elem(Telemetry.ecosystem_metrics(&1), 0), :ok},
      {:shutdown, fn _ -> :ok end, :ok},
      {:shutdown_ecosystem, fn _ -> :ok end, :ok}
    ]
  end

  defp answers(coordinator) do
    {:ok, ecosystem} = Processes.current(:held)

    for {name, function, expected} <- functions(coordinator),
        ref <- [:held, ecosystem.supervisor, ecosystem],
        do: assert({name, function.(ref)} == {name, expected})
  end

  test "the list is of all functions that take an ecosystem" do
    other = [
      :spawn_ecosystem,
      :spawn_ecosystem!,
      :child_spec,
      :list_ecosystems,
      :isolate_memory_intensive_work,
      :start_isolated_work,
      :await_isolated_work,
      # Of the supervisor's behaviour, and for the start.
      :start_link,
      :start_empty,
      :under_foundation,
      :init,
      :already_exists
    ]

    public =
      for module <- [Processes, EcosystemSupervisor],
          {name, _arity} <- module.__info__(:functions),
          name not in other,
          do: name

    listed = for {name, _function, _expected} <- functions(nil), do: name
    assert Enum.sort(Enum.uniq([:ecosystem_metrics | public])) == Enum.sort(Enum.uniq(listed))
  end

  test "before there is a coordinator, all answer" do
    {_starter, _pid} = start(:coordinator)
    answers({:error, :not_found})
    assert {:ok, []} = Processes.subscribe(:held)
    assert type(Processes.start_token(:held)) == :no_token

    assert {:ok, %{coordinator: nil, workers: [], health_status: :starting}} =
             Processes.current(:held)

    assert {:ok, info} = Processes.ecosystem_info(:held)
    assert %{status: :starting, pid: nil, module: Member, restarts: 0} = info.coordinator
    assert info.coordinator.role == :coordinator
    assert {info.workers, info.total_processes, info.total_memory} == {[], 0, 0}
    assert %{status: :starting, coordinator: :starting, workers: %{total: 0}} = health_of(:held)

    assert {:ok, %{status: :starting, coordinator: :starting}} =
             Telemetry.ecosystem_metrics(:held)

    assert :ok = Processes.shutdown_ecosystem(:held, timeout: 100)
  end

  test "with half of the workers, all answer of those that there are" do
    {_starter, held} = start({:worker, 2})
    {:ok, coordinator} = EcosystemSupervisor.get_coordinator(:held)
    answers({:ok, coordinator})

    assert {:ok, %{coordinator: ^coordinator, workers: [worker], health_status: :starting}} =
             Processes.current(:held)

    assert {:ok, %{total_processes: 2, workers: [%{pid: ^worker}]}} =
             Processes.ecosystem_info(:held)

    # Not healthy, though all of them are alive.
    assert %{status: :starting, coordinator: :alive, workers: %{alive: 1, total: 1}} =
             health_of(:held)

    send(held, :go)
    assert_receive {:result, {:ok, %{health_status: :healthy, workers: [^worker, _, _]}}}
    assert %{status: :healthy} = health_of(:held)
  end

  test "a poller gets a status of each that is listed" do
    {_starter, _held} = start(:coordinator)
    assert [%{id: :held, members: 0}] = Processes.list_ecosystems()

    assert [{:ok, %{status: :starting}}] =
             for(e <- Processes.list_ecosystems(), do: Processes.ecosystem_health(e.id))
  end

  test "a member looks at its own ecosystem in its init" do
    test = self()

    look = fn opts ->
      id = opts[:ecosystem_id]
      health = health_of(id)
      {:ok, info} = Processes.ecosystem_info(id)
      {:ok, _current} = Processes.current(id)
      send(test, {:looked, opts[:role], health.status, info.coordinator.status})
    end

    Member.ecosystem!([count: 1], init: look)
    assert_receive {:looked, :coordinator, :starting, :starting}
    assert_receive {:looked, {:worker, 1}, :starting, :alive}
  end

  test "one whose start has failed is none of the starting while it ends" do
    {_starter, held} = start(:coordinator, start_timeout: 60_000)
    {:ok, %{table: table}} = Processes.current(:held)
    Roster.put(table, :state, :ending)

    assert %{status: :critical, coordinator: :dead} = health_of(:held)
    Roster.put(table, :state, :starting)
    Process.exit(held, :kill)
    assert_receive {:result, {:error, %Error{error_type: :start_failed}}}
  end

  # As `EcosystemSupervisor.start_empty/2` does it, with a pause in between.
  test "who subscribes when there is its name and no child of it yet is told" do
    Process.flag(:trap_exit, true)
    {:ok, plan} = Config.new(Member.config(id: :held))
    {:ok, supervisor} = DynamicSupervisor.start_link(EcosystemSupervisor, {plan, self()})
    assert {:ok, []} = Processes.subscribe(:held)
    assert :ok = Processes.unsubscribe(:held)
    assert {:ok, []} = Processes.subscribe(:held)
    assert {:ok, %{status: :starting}} = Processes.ecosystem_health(:held)
    steward = %{id: Steward, start: {Steward, :start_link, [self()]}}
    {:ok, _steward, table} = DynamicSupervisor.start_child(supervisor, steward)
    empty = fn -> {:ok, supervisor, table} end
    {:ok, _pid, _table} = Launch.run(plan, empty)
    assert_receive {:members_changed, :held, %{joined: [_, _, _, _], left: []}}
    assert :ok = Processes.shutdown_ecosystem(:held)
  end
end
