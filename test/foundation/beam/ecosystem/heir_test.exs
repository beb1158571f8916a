defmodule Foundation.BEAM.Ecosystem.HeirTest do
  # Who is left when the heir of the tables is killed, and with it or after it who had a table.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Heir, Inheritance}
  alias Foundation.Raw

  @moduletag :capture_log

  @layouts [
    flat: [count: 3],
    nested: [count: 3, fault_tolerance: :self_healing, supervision: :rest_for_one],
    parts: [count: 40, fault_tolerance: :self_healing],
    parts_nested: [count: 40, fault_tolerance: :self_healing, supervision: :one_for_all]
  ]

  # Until it is started again there is none, as for a moment after it was killed.
  defp end_heir do
    on_exit(&start_heir/0)
    :ok = Supervisor.terminate_child(Foundation.Supervisor, Heir)
  end

  defp start_heir, do: Supervisor.restart_child(Foundation.Supervisor, Heir)

  defp raw!(opts, member) do
    {count, opts} = Keyword.pop(opts, :count, 3)
    member = [test: self()] ++ member
    defaults = [coordinator: {Raw, member}, workers: {Raw, [count: count] ++ member}]
    ecosystem = Processes.spawn_ecosystem!(defaults ++ opts)
    members = [ecosystem.coordinator | ecosystem.workers]
    on_exit(fn -> Enum.each(members, &Process.exit(&1, :kill)) end)
    settle(ecosystem)
    {ecosystem, members}
  end

  # With nobody whom its table could go to.
  defp lose(ecosystem, owner) do
    Process.exit(owner, :kill)
    ended(owner)
    assert eventually?(fn -> :ets.info(ecosystem.table) == :undefined end)
  end

  defp over(ecosystem) do
    assert eventually?(fn -> :ets.lookup(Inheritance, ecosystem.id) == [] end)
    assert_nothing_left()
  end

  for {name, opts} <- @layouts, linked? <- [true, false] do
    test "killed together with a top supervisor: #{name}, #{if linked?, do: "", else: "un"}linked" do
      {ecosystem, members} =
        raw!([shutdown_timeout: 20] ++ unquote(opts), linked: unquote(linked?))

      end_heir()
      lose(ecosystem, ecosystem.supervisor)
      {:ok, _heir} = start_heir()
      Enum.each(members, &ended/1)
      over(ecosystem)
    end
  end

  test "the members have their time as well, and the same id waits for their ends" do
    {ecosystem, members} = raw!([id: :same, shutdown_timeout: 60_000], linked: false)
    end_heir()
    lose(ecosystem, ecosystem.supervisor)
    config = Member.config([id: :same], test: nil)

    task =
      Task.async(fn ->
        result = Processes.spawn_ecosystem(config)
        {result, Enum.any?(members, &Process.alive?/1)}
      end)

    for _ <- members do
      assert_receive {:asked, _role, pid, :shutdown}
      send(pid, :go)
    end

    assert {{:ok, next}, false} = Task.await(task)
    {:ok, _heir} = start_heir()
    assert eventually?(fn -> :ets.info(next.table, :heir) == Process.whereis(Inheritance) end)
    assert Processes.shutdown_ecosystem(next) == :ok
  end

  # The coordinator waits to be told to go; who ends it owns the table.
  defp orphaned! do
    {ecosystem, members} = raw!([shutdown_timeout: 60_000], linked: false)
    Process.exit(ecosystem.supervisor, :kill)

    for worker <- ecosystem.workers do
      assert_receive {:asked, {:worker, _}, ^worker, :shutdown}
      send(worker, :go)
    end

    coordinator = ecosystem.coordinator
    assert_receive {:asked, :coordinator, ^coordinator, :shutdown}
    {ecosystem, members, :ets.info(ecosystem.table, :owner)}
  end

  defp asked_again(ecosystem, members) do
    coordinator = ecosystem.coordinator
    assert_receive {:asked, :coordinator, ^coordinator, :shutdown}
    send(coordinator, :go)
    Enum.each(members, &ended/1)
    over(ecosystem)
  end

  test "killed while another ends who is left: that one leaves the table to the next heir" do
    {ecosystem, members, orphans} = orphaned!()
    end_heir()
    {:ok, heir} = start_heir()
    assert eventually?(fn -> :ets.info(ecosystem.table, :heir) == heir end)
    Process.exit(orphans, :kill)
    asked_again(ecosystem, members)
  end

  test "or has lost it before there is one" do
    {ecosystem, members, orphans} = orphaned!()
    end_heir()
    lose(ecosystem, orphans)
    {:ok, _heir} = start_heir()
    asked_again(ecosystem, members)
  end

  test "or before it has heard of one" do
    {ecosystem, members, orphans} = orphaned!()
    end_heir()
    :erlang.suspend_process(orphans)
    {:ok, _heir} = start_heir()

    assert eventually?(fn ->
             {:message_queue_len, 1} == Process.info(orphans, :message_queue_len)
           end)

    lose(ecosystem, orphans)
    asked_again(ecosystem, members)
  end

  test "killed in between where all is ended in order: nothing stays on the list" do
    {ecosystem, members} = raw!([shutdown_timeout: 20], linked: true)
    end_heir()
    assert Processes.shutdown_ecosystem(ecosystem) == :ok
    Enum.each(members, &ended/1)
    {:ok, _heir} = start_heir()
    over(ecosystem)
  end
end
