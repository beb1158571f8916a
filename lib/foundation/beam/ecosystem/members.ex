defmodule Foundation.BEAM.Ecosystem.Members do
  @moduledoc false

  # The supervisor of the coordinator and of the supervisors of workers. It stands below the
  # ecosystem's top supervisor, beside the steward, so that the steward outlives what a strategy does
  # to members.
  #
  # What ends the ecosystem: a supervisor that has restarted too often exits with `:shutdown`, which is
  # a normal end of a significant child, and the supervisor above it ends as well. One that somebody
  # kills is restarted, as a member is.

  use Supervisor

  alias Foundation.BEAM.Ecosystem.{Member, Roster, Workers}

  @spec start_link({Roster.table(), Foundation.BEAM.Ecosystem.Config.t()}) ::
          Supervisor.on_start()
  def start_link({_table, _plan} = arg), do: Supervisor.start_link(__MODULE__, arg)

  @doc "As a child of the top supervisor. Members that are to stay dead do not come back with it."
  @spec child_spec({Roster.table(), Foundation.BEAM.Ecosystem.Config.t()}) ::
          Supervisor.child_spec()
  def child_spec({_table, plan} = arg) do
    %{
      id: __MODULE__,
      start: {__MODULE__, :start_link, [arg]},
      restart: if(plan.fault_tolerance == :standard, do: :temporary, else: :transient),
      significant: true,
      shutdown: :infinity,
      type: :supervisor
    }
  end

  @impl true
  def init({table, plan}) do
    Roster.put(table, {:supervisor, 0}, self())
    context = Member.new(table, plan)
    parts = for part <- 1..plan.parts, do: workers(context, plan, part)

    flags = %{
      strategy: strategy(plan),
      intensity: plan.max_restarts || 3,
      period: plan.max_seconds,
      auto_shutdown: :any_significant
    }

    {:ok, {flags, [coordinator(context, plan) | parts]}}
  end

  # Where the dead stay dead, the others are not stopped for them either.
  defp strategy(%{fault_tolerance: :standard}), do: :one_for_one
  defp strategy(plan), do: plan.supervision

  defp coordinator(context, plan) do
    %{
      id: :coordinator,
      start: {Member, :start_coordinator, [context]},
      restart: if(plan.fault_tolerance == :standard, do: :temporary, else: :permanent),
      shutdown: plan.shutdown_timeout
    }
  end

  defp workers(context, plan, part) do
    # With one for all, a worker's end is the end of its supervisor, which has no restarts: that is
    # what restarts all members, and is counted here.
    all? = plan.fault_tolerance == :self_healing and plan.supervision == :one_for_all

    %{
      id: {:workers, part},
      start: {Workers, :start_link, [context, plan, part]},
      restart: if(all?, do: :permanent, else: :transient),
      significant: not all?,
      shutdown: :infinity,
      type: :supervisor
    }
  end
end
