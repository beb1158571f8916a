defmodule Foundation.Elsewhere do
  @moduledoc """
  What tests have done to ecosystems on another node, because this one would not stand it: see
  `Foundation.Peer`. Each function gives what it has seen, for the test to judge.
  """

  alias Foundation.BEAM.Ecosystem.{Config, Inheritance, Launch, Roster}
  alias Foundation.BEAM.{EcosystemSupervisor, Processes}
  alias Foundation.{Eventually, Members, ProcessRegistry, Raw}

  @doc """
  Starts an ecosystem where the VM has room for so many more processes, which is known by nobody
  beforehand. Afterwards there is room again: `{result, what it left the caller, what is left}`.
  """
  def crowded(how, opts, free) do
    before = :erlang.system_info(:process_count)

    config =
      Map.merge(%{coordinator: Members.Server, workers: {Members.Server, []}}, Map.new(opts))

    {:ok, plan} = Config.new(config)
    others = fill(free)
    {outcome, left} = attempt(how, plan)
    Enum.each(others, &Process.exit(&1, :kill))
    room? = Eventually.eventually?(fn -> :erlang.system_info(:process_count) <= before end)
    gone? = Eventually.eventually?(fn -> :ets.tab2list(Inheritance) == [] end)
    {outcome, left, {room?, gone?, Processes.list_ecosystems()}}
  end

  defp attempt(how, plan) do
    result = start(how, plan)
    # What an end sends is there by then.
    outcome = with {:ok, top, _} <- result, do: end_all(top)
    {outcome, Process.info(self(), [:links, :monitors, :messages])}
  end

  defp end_all(top) do
    Process.unlink(top)
    {:ok, Processes.shutdown_ecosystem(top)}
  end

  defp start(:spawn, plan),
    do: Launch.run(plan, fn -> EcosystemSupervisor.under_foundation(plan) end)

  defp start(:link, plan) do
    plan = %{plan | nested?: true, linked?: true}
    Launch.run(plan, fn -> EcosystemSupervisor.start_empty(plan, self()) end)
  end

  defp fill(free) do
    room = :erlang.system_info(:process_limit) - :erlang.system_info(:process_count) - free
    Enum.flat_map(1..room//1, fn _ -> one_more() end)
  end

  defp one_more do
    [spawn(fn -> receive(do: (:never -> :ok)) end)]
  rescue
    # Something of the VM's own has begun meanwhile.
    SystemLimitError -> []
  end

  @doc "Configurations of so many workers fewer than there is room for processes: what comes of each."
  def configured(fewer) do
    server = Members.Server
    free = :erlang.system_info(:process_limit) - :erlang.system_info(:process_count)

    for fewer <- fewer,
        do: Config.new(%{coordinator: server, workers: {server, count: free - fewer}})
  end

  @doc "Stops the application under an ecosystem of a tree of its own, and starts it again."
  def outlived do
    raw = {Raw, linked: false}
    config = %{id: :own, coordinator: raw, workers: raw, fault_tolerance: :self_healing}
    config = Map.put(config, :shutdown_timeout, 20)
    {:ok, tree} = Supervisor.start_link([{EcosystemSupervisor, config}], strategy: :one_for_one)
    {:ok, {top, table}} = Roster.whereis(:own)
    :ok = Application.stop(:foundation)
    stopped = stopped(config)
    {:ok, _} = Application.ensure_all_started(:foundation)
    at_once = {Processes.whereis(:own), Processes.spawn_ecosystem(config)}
    name = fn -> ProcessRegistry.lookup(:production, {:ecosystem_supervisor, :own}) end
    heir? = fn -> :ets.info(table, :heir) == Process.whereis(Inheritance) end
    back? = Eventually.eventually?(fn -> name.() == {:ok, top} and heir?.() end)
    members = for {_, pid, _, _, _, _} <- Roster.members(table), do: pid
    :ok = Supervisor.terminate_child(tree, {EcosystemSupervisor, :own})
    {:ok, again} = Supervisor.restart_child(tree, {EcosystemSupervisor, :own})
    ended? = not Enum.any?(members, &Process.alive?/1)
    # Whom no link ends are ended by the heir.
    {:ok, {^again, table}} = Roster.whereis(:own)
    members = for {_, pid, _, _, _, _} <- Roster.members(table), do: pid
    Supervisor.stop(tree)

    %{
      top: top,
      stopped: stopped,
      at_once: at_once,
      back?: back?,
      ended?: ended?,
      gone?: Eventually.eventually?(fn -> not Enum.any?(members, &Process.alive?/1) end)
    }
  end

  defp stopped(config) do
    # By a process that does not trap exits.
    task = Task.async(fn -> EcosystemSupervisor.start_link(%{config | id: :other}) end)

    %{
      start_link: Task.await(task),
      spawn: Processes.spawn_ecosystem(%{config | id: :other}),
      whereis: Processes.whereis(:own),
      list: Processes.list_ecosystems(),
      info: Processes.ecosystem_info(:own),
      by_pid: Processes.ecosystem_info(self()),
      workers: EcosystemSupervisor.list_workers(:own),
      shutdown: Processes.shutdown_ecosystem(:own)
    }
  end
end
