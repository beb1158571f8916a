defmodule Foundation.BEAM.EcosystemSupervisorTest do
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.Error

  doctest Foundation.BEAM.EcosystemSupervisor

  @moduletag :capture_log

  describe "in a tree of one's own" do
    test "it starts and ends with the tree, workers before the coordinator" do
      config = Member.config([id: :tree], trap: true)
      {:ok, tree} = Supervisor.start_link([{EcosystemSupervisor, config}], strategy: :one_for_one)
      drop_ups(4)
      supervisor = Processes.whereis(:tree)

      assert [{{EcosystemSupervisor, :tree}, ^supervisor, :supervisor, _}] =
               Supervisor.which_children(tree)

      Supervisor.stop(tree)
      {:messages, messages} = Process.info(self(), :messages)
      assert {:terminated, :coordinator, _, :shutdown} = List.last(messages)
      assert length(messages) == 4
      refute Process.alive?(supervisor)
    end

    test "by Processes.child_spec/1 and a keyword list" do
      spec = Processes.child_spec(Keyword.new(Member.config(id: :keyword)))
      start_supervised!(spec)
      assert length(EcosystemSupervisor.list_workers(:keyword)) == 3
    end

    test "what is no configuration is an error of its start" do
      for config <- [%Foundation.Error{error_type: :a, message: "b"}, nil, [1]] do
        assert %{id: {EcosystemSupervisor, nil}, start: {module, fun, args}} =
                 EcosystemSupervisor.child_spec(config)

        assert type(apply(module, fun, args)) == :validation_error
      end
    end

    test "it ends with the process that it is linked to" do
      test = self()

      owner =
        spawn(fn ->
          {:ok, pid} = EcosystemSupervisor.start_link(Member.config([], test: nil))
          send(test, {:pid, pid})
          receive(do: (:never -> :ok))
        end)

      assert_receive {:pid, pid}
      Process.exit(owner, :shutdown)
      assert ended(pid) in [:shutdown, :noproc]
    end

    test "it is started again by the tree when it has failed too often" do
      opts = [id: :often, fault_tolerance: :self_healing, max_restarts: 0]
      start_supervised!({EcosystemSupervisor, Member.config(opts)})
      drop_ups(4)
      first = Processes.whereis(:often)
      {:ok, coordinator} = EcosystemSupervisor.get_coordinator(:often)
      Process.exit(coordinator, :kill)
      assert ended(first) in [:shutdown, :noproc]
      drop_ups(4)
      assert Processes.whereis(:often) not in [nil, first]
    end

    test "every strategy restarts whom it names" do
      Process.flag(:trap_exit, true)

      for {supervision, ups} <- [one_for_one: 1, rest_for_one: 4, one_for_all: 4] do
        opts = [id: supervision, supervision: supervision, fault_tolerance: :self_healing]
        {:ok, pid} = EcosystemSupervisor.start_link(Member.config(opts))
        drop_ups(4)
        {:ok, coordinator} = EcosystemSupervisor.get_coordinator(pid)
        Process.exit(coordinator, :kill)
        drop_ups(ups)
        assert eventually?(fn -> length(EcosystemSupervisor.list_workers(pid)) == 3 end)
        refute_received {:up, _, _, _}
        assert :ok = EcosystemSupervisor.shutdown(pid)
        for _ <- 1..3, do: flush()
      end
    end

    test "errors are those of a start" do
      Process.flag(:trap_exit, true)
      assert {:error, %Error{error_type: :validation_error}} = EcosystemSupervisor.start_link([])
      {:ok, pid} = EcosystemSupervisor.start_link(Member.config(id: :mine))

      assert {:error, {:already_started, ^pid}} =
               EcosystemSupervisor.start_link(Member.config(id: :mine))

      assert type(Member.ecosystem(id: :mine)) == :already_exists
      failing = Member.config([], at: [{:worker, 2}], init: {:error, :no})
      assert {:error, %Error{error_type: :start_failed}} = EcosystemSupervisor.start_link(failing)
      :ok = EcosystemSupervisor.shutdown(pid)
      assert_nothing_left()
    end
  end

  describe "workers that come and go" do
    test "added ones get the next number, and their own module and options" do
      ecosystem = Member.ecosystem!(count: 2)

      assert {:ok, pid} =
               EcosystemSupervisor.add_worker(ecosystem, Member, test: self(), colour: :blue)

      opts = GenServer.call(pid, :opts)

      assert {opts[:role], opts[:colour], opts[:coordinator]} ==
               {{:worker, 3}, :blue, ecosystem.coordinator}

      assert List.last(EcosystemSupervisor.list_workers(ecosystem)) == pid
      {:ok, info} = EcosystemSupervisor.get_ecosystem_info(ecosystem)
      assert info.total_processes == 4
      assert {:ok, _} = EcosystemSupervisor.add_worker(ecosystem.supervisor, Member)
    end

    test "added ones come back as what they were" do
      ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
      {:ok, pid} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self(), colour: :blue)
      drop_ups(5)
      kill(settle(ecosystem), pid)
      assert_receive {:up, {:worker, 4}, _new, opts}
      assert opts[:colour] == :blue
    end

    test "one that does not start is an error, and its number is gone" do
      ecosystem = Member.ecosystem!()

      assert {:error, error} =
               EcosystemSupervisor.add_worker(ecosystem, Member, init: {:error, :no})

      assert {error.error_type, error.context.role, error.context.reason} ==
               {:start_failed, {:worker, 4}, :no}

      assert {:ok, pid} = EcosystemSupervisor.add_worker(ecosystem, Member, [])
      assert GenServer.call(pid, :opts)[:worker_id] == 5
    end

    test "removed ones end with :shutdown, are no failures and do not come back" do
      ecosystem = Member.ecosystem!([fault_tolerance: :self_healing], trap: true)
      drop_ups(4)
      [first, second, third] = ecosystem.workers
      assert EcosystemSupervisor.remove_worker(ecosystem, second) == :ok
      assert_received {:terminated, {:worker, 2}, ^second, :shutdown}
      assert EcosystemSupervisor.remove_worker(ecosystem, second) == {:error, :not_found}
      assert EcosystemSupervisor.list_workers(ecosystem) == [first, third]
      settle(ecosystem)
      assert failures(ecosystem) == 0
      refute_received {:up, _, _, _}

      assert %{workers: %{total: 2}, status: :healthy} = health_of(ecosystem)
    end

    test "neither the coordinator nor a stranger can be removed" do
      ecosystem = Member.ecosystem!()

      assert EcosystemSupervisor.remove_worker(ecosystem, ecosystem.coordinator) ==
               {:error, :not_found}

      assert EcosystemSupervisor.remove_worker(ecosystem, self()) == {:error, :not_found}
      assert Process.alive?(ecosystem.coordinator)
    end

    test "many at once, with deaths between: numbers stay unique, and nobody comes back" do
      ecosystem =
        Member.ecosystem!([fault_tolerance: :self_healing, max_restarts: 10_000, count: 1],
          test: nil
        )

      1..8
      |> Enum.map(fn _ ->
        Task.async(fn ->
          for _ <- 1..25 do
            {:ok, pid} = EcosystemSupervisor.add_worker(ecosystem, Member, [])
            if rem(:erlang.phash2(pid), 2) == 0, do: Process.exit(pid, :kill)
            EcosystemSupervisor.remove_worker(ecosystem, pid)
          end
        end)
      end)
      |> Task.await_many()

      # Who was killed may have been back by then; the rest is gone.
      for pid <- tl(EcosystemSupervisor.list_workers(ecosystem)),
          do: EcosystemSupervisor.remove_worker(ecosystem, pid)

      assert eventually?(fn ->
               Enum.each(
                 Enum.drop(EcosystemSupervisor.list_workers(ecosystem), 1),
                 &EcosystemSupervisor.remove_worker(ecosystem, &1)
               )

               length(Member.alive()) == 2
             end)
    end

    test "modules and options that are none raise" do
      ecosystem = Member.ecosystem!()

      for module <- [NoSuchModule, Enum, "Agent", nil] do
        assert_raise ArgumentError,
                     ~r/invalid module: expected a module that exports start_link\/1, got:/,
                     fn ->
                       EcosystemSupervisor.add_worker(ecosystem, module)
                     end
      end

      assert_raise ArgumentError, ~r/invalid options: expected a keyword list, got: \[1\]/, fn ->
        EcosystemSupervisor.add_worker(ecosystem, Member, [1])
      end

      assert_raise ArgumentError, ~r/invalid worker: expected a pid, got: 1/, fn ->
        EcosystemSupervisor.remove_worker(ecosystem, 1)
      end
    end
  end
end
