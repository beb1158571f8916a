defmodule Foundation.BEAM.ProcessesTest do
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Events

  doctest Foundation.BEAM.Processes

  describe "spawn_ecosystem" do
    test "returns when every init has" do
      ecosystem = Member.ecosystem!(count: 5)
      assert_received {:up, :coordinator, coordinator, _}
      for n <- 1..5, do: assert_received({:up, {:worker, ^n}, _pid, _opts})
      assert ecosystem.coordinator == coordinator
      assert length(ecosystem.workers) == 5
      assert Enum.all?([coordinator, ecosystem.supervisor | ecosystem.workers], &Process.alive?/1)
    end

    test "gives a struct with every documented field" do
      before = System.system_time(:millisecond)
      config = Member.config(id: :fields, count: 2)
      {:ok, ecosystem} = Processes.spawn_ecosystem(config)
      assert %Ecosystem{id: :fields, config: ^config, health_status: :healthy} = ecosystem
      assert {ecosystem.topology, ecosystem.monitors} == {:tree, []}
      assert ecosystem.started_at in before..System.system_time(:millisecond)
      assert Processes.whereis(:fields) == ecosystem.supervisor

      assert {:ok, _} =
               Foundation.ProcessRegistry.lookup(:production, {:ecosystem_supervisor, :fields})

      assert :ok = Processes.shutdown_ecosystem(ecosystem)
    end

    test "tells members who they are" do
      ecosystem = Member.ecosystem!([id: "told", count: 2], colour: :red)
      assert [first, second] = Enum.map(ecosystem.workers, &GenServer.call(&1, :opts))
      assert {first[:role], first[:worker_id], first[:colour]} == {{:worker, 1}, 1, :red}
      assert {second[:role], second[:worker_id]} == {{:worker, 2}, 2}
      assert first[:coordinator] == ecosystem.coordinator
      assert first[:ecosystem_id] == "told"
      coordinator = GenServer.call(ecosystem.coordinator, :opts)
      assert {coordinator[:role], coordinator[:ecosystem_id]} == {:coordinator, "told"}
      refute Keyword.has_key?(coordinator, :coordinator) or Keyword.has_key?(first, :count)
    end

    test "many, under several supervisors, in the order of their numbers" do
      ecosystem = Member.ecosystem!([count: 1_000], test: nil)
      roles = for pid <- ecosystem.workers, do: GenServer.call(pid, :opts)[:worker_id]
      assert roles == Enum.to_list(1..1_000)
    end

    test "leaves the caller alone: no link, no message, and no end with it" do
      test = self()

      caller =
        spawn(fn ->
          {:ok, ecosystem} = Member.ecosystem([], test: nil)

          send(
            test,
            {:ecosystem, ecosystem, Process.info(self(), [:links, :messages, :monitors])}
          )

          exit(:crash)
        end)

      assert_receive {:ecosystem, ecosystem, info}
      assert info == [links: [], messages: [], monitors: []]
      ended(caller)
      assert {:ok, %{status: :healthy}} = Processes.ecosystem_health(ecosystem)
      assert :ok = Processes.shutdown_ecosystem(ecosystem)
    end

    test "monitors for the caller, where it asks for that" do
      ecosystem = Member.ecosystem!(monitor: true, count: 2)
      assert [coordinator, worker, _] = ecosystem.monitors
      assert {:ok, %{monitors: [^coordinator | _]}} = Processes.current(ecosystem)
      Process.exit(hd(ecosystem.workers), :kill)
      assert_receive {:DOWN, ^worker, :process, _pid, :killed}
      Process.exit(ecosystem.coordinator, :kill)
      assert_receive {:DOWN, ^coordinator, :process, _pid, :killed}
    end

    test "refuses an id that is in use, and takes it again when it is free" do
      ecosystem = Member.ecosystem!(id: :twice)
      assert {:error, error} = Member.ecosystem(id: :twice)
      assert error.error_type == :already_exists
      assert error.context == %{id: :twice, supervisor: ecosystem.supervisor}
      assert error.message =~ ":twice"
      assert {:ok, %{coordinator: coordinator}} = Processes.current(:twice)
      assert coordinator == ecosystem.coordinator
      :ok = Processes.shutdown_ecosystem(ecosystem)
      Member.ecosystem!(id: :twice)
    end

    test "of many callers with one id starts one" do
      results =
        1..20
        |> Enum.map(fn _ -> Task.async(fn -> Member.ecosystem([id: :race], test: nil) end) end)
        |> Task.await_many(30_000)

      assert [{:ok, ecosystem}] = Enum.filter(results, &match?({:ok, _}, &1))
      assert Enum.count(results, &(elem(&1, 0) == :error and type(&1) == :already_exists)) == 19
      :ok = Processes.shutdown_ecosystem(ecosystem)
    end

    test "tells of its start and its end" do
      listen([:foundation, :ecosystem, :started])
      listen([:foundation, :ecosystem, :stopped])
      ecosystem = Member.ecosystem!(id: :events, count: 2)
      supervisor = ecosystem.supervisor
      assert_receive {:event, [_, _, :started], %{duration: duration, workers: 2}, metadata}
      assert duration > 0
      assert metadata == %{id: :events, supervisor: supervisor}
      :ok = Processes.shutdown_ecosystem(ecosystem)
      assert_receive {:event, [_, _, :stopped], %{failures: 0}, metadata}
      assert metadata == %{id: :events, supervisor: supervisor, reason: :shutdown}
    end
  end

  describe "ecosystem_info" do
    test "has every member with its figures" do
      ecosystem = Member.ecosystem!(count: 2)
      {:ok, info} = Processes.ecosystem_info(ecosystem)
      assert {info.total_processes, info.topology, info.id} == {3, :tree, ecosystem.id}
      assert [%{role: {:worker, 1}}, %{role: {:worker, 2}}] = info.workers
      assert %{role: :coordinator, status: :alive, message_queue_len: 0} = info.coordinator
      assert %{module: Member, restarts: 0} = info.coordinator

      assert info.total_memory ==
               Enum.sum(Enum.map([info.coordinator | info.workers], & &1.memory))

      assert Processes.ecosystem_info(ecosystem.supervisor) |> elem(1) |> Map.get(:id) == info.id
    end

    test "counts the messages that wait" do
      ecosystem = Member.ecosystem!()
      Member.hold(ecosystem.coordinator)
      for n <- 1..10, do: send(ecosystem.coordinator, n)
      {:ok, info} = Processes.ecosystem_info(ecosystem)
      assert info.coordinator.message_queue_len == 10
      assert {:ok, %{message_backlog: 10}} = Processes.ecosystem_health(ecosystem)
      send(ecosystem.coordinator, :go)
    end

    test "shows the dead" do
      ecosystem = Member.ecosystem!()
      [first | _] = ecosystem.workers
      kill(ecosystem, first)
      {:ok, info} = Processes.ecosystem_info(ecosystem)
      assert %{pid: ^first, status: :dead, memory: nil, message_queue_len: nil} = hd(info.workers)
      assert info.total_processes == 3
    end

    test "of a thousand takes under 20 ms" do
      ecosystem = Member.ecosystem!([count: 1_000], test: nil)

      times =
        for _ <- 1..20, do: elem(:timer.tc(fn -> Processes.ecosystem_info(ecosystem) end), 0)

      assert Enum.min(times) < 20_000
    end
  end

  describe "ecosystem_health" do
    test "is healthy, degraded, then critical as workers die" do
      ecosystem = Member.ecosystem!(count: 4)
      assert {:ok, %{status: :healthy, failures: 0, last_failure: nil}} = health(ecosystem)
      [first, second, third, _fourth] = ecosystem.workers
      kill(ecosystem, first)

      assert {:ok, %{status: :degraded, workers: %{alive: 3, dead: 1, total: 4}}} =
               health(ecosystem)

      kill(ecosystem, second)
      assert {:ok, %{status: :degraded}} = health(ecosystem)
      kill(ecosystem, third)
      assert {:ok, %{status: :critical, failures: 3} = health} = health(ecosystem)
      assert {health.last_failure.pid, health.last_failure.reason} == {third, :killed}
      assert {:ok, %{health_status: :critical, workers: [_]}} = Processes.current(ecosystem)
    end

    test "is critical without a coordinator" do
      ecosystem = Member.ecosystem!()
      kill(ecosystem, ecosystem.coordinator)
      assert {:ok, %{status: :critical, coordinator: :dead}} = health(ecosystem)
      assert {:ok, %{coordinator: nil, health_status: :critical}} = Processes.current(ecosystem)
      assert EcosystemSupervisor.get_coordinator(ecosystem) == {:error, :not_found}
    end
  end

  defp health(ecosystem), do: Processes.ecosystem_health(ecosystem)

  test "list_ecosystems and whereis know all of them" do
    ecosystems = for id <- [:a, "a", 1], do: Member.ecosystem!(id: id, count: 2)
    listed = Processes.list_ecosystems()
    assert Enum.sort(Enum.map(listed, & &1.id)) == [1, :a, "a"]

    for ecosystem <- ecosystems do
      assert Processes.whereis(ecosystem.id) == ecosystem.supervisor
      entry = Enum.find(listed, &(&1.id === ecosystem.id))
      assert {entry.supervisor, entry.members} == {ecosystem.supervisor, 3}
      assert entry.started_at == ecosystem.started_at
    end
  end
end
