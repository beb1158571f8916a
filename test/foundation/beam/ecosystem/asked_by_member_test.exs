defmodule Foundation.BEAM.Ecosystem.AskedByMemberTest do
  # Ends that are asked for from within.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.Raw

  @moduletag :capture_log

  @layouts [
    flat: [],
    nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    parts: [count: 300]
  ]

  describe "asked for by a member" do
    # It traps exits and is in the call: whoever waited for its end would wait until it is killed.
    defmodule Asker do
      use GenServer

      def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

      @impl true
      def init(opts) do
        Process.flag(:trap_exit, true)
        if opts[:at_once] == opts[:role], do: send(opts[:test], ask(opts[:ecosystem_id]))
        {:ok, opts}
      end

      @impl true
      def handle_cast(:ask, opts) do
        send(opts[:test], ask(opts[:ecosystem_id]))
        {:noreply, opts}
      end

      # A process of its own, that it waits for.
      def handle_cast(:ask_by_task, opts) do
        id = opts[:ecosystem_id]
        send(opts[:test], Task.await(Task.async(fn -> ask(id) end), :infinity))
        {:noreply, opts}
      end

      def handle_cast({:leave, how}, opts) do
        me = self()

        leave = fn ->
          Foundation.BEAM.EcosystemSupervisor.remove_worker(opts[:ecosystem_id], me)
        end

        left = if how == :task, do: Task.await(Task.async(leave), :infinity), else: leave.()
        send(opts[:test], {:left, left, leave.()})
        {:noreply, opts}
      end

      defp ask(id), do: {:asked, Foundation.BEAM.EcosystemSupervisor.shutdown(id)}

      @impl true
      def terminate(reason, opts), do: send(opts[:test], {:terminated, opts[:role], reason})
    end

    # Nobody is to be killed: a test that waited for that would fail.
    defp asker!(opts, member \\ []) do
      {count, opts} = Keyword.pop(opts, :count, 3)
      member = member ++ [test: self()]
      members = [coordinator: {Asker, member}, workers: {Asker, [count: count] ++ member}]
      {:ok, ecosystem} = Processes.spawn_ecosystem(members ++ [shutdown_timeout: 60_000] ++ opts)
      ecosystem
    end

    for {name, opts} <- @layouts, who <- [:coordinator, :worker], how <- [:ask, :ask_by_task] do
      test "#{who}, #{name}, #{how}: it is told :ok, and ends as all others do" do
        ecosystem = asker!(unquote(opts))
        members = [ecosystem.coordinator | ecosystem.workers]
        asked = if unquote(who) == :coordinator, do: hd(members), else: List.last(members)
        GenServer.cast(asked, unquote(how))
        assert_receive {:asked, :ok}, 5_000
        for _ <- tl(members), do: assert_receive({:terminated, {:worker, _}, :shutdown}, 5_000)
        assert_receive {:terminated, :coordinator, :shutdown}, 5_000
        assert_nothing_left()
        refute Enum.any?(members, &Process.alive?/1)
      end
    end

    for {name, opts} <- @layouts, how <- [:itself, :task] do
      test "a worker that removes itself, #{name}, #{how}: it is forgotten, and ends" do
        ecosystem = asker!(unquote(opts))
        {:ok, _members} = Processes.subscribe(ecosystem)
        id = ecosystem.id
        worker = List.last(ecosystem.workers)
        count = length(ecosystem.workers)
        GenServer.cast(worker, {:leave, unquote(how)})
        assert_receive {:left, :ok, {:error, :not_found}}
        assert_receive {:terminated, {:worker, ^count}, :shutdown}

        assert_receive {:members_changed, ^id,
                        %{joined: [], left: [{{:worker, ^count}, ^worker}]}}

        assert EcosystemSupervisor.list_workers(ecosystem) == ecosystem.workers -- [worker]
        assert failures(ecosystem) == 0
        Processes.shutdown_ecosystem(ecosystem)
      end
    end

    test "in a tree of one's own" do
      members = [coordinator: {Asker, test: self()}, workers: {Asker, test: self(), count: 2}]
      config = Map.new(members ++ [shutdown_timeout: 60_000])
      spec = Supervisor.child_spec({EcosystemSupervisor, config}, restart: :temporary)
      supervisor = start_supervised!(spec)
      GenServer.cast(hd(EcosystemSupervisor.list_workers(supervisor)), :ask)
      assert_receive {:asked, :ok}
      assert_receive {:terminated, :coordinator, :shutdown}, 5_000
      ended(supervisor)
    end

    test "one that is no process of OTP's" do
      {:ok, ecosystem} =
        Processes.spawn_ecosystem(
          coordinator: {Raw, test: self()},
          workers: {Raw, test: self()},
          shutdown_timeout: 60_000
        )

      [worker] = ecosystem.workers
      send(worker, {:shutdown, ecosystem, self()})
      assert_receive {:ended, :ok}
      assert_receive {:asked, {:worker, 1}, ^worker, :shutdown}
      send(worker, :go)
      coordinator = ecosystem.coordinator
      assert_receive {:asked, :coordinator, ^coordinator, :shutdown}
      send(coordinator, :go)
      ended(coordinator)
      assert_nothing_left()
    end

    test "in its init: the start fails, and leaves nothing" do
      for role <- [:coordinator, {:worker, 1}], {_name, opts} <- Enum.take(@layouts, 2) do
        member = [test: self(), at_once: role]

        config =
          Map.new([coordinator: {Asker, member}, workers: {Asker, member}, id: :early] ++ opts)

        # Its start may be over before the other process comes to it.
        with {:error, error} <- Processes.spawn_ecosystem(config),
             do: assert(error.error_type == :start_failed)

        assert_receive {:asked, :ok}
        assert_nothing_left()
      end
    end

    test "by a handler of its events, which runs in its steward" do
      handler = {__MODULE__, make_ref()}
      test = self()

      :ok =
        Foundation.Telemetry.attach(
          handler,
          [:foundation, :ecosystem, :worker_died],
          fn _event, _measurements, %{id: id}, _config ->
            send(test, {:asked, Processes.shutdown_ecosystem(id)})
          end,
          nil
        )

      on_exit(fn -> Foundation.Telemetry.detach(handler) end)
      ecosystem = Member.ecosystem!([], test: nil)
      Process.exit(hd(ecosystem.workers), :kill)
      assert_receive {:asked, :ok}, 5_000
      ended(ecosystem.supervisor)
      assert_nothing_left()
    end
  end
end
