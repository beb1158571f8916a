defmodule Foundation.BEAM.Ecosystem.StartLinkTest do
  # Ecosystems that are linked to who starts them.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.Error
  alias Foundation.Members.Server

  @moduletag :capture_log

  @layouts [
    flat: [],
    nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    parts: [count: 300]
  ]

  defmodule Sticky do
    @moduledoc "The first does not end when it is asked to, the second does not start."
    use GenServer

    def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

    @impl true
    def init(opts) do
      Process.flag(:trap_exit, true)
      if opts[:worker_id] == 2, do: {:stop, :no}, else: {:ok, opts}
    end

    @impl true
    def terminate(_reason, opts) do
      send(opts[:test], {:sticks, self()})
      receive(do: (:never -> :ok))
    end
  end

  describe "a start_link that fails" do
    test "is an error for a caller that does not trap exits" do
      for {_name, opts} <- @layouts, who <- [:coordinator, {:worker, 2}] do
        config = Member.config(opts, at: [who], init: {:error, :no}, test: nil)
        test = self()

        caller =
          spawn(fn ->
            send(test, {:started, EcosystemSupervisor.start_link(config)})
            receive(do: (:end -> :ok))
          end)

        assert_receive {:started, {:error, %Error{error_type: :start_failed} = error}}
        assert error.context.role == who
        assert_nothing_left()
        assert Process.alive?(caller)
        assert Process.info(caller, [:links, :messages]) == [links: [], messages: []]
        send(caller, :end)
      end
    end

    test "is one too when the ecosystem ends by itself meanwhile" do
      test = self()
      # The coordinator dies as often as it is there; the worker keeps the start from its end.
      config = %{
        coordinator: {Member, test: self()},
        workers: {Member, test: self(), init: :hang, at: [{:worker, 1}]},
        fault_tolerance: :self_healing,
        max_restarts: 0,
        start_timeout: 200
      }

      caller =
        spawn(fn ->
          send(test, {:started, EcosystemSupervisor.start_link(config)})
          receive(do: (:end -> :ok))
        end)

      coordinator = up(:coordinator)
      assert_receive {:hangs, {:worker, 1}, _worker}
      Process.exit(coordinator, :kill)
      assert_receive {:started, {:error, %Error{error_type: :start_failed}}}, 5_000
      assert Process.alive?(caller)
      assert_nothing_left()
      send(caller, :end)
    end

    test "takes what has started with it when its caller dies" do
      for {_name, opts} <- Enum.take(@layouts, 2), reason <- [:kill, :shutdown] do
        test = self()
        member = [at: [{:worker, 2}], init: :hang]
        config = Member.config([start_timeout: 60_000, startup_timeout: 60_000] ++ opts, member)
        caller = spawn(fn -> send(test, EcosystemSupervisor.start_link(config)) end)
        assert_receive {:hangs, {:worker, 2}, _pid}
        drop_ups(2)
        Process.exit(caller, reason)
        assert_nothing_left()
      end
    end

    test "and when it dies while that ends" do
      for {_name, opts} <- Enum.take(@layouts, 2) do
        test = self()
        workers = {Sticky, test: self(), count: 2}
        opts = [coordinator: Server, workers: workers, shutdown_timeout: 60_000] ++ opts
        config = Map.new(opts)
        caller = spawn(fn -> send(test, EcosystemSupervisor.start_link(config)) end)
        assert_receive {:sticks, worker}
        Process.exit(caller, :kill)
        ended(worker)
        assert_nothing_left()
      end
    end
  end

  describe "a start_link that does not fail" do
    test "is linked to its caller, and ends with it" do
      for {_name, opts} <- @layouts do
        test = self()
        config = Member.config(opts, test: nil)

        caller =
          spawn(fn ->
            send(test, {:started, EcosystemSupervisor.start_link(config)})
            receive(do: (:end -> :ok))
          end)

        assert_receive {:started, {:ok, pid}}
        assert {:links, links} = Process.info(caller, :links)
        assert pid in links
        Process.exit(caller, :shutdown)
        ended(pid)
        assert_nothing_left()
      end
    end
  end

  describe "in a tree of one's own, after too many failures" do
    test "the one that is started again is a new one in everything" do
      for supervision <- [:one_for_one, :rest_for_one, :one_for_all] do
        opts = [fault_tolerance: :self_healing, max_restarts: 0, supervision: supervision]
        config = Member.config([id: supervision] ++ opts)
        spec = {EcosystemSupervisor, config}
        {:ok, tree} = Supervisor.start_link([spec], strategy: :one_for_one)
        drop_ups(4)
        {:ok, {first, table}} = Roster.whereis(supervision)
        {:ok, _pid} = EcosystemSupervisor.add_worker(supervision, Member, [])
        {:ok, coordinator} = EcosystemSupervisor.get_coordinator(supervision)
        before = [coordinator | EcosystemSupervisor.list_workers(supervision)]
        Process.exit(coordinator, :kill)
        ended(first)
        drop_ups(4)
        assert eventually?(fn -> Processes.whereis(supervision) not in [nil, first] end)
        refute Enum.any?(before, &Process.alive?/1)
        assert :ets.info(table, :owner) == :undefined

        # A member says that it is there before it has its row.
        assert eventually?(fn ->
                 match?(
                   {:ok, %{status: :healthy, failures: 0, workers: %{total: 3}}},
                   Processes.ecosystem_health(supervision)
                 )
               end)

        Supervisor.stop(tree)
      end
    end
  end
end
