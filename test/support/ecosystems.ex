defmodule Foundation.Ecosystems do
  @moduledoc """
  `use Foundation.Ecosystems` in tests of ecosystems: after each of them, no ecosystem, member or table
  that came with it is left.
  """

  import ExUnit.Assertions

  alias Foundation.BEAM.Ecosystem.{Additions, Roster}
  alias Foundation.BEAM.Processes
  alias Foundation.{Eventually, Member}

  defmacro __using__(_opts) do
    quote do
      import Foundation.Ecosystems
      alias Foundation.Member
      alias Foundation.BEAM.{Ecosystem, EcosystemSupervisor, Processes}

      setup do
        on_exit(fn -> assert_nothing_left() end)
      end
    end
  end

  @doc "Fails unless all is gone, before long."
  def assert_nothing_left do
    assert Eventually.eventually?(fn ->
             Processes.list_ecosystems() == [] and Member.alive() == [] and tables() == []
           end)
  end

  defp tables, do: for(table <- :ets.all(), :ets.info(table, :name) == Roster, do: table)

  @doc "Fails unless nothing is kept of a worker that is not there."
  def assert_nothing_of(ecosystem, number) do
    rows = :ets.tab2list(ecosystem.table)
    keys = [number, {:own, number}, {:adding, number}, {:snapshot, number}]
    assert for(row <- rows, elem(row, 0) in keys, do: row) == []
    # When the steward has told of it.
    left = fn -> for {^number, pid} <- Additions.left(ecosystem.table), do: pid end
    assert Eventually.eventually?(fn -> left.() == [] end)

    steward = :sys.get_state(Roster.get(ecosystem.table, :steward))
    assert {steward.pending, steward.early} == {%{}, %{}}
  end

  @doc "Waits for the end of a process and gives its reason, `:noproc` where it ends just now."
  def ended(pid) do
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, reason}, 30_000
    reason
  end

  @doc "Kills a process and waits until the steward has heard of it."
  def kill(ecosystem, pid) do
    before = failures(ecosystem)
    Process.exit(pid, :kill)
    ended(pid)
    assert Eventually.eventually?(fn -> failures(ecosystem) > before end)
  end

  @doc """
  Its health, when all members have shown what they do: who takes longer than a look waits, as the machine
  is held up, counts as unresponsive.
  """
  def health_of(ecosystem) do
    {:ok, health} = look_at(ecosystem, &Processes.ecosystem_health/1)
    health
  end

  @doc "The same of its metrics, and of all that has their counts of members."
  def look_at(ecosystem, function, tries \\ 20) do
    case function.(ecosystem) do
      {:ok, %{workers: %{unresponsive: 0}, coordinator: coordinator}} = looked
      when coordinator != :unresponsive ->
        looked

      looked when tries == 0 ->
        looked

      _late ->
        look_at(ecosystem, function, tries - 1)
    end
  end

  @doc "How many failures there have been."
  def failures(ecosystem) do
    {:ok, health} = Processes.ecosystem_health(ecosystem)
    health.failures
  end

  @doc "Waits until the steward has done what it was told of."
  def settle(ecosystem) do
    :sys.get_state(Roster.get(ecosystem.table, :steward))
    ecosystem
  end

  @doc """
  Has the steward go by other limits from now on, as `start_timeout: 200`. A test that begins with such a
  one would fail where the machine is held up before those are late who are to be.
  """
  def limit(%{table: table}, limits), do: limit(table, limits)

  def limit(table, limits) do
    steward = Roster.get(table, :steward)
    :sys.replace_state(steward, &%{&1 | plan: Map.merge(&1.plan, Map.new(limits))})
    # What it has scheduled may be far away.
    send(steward, :watch)
  end

  @doc "The same of an ecosystem that starts, or that somebody else has."
  def limit_of(id, limits) do
    {:ok, {_supervisor, table}} = Roster.whereis(id)
    limit(table, limits)
  end

  @doc "For `init:` of a member that hangs, for which these are the limits."
  def hang_beyond(limits) do
    fn opts ->
      limit_of(opts[:ecosystem_id], limits)
      receive(do: (:never -> :ok))
    end
  end

  @doc "The worker of that number, when it is alive and monitored."
  def worker(ecosystem, number) do
    assert Eventually.eventually?(fn ->
             {_, pid, _, _, status, _} = Roster.member(ecosystem.table, number)
             status == :up and monitored?(ecosystem, pid)
           end)

    elem(Roster.member(ecosystem.table, number), 1)
  end

  # The row is there before the steward is told of it.
  defp monitored?(ecosystem, pid) do
    case Process.info(pid, :monitored_by) do
      {:monitored_by, pids} -> Roster.get(ecosystem.table, :steward) in pids
      nil -> false
    end
  end

  @doc "The coordinator and the workers as they are now."
  def members(ecosystem) do
    {:ok, %{coordinator: coordinator, workers: workers}} = Processes.current(ecosystem)
    {coordinator, workers}
  end

  @doc "Waits for the message of a member with that role that has started; gives its pid."
  def up(role) do
    assert_receive {:up, ^role, pid, _opts}, 30_000
    pid
  end

  @doc "Takes the messages of members that have started."
  def drop_ups(count), do: for(_ <- 1..count, do: assert_receive({:up, _role, _pid, _opts}))

  @doc "The type of an error."
  def type({:error, %Foundation.Error{error_type: type}}), do: type
end
