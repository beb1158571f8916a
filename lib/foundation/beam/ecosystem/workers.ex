defmodule Foundation.BEAM.Ecosystem.Workers do
  @moduledoc false

  # A supervisor of workers: of all, or of one part where they are many. It starts empty and is filled
  # from outside, by `Starter` when the ecosystem starts, and by a process of its own when it has been
  # restarted: the supervisor above goes on meanwhile.

  use DynamicSupervisor

  alias Foundation.BEAM.Ecosystem.{Config, Member, Reaper, Roster, Tell}

  @spec start_link(Roster.table(), Config.t(), pos_integer()) :: Supervisor.on_start()
  def start_link(table, plan, part) do
    # Where the one above was killed, the one before may still be ending its workers, or starting them.
    before = Roster.get(table, {:supervisor, part})
    Reaper.gone(before, plan.shutdown_timeout)

    since = System.monotonic_time()

    with {:ok, pid} <- DynamicSupervisor.start_link(__MODULE__, {table, plan}) do
      Tell.supervisor(table, part, pid)

      # Also while others are still being started: those that had started come back.
      if before && Roster.get(table, :state) in [:starting, :ready],
        do: refill(pid, table, plan, part, since)

      {:ok, pid}
    end
  end

  @impl true
  def init({table, plan}) do
    DynamicSupervisor.init(
      strategy: :one_for_one,
      extra_arguments: [Member.new(table, plan)],
      max_restarts: max_restarts(plan),
      max_seconds: plan.max_seconds
    )
  end

  @doc "Starts a worker; `arguments` is its number, and a module and its options for another than the rest."
  @spec start(pid(), Config.t(), [term(), ...]) :: DynamicSupervisor.on_start_child()
  def start(supervisor, plan, arguments) do
    DynamicSupervisor.start_child(supervisor, %{
      id: Member,
      start: {Member, :start_worker, arguments},
      restart: if(plan.fault_tolerance == :standard, do: :temporary, else: :permanent),
      shutdown: plan.shutdown_timeout
    })
  catch
    :exit, reason -> {:error, reason}
  end

  @doc "The supervisor of that worker, as it was last; it may be dead."
  @spec supervisor(Roster.table(), Config.t(), pos_integer()) :: pid()
  def supervisor(table, plan, number),
    do: Roster.get(table, {:supervisor, Roster.part(number, plan.parts)})

  defp max_restarts(%{supervision: :one_for_all}), do: 0
  # Its share of all; a worker by itself is counted by the steward, see `Intensity`.
  defp max_restarts(%{max_restarts: nil, count: count, parts: parts}),
    do: max(3, div(count + parts - 1, parts))

  defp max_restarts(%{max_restarts: max}), do: max

  # Workers whose ecosystem lets the dead stay dead do not come back with their supervisor. Where this
  # process ends before it is done, the steward sees to the rest.
  defp refill(_supervisor, _table, %{fault_tolerance: :standard}, _part, _since), do: :ok

  defp refill(supervisor, table, plan, part, since) do
    numbers = for n <- Roster.numbers(table), Roster.part(n, plan.parts) == part, do: n
    spawn(fn -> numbers |> Enum.sort() |> restart_all(supervisor, table, plan, since) end)
  end

  defp restart_all(numbers, supervisor, table, plan, since) do
    Enum.find(numbers, &(again(&1, supervisor, table, plan, since) == :stopped))
  rescue
    error in ArgumentError ->
      # The table is gone with the ecosystem.
      if :ets.info(table, :owner) != :undefined, do: reraise(error, __STACKTRACE__)
  end

  defp again(number, supervisor, table, plan, since) do
    case Roster.member(table, number) do
      {_, old, begun, _, _, _} when begun < since ->
        Reaper.gone(old, plan.shutdown_timeout)
        restart(supervisor, table, plan, number)

      # Removed meanwhile, or started by this supervisor, which restarts it by itself.
      _not_concerned ->
        :ok
    end
  end

  @doc "Starts a worker that was there before; `:stopped` where that fails, with its supervisor."
  @spec restart(pid(), Roster.table(), Config.t(), pos_integer()) :: :ok | :stopped
  def restart(supervisor, table, plan, number) do
    arguments = with [] <- Roster.own(table, number), do: [:again]

    # One of them fails to start: the supervisor above counts that, and tries anew.
    with {:error, reason} <- start(supervisor, plan, [number | arguments]) do
      stop(supervisor, {:refill, number, reason})
      :stopped
    else
      _started_or_removed -> :ok
    end
  end

  defp stop(supervisor, reason) do
    DynamicSupervisor.stop(supervisor, reason)
  catch
    # It has been ended, or killed, already.
    :exit, _reason -> :ok
  end
end
