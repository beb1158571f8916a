defmodule Foundation.BEAM.Ecosystem.Members do
  @moduledoc false

  # What stands below an ecosystem's top supervisor beside the steward: the coordinator, and the
  # supervisors of workers. Where a strategy joins their restarts, or the ecosystem is part of a tree that
  # is to end it in order, they have a supervisor of their own, this one, so that the steward outlives
  # what happens to them. Otherwise they stand below the top supervisor itself, which takes less time
  # to start.
  #
  # A supervisor that has restarted too often exits with `:shutdown`, which is not restarted, and ends
  # the ecosystem: here by `:auto_shutdown`, at the top by the steward. One that somebody kills is
  # restarted, as a member is.

  use Supervisor

  alias Foundation.BEAM.Ecosystem.{Config, Member, Roster, Tell, Ticker, Workers}

  @doc """
  What the top supervisor is to start; it prepends table and plan to the arguments itself. In order: what
  comes first, for each part of the workers what is to be started before them, and what comes last.
  """
  @spec specs(Config.t()) ::
          {Supervisor.child_spec(), [{pos_integer(), [Supervisor.child_spec()]}],
           [Supervisor.child_spec()]}
  def specs(%{nested?: false} = plan) do
    parts = for {spec, part} <- Enum.with_index(parts(plan, []), 1), do: {part, [spec]}
    {coordinator(plan, []), parts, Ticker.specs(plan)}
  end

  # Members that are to stay dead do not come back with it.
  def specs(plan) do
    restart = if plan.fault_tolerance == :standard, do: :temporary, else: :transient
    members = %{supervisor({__MODULE__, :start_link, []}) | id: __MODULE__, restart: restart}
    {members, for(part <- 1..plan.parts, do: {part, []}), Ticker.specs(plan)}
  end

  @spec start_link(Roster.table(), Config.t()) :: Supervisor.on_start()
  def start_link(table, plan) do
    # One that does not start is tried again: the steward hears of those that have.
    with {:ok, pid} <- Supervisor.start_link(__MODULE__, {table, plan}) do
      Tell.supervisor(table, 0, pid)
      {:ok, pid}
    end
  end

  @impl true
  def init({table, plan}) do
    Roster.put(table, :starting, self())
    arguments = [table, plan]

    flags = %{
      strategy: strategy(plan),
      intensity: plan.max_restarts || 3,
      period: plan.max_seconds,
      auto_shutdown: :any_significant
    }

    # With one for all, a worker's end is the end of its supervisor, which has no restarts: that is
    # what restarts all members, and is counted here.
    part =
      if plan.fault_tolerance == :self_healing and plan.supervision == :one_for_all,
        do: %{restart: :permanent},
        else: %{significant: true}

    parts = Enum.map(parts(plan, arguments), &Map.merge(&1, part))
    {:ok, {flags, [coordinator(plan, arguments) | parts]}}
  end

  # Where the dead stay dead, the others are not stopped for them either.
  defp strategy(%{fault_tolerance: :standard}), do: :one_for_one
  defp strategy(plan), do: plan.supervision

  defp coordinator(plan, arguments) do
    %{
      id: :coordinator,
      start: {Member, :start_coordinator, arguments},
      restart: if(plan.fault_tolerance == :standard, do: :temporary, else: :permanent),
      shutdown: plan.shutdown_timeout
    }
  end

  defp parts(plan, arguments) do
    for part <- 1..plan.parts do
      %{supervisor({Workers, :start_link, arguments ++ [part]}) | id: {:workers, part}}
    end
  end

  defp supervisor(start),
    do: %{id: nil, start: start, restart: :transient, shutdown: :infinity, type: :supervisor}
end
