defmodule Foundation.BEAM.Ecosystem.WatchTest do
  # What the steward does about starts that take too long, and what it leaves alone.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Additions, Reaper, Roster}
  alias Foundation.Error

  @moduletag :capture_log

  # Milliseconds for what would take days.
  @patience 20_000
  @longest 0xFFFFFFFF

  defp start(opts, member \\ []) do
    on_exit(fn ->
      for %{supervisor: pid} <- Processes.list_ecosystems(), do: Processes.shutdown_ecosystem(pid)
    end)

    config = Member.config(opts, member)
    Task.async(fn -> Processes.spawn_ecosystem(config) end)
  end

  defp fault(task) do
    assert {:error, %Error{error_type: :start_failed, context: context}} =
             Task.await(task, @patience)

    assert_nothing_left()
    {context.role, context.reason}
  end

  test "startup_timeout counts by itself, however long each may take" do
    for role <- [:coordinator, {:worker, 2}], supervision <- [:one_for_one, :rest_for_one] do
      opts = [fault_tolerance: :self_healing, supervision: supervision]
      opts = [start_timeout: @longest] ++ opts
      task = start(opts, at: [role], init: hang_beyond(startup_timeout: 50), trap: true)
      assert fault(task) == {role, {:timeout, 50}}
    end
  end

  @tag :two_schedulers
  test "start_timeout is of each start, though others go on beside it" do
    others = :counters.new(1, [])

    act = fn opts ->
      if opts[:worker_id] == 1, do: hang_beyond(start_timeout: 400).(opts)

      if rem(opts[:worker_id], 2) == 0 do
        receive(do: (:never -> :ok), after: (20 -> :ok))
        :counters.add(others, 1, 1)
      end
    end

    workers = [at: for(n <- 1..2_000, do: {:worker, n}), init: act, test: nil]
    task = start([count: 2_000], workers)
    assert fault(task) == {{:worker, 1}, {:timeout, 400}}
    # Those of the other part take twenty seconds.
    assert :counters.get(others, 1) < 1_000
  end

  test "one that was given up and has started all the same is a failed start" do
    # As the steward does it, just before it looks for whom to kill.
    given_up = fn opts ->
      {:ok, {_supervisor, table}} = Roster.whereis(opts[:ecosystem_id])
      Roster.fault(table, 3, {:timeout, 50})
    end

    for role <- [:coordinator, {:worker, 3}] do
      task = start([start_timeout: @longest], at: [role], init: given_up)
      assert fault(task) == {{:worker, 3}, {:timeout, 50}}
    end
  end

  test "so it is where a worker is added" do
    ecosystem = Member.ecosystem!()

    given_up = fn opts ->
      assert {:overdue, _supervisor} =
               Additions.overdue(ecosystem.table, opts[:worker_id], %{start_timeout: 0})
    end

    opts = [test: self(), init: given_up]

    assert {:error, %Error{error_type: :start_failed, context: context}} =
             EcosystemSupervisor.add_worker(ecosystem, Member, opts)

    assert context.reason == {:timeout, 0}
    ended(up({:worker, 4}))
    assert Roster.numbers(ecosystem.table) |> Enum.sort() == [1, 2, 3]
    assert Additions.numbers(ecosystem.table) == []
    assert failures(ecosystem) == 0
    # Nobody is given up who has started.
    assert Additions.overdue(ecosystem.table, 4, %{start_timeout: 0}) == :ended
  end

  @tag :two_schedulers
  test "a supervisor of workers that is killed while others start brings its own back" do
    opts = [fault_tolerance: :self_healing, count: 32, start_timeout: @longest]
    task = start(opts, at: [{:worker, 32}], init: :wait)
    assert_receive {:waits, {:worker, 32}, held}
    numbers = Enum.to_list(1..31)
    drop_ups(32)
    {:ok, {_top, table}} = Roster.whereis(Processes.list_ecosystems() |> hd() |> Map.get(:id))
    part = Roster.get(table, {:supervisor, 1})
    # Each start has returned.
    assert %{active: 16} = DynamicSupervisor.count_children(part)
    Process.exit(part, :kill)
    for number <- numbers, rem(number, 2) == 1, do: up({:worker, number})
    send(held, :go)
    assert {:ok, ecosystem} = Task.await(task)
    settle(ecosystem)
    for number <- 1..32, do: worker(ecosystem, number)
    assert Roster.get(table, {:supervisor, 1}) != part
    assert :ok = Processes.shutdown_ecosystem(ecosystem)
  end

  test "a coordinator that hangs when it is restarted before all is complete" do
    armed = :atomics.new(1, [])

    opts = [
      fault_tolerance: :self_healing,
      # What the top supervisor starts last, and waits for the coordinator with.
      sample_interval: 60_000,
      startup_timeout: @longest,
      coordinator: {Member, test: self(), init: :hang, armed: armed}
    ]

    kill = fn worker ->
      limit_of(worker[:ecosystem_id], start_timeout: 200)
      :atomics.put(armed, 1, 1)
      Process.exit(worker[:coordinator], :kill)
      ended(worker[:coordinator])
    end

    workers = {Member, test: self(), at: [{:worker, 3}], init: kill, count: 3}
    task = start([workers: workers] ++ opts)
    first = up(:coordinator)
    assert_receive {:hangs, :coordinator, hanging}
    assert ended(hanging) in [:killed, :noproc]
    assert {:ok, ecosystem} = Task.await(task)
    last = up(:coordinator)
    assert last not in [first, hanging]
    assert eventually?(fn -> {:ok, last} == EcosystemSupervisor.get_coordinator(ecosystem) end)
    assert :ok = Processes.shutdown_ecosystem(ecosystem)
  end

  @tag :two_schedulers
  test "with fewer schedulers than when it started, the other parts are left alone" do
    armed = :atomics.new(1, [])
    opts = [fault_tolerance: :self_healing, count: 32]
    coordinator = {Member, test: self(), init: :hang, armed: armed}
    ecosystem = Member.ecosystem!([coordinator: coordinator] ++ opts)
    drop_ups(33)
    limit(ecosystem, start_timeout: 200)
    :atomics.put(armed, 1, 1)
    Foundation.Online.again()
    :erlang.system_flag(:schedulers_online, 1)
    Process.exit(ecosystem.coordinator, :kill)
    assert_receive {:hangs, :coordinator, hanging}
    ended(hanging)
    up(:coordinator)
    settle(ecosystem)
    assert eventually?(fn -> {:ok, nil} != EcosystemSupervisor.get_coordinator(ecosystem) end)
    assert elem(members(ecosystem), 1) == ecosystem.workers
    refute_received {:up, _, _, _}
  end

  test "where there is no supervisor yet, there is nobody to kill" do
    assert Reaper.kill_tree(nil) == :ok
  end
end
