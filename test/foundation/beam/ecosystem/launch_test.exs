defmodule Foundation.BEAM.Ecosystem.LaunchTest do
  # What others do to an ecosystem, and to what stands under all of them, while it starts.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Config, Inheritance, Launch}
  alias Foundation.{Error, ProcessRegistry}

  @moduletag :capture_log

  @layouts [
    flat: [],
    nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    parts: [count: 64]
  ]

  defp start(:spawn), do: &Processes.spawn_ecosystem/1
  defp start(:link), do: &EcosystemSupervisor.start_link/1

  # A process that starts one, sends what came of it, and stays.
  defp starter(start, config, trap? \\ false) do
    test = self()

    spawn(fn ->
      Process.flag(:trap_exit, trap?)
      send(test, {:result, start.(config)})
      receive(do: (:end -> :ok))
    end)
  end

  defp assert_untouched(starter) do
    assert Process.info(starter, [:links, :messages]) == [links: [], messages: []]
    send(starter, :end)
  end

  defp registry, do: for({_, pid, _, _} <- Supervisor.which_children(ProcessRegistry), do: pid)

  # All others go with it.
  defp kill_registry, do: Process.exit(hd(registry()), :kill)

  defp listed_name(id), do: ProcessRegistry.lookup(:production, {:ecosystem_supervisor, id})

  describe "an ecosystem that somebody ends" do
    for {layout, opts} <- @layouts, how <- [:spawn, :link], trap? <- [false, true] do
      test "when its last member has started and it is not ready: #{layout}, #{how}, #{trap?}" do
        count = Keyword.get(unquote(opts), :count, 3)

        config =
          Member.config([id: :beside] ++ unquote(opts), at: [{:worker, count}], init: :wait)

        starter = starter(start(unquote(how)), config, unquote(trap?))
        assert_receive {:waits, {:worker, ^count}, last}, 5_000
        # Whoever starts the others comes to this one's end before the worker is there.
        drop_ups(count)
        :erlang.suspend_process(starter)
        send(last, :go)
        up({:worker, count})
        assert Processes.shutdown_ecosystem(:beside) == :ok
        :erlang.resume_process(starter)
        assert_receive {:result, {:error, %Error{error_type: :start_failed} = error}}, 5_000
        assert error.message =~ "the ecosystem did not start: "
        assert_nothing_left()
        assert_untouched(starter)
      end
    end

    test "at any time" do
      results =
        for {_, opts} <- @layouts, how <- [:spawn, :link], round <- 1..40 do
          starter = starter(start(how), Member.config([id: :beside] ++ opts, test: nil))
          found? = fn -> Processes.whereis(:beside) != nil end
          wait_busily(found?, 10_000)
          for _ <- 1..(round * 20), do: make_ref()
          assert Processes.shutdown_ecosystem(:beside) == :ok
          assert_receive {:result, result}, 5_000
          Processes.shutdown_ecosystem(:beside)
          send(starter, :end)
          with {:ok, _} <- result, do: :ok, else: (error -> type(error))
        end

      assert Enum.uniq(results) -- [:ok, :start_failed] == []
      assert :start_failed in results
    end

    defp wait_busily(fun, times), do: fun.() or times == 0 or wait_busily(fun, times - 1)

    test "between its start and the look at it" do
      {:ok, plan} = Config.new(Member.config(id: :seen))
      empty = fn -> EcosystemSupervisor.under_foundation(plan) end
      {:ok, top, table} = Launch.run(plan, empty)
      :ok = Processes.shutdown_ecosystem(:seen)
      assert {:error, %Error{error_type: :start_failed} = error} = Launch.struct(plan, top, table)
      assert {error.context.role, error.context.reason} == {nil, :ended}
      assert error.message =~ "were ended meanwhile"
    end

    test "before it has a member" do
      for reason <- [:ended, {:noproc, {GenServer, :call, []}}, :system_limit] do
        {:ok, plan} = Config.new(Member.config(id: :early))
        assert {:error, %Error{} = error} = Launch.run(plan, fn -> {:error, reason} end)

        assert {error.error_type, error.context} ==
                 {:start_failed, %{id: :early, role: nil, reason: reason}}
      end
    end
  end

  describe "an id that is in use" do
    test "leaves a caller that traps exits no message" do
      Member.ecosystem!(id: :used)
      Process.flag(:trap_exit, true)
      config = Member.config([id: :used], test: nil)
      used = Processes.whereis(:used)

      for _ <- 1..20,
          do: assert(EcosystemSupervisor.start_link(config) == {:error, {:already_started, used}})

      refute_receive {:EXIT, _pid, _reason}
    end

    test "and is free by then, is used" do
      {:ok, plan} = Config.new(Member.config(id: :free))
      Process.put(:times, 0)

      empty = fn ->
        times = Process.put(:times, Process.get(:times) + 1)
        if times < 3, do: :ignore, else: EcosystemSupervisor.under_foundation(plan)
      end

      assert {:ok, top, _table} = Launch.run(plan, empty)
      assert Processes.whereis(:free) == top
      Processes.shutdown_ecosystem(:free)
    end

    test "by a process that is no ecosystem: it is said, and nothing else comes of it" do
      ecosystem = Member.ecosystem!(id: :real)
      table = :ets.new(:own, [:public])
      name = {:ecosystem_supervisor, :forged}
      :ok = ProcessRegistry.register(:production, name, self(), %{table: table})
      assert [%{id: :real}] = Processes.list_ecosystems()
      assert Processes.whereis(:forged) == nil
      for ref <- [:forged, self()], do: assert(type(Processes.ecosystem_info(ref)) == :not_found)
      config = Member.config(id: :forged)
      assert {:error, %Error{error_type: :already_exists} = error} = Member.ecosystem(id: :forged)
      assert error.context.supervisor == self()
      assert EcosystemSupervisor.start_link(config) == {:error, {:already_started, self()}}
      ProcessRegistry.unregister(:production, name)
      assert Processes.whereis(:real) == ecosystem.supervisor
    end
  end

  describe "the end of Foundation's supervisor of ecosystems" do
    test "while it is asked" do
      ecosystems = Process.whereis(Foundation.BEAM.Ecosystems)
      :sys.suspend(ecosystems)
      starter = starter(&Processes.spawn_ecosystem/1, Member.config())

      assert eventually?(fn ->
               Process.info(ecosystems, :message_queue_len) == {:message_queue_len, 1}
             end)

      Process.exit(ecosystems, :kill)
      assert_receive {:result, {:error, %Error{error_type: :not_started}}}, 5_000

      assert eventually?(fn ->
               Process.whereis(Foundation.BEAM.Ecosystems) not in [nil, ecosystems]
             end)

      assert_untouched(starter)
    end
  end

  describe "the end of the registry" do
    test "leaves ecosystems to be found, and their ids to be in use" do
      ecosystem = Member.ecosystem!(id: :kept)
      start_supervised!({EcosystemSupervisor, Member.config(id: :own)})
      {top, own} = {ecosystem.supervisor, Processes.whereis(:own)}
      # Nobody can take a name again.
      for pid <- [top, own], do: :sys.suspend(pid)
      kill_registry()

      assert Processes.whereis(:kept) == top
      assert {:ok, %{id: :kept}} = Processes.ecosystem_info(:kept)
      assert {:ok, %{id: :own}} = Processes.ecosystem_info(own)

      assert Processes.list_ecosystems() |> Enum.map(& &1.supervisor) |> Enum.sort() ==
               Enum.sort([top, own])

      for {id, pid} <- [kept: top, own: own] do
        assert {:error, %Error{error_type: :already_exists} = error} = Member.ecosystem(id: id)
        assert error.context.supervisor == pid
        started = EcosystemSupervisor.start_link(Member.config(id: id))
        assert started == {:error, {:already_started, pid}}
      end

      for pid <- [top, own], do: :sys.resume(pid)

      assert eventually?(fn ->
               {listed_name(:kept), listed_name(:own)} == {{:ok, top}, {:ok, own}}
             end)

      assert Processes.shutdown_ecosystem(:kept) == :ok
      Member.ecosystem!(id: :kept)
      stop_supervised!({EcosystemSupervisor, :own})
    end

    test "is the same when it happens again" do
      top = Member.ecosystem!(id: :kept).supervisor

      for _ <- 1..2 do
        before = registry()
        kill_registry()
        assert eventually?(fn -> registry() -- before == registry() end)
        assert eventually?(fn -> listed_name(:kept) == {:ok, top} end)
      end

      assert Processes.shutdown_ecosystem(:kept) == :ok
      assert eventually?(fn -> :ets.tab2list(Inheritance) == [] end)
    end
  end
end
