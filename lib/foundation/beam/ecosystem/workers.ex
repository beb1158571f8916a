defmodule Foundation.BEAM.Ecosystem.Workers do
  @moduledoc false

  # A supervisor of workers: of all, or of one part where they are many. It starts empty and is filled
  # from outside, by `Starter` when the ecosystem starts, and by a process of its own when it has been
  # restarted: the supervisor above goes on meanwhile.

  use DynamicSupervisor

  alias Foundation.BEAM.Ecosystem.{Config, Member, Reaper, Roster, Snapshots, Steward, Ticker}
  alias Foundation.{Error, Options}

  @spec start_link(Roster.table(), Config.t(), pos_integer()) :: Supervisor.on_start()
  def start_link(table, plan, part) do
    # Where the one above was killed, the one before may still be ending its workers, or starting them.
    Reaper.gone(Roster.get(table, {:supervisor, part}), plan.shutdown_timeout)

    with {:ok, pid} <- DynamicSupervisor.start_link(__MODULE__, {table, plan}) do
      Steward.supervisor(table, part, pid)
      if Roster.get(table, :state) == :ready, do: refill(pid, table, plan, part)
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

  @doc "A worker with a module and options of its own, under the next number."
  @spec add(Roster.table(), module(), keyword()) :: {:ok, pid()} | {:error, Error.t()}
  def add(table, module, opts) do
    plan = Roster.plan(table)
    number = Roster.next(table)
    {spawn_opt?, opts} = Keyword.pop(opts, :spawn_opt, false)
    own = [module, opts, spawn_opt?]
    Roster.put(table, {:own, number}, own)

    case start(supervisor(table, plan, number), plan, [number | own]) do
      {:ok, pid} ->
        Steward.added(table, number, pid)
        Ticker.needed(table, plan, module)
        {:ok, pid}

      {:error, reason} ->
        :ets.delete(table, {:own, number})
        text = "the worker did not start: #{Options.given(reason)}"
        context = %{id: Roster.id(table), role: {:worker, number}, reason: reason}
        {:error, Error.new(:start_failed, text, context)}
    end
  end

  @doc "Ends a worker for good."
  @spec remove(Roster.table(), pid()) :: :ok | {:error, :not_found}
  def remove(table, pid) do
    number = Roster.number(table, pid)

    if number && Roster.forget(table, number, pid) do
      table |> supervisor(Roster.plan(table), number) |> terminate(table, number, pid)
      :ets.delete(table, {:own, number})
      Snapshots.forget(table, number)
      :ok
    else
      {:error, :not_found}
    end
  end

  # It may have died, and be back, in the meantime: its supervisor has said so by then.
  defp terminate(supervisor, table, number, pid) do
    with {:error, :not_found} <- DynamicSupervisor.terminate_child(supervisor, pid),
         {_, again, _, _, _, _} <- Roster.member(table, number) do
      Roster.forget(table, number, again)
      terminate(supervisor, table, number, again)
    end
  end

  defp supervisor(table, plan, number),
    do: Roster.get(table, {:supervisor, Roster.part(number, plan.parts)})

  defp max_restarts(%{supervision: :one_for_all}), do: 0
  # Its share of all; a worker by itself is counted by the steward, see `Intensity`.
  defp max_restarts(%{max_restarts: nil, count: count, parts: parts}),
    do: max(3, div(count + parts - 1, parts))

  defp max_restarts(%{max_restarts: max}), do: max

  # Workers whose ecosystem lets the dead stay dead do not come back with their supervisor.
  defp refill(_supervisor, _table, %{fault_tolerance: :standard}, _part), do: :ok

  defp refill(supervisor, table, plan, part) do
    numbers = for n <- Roster.numbers(table), Roster.part(n, plan.parts) == part, do: n
    spawn(fn -> numbers |> Enum.sort() |> start_all(supervisor, table, plan) end)
  end

  defp start_all(numbers, supervisor, table, plan) do
    Enum.each(numbers, fn number ->
      {_, old, _, _, _, _} = Roster.member(table, number)
      Reaper.gone(old, plan.shutdown_timeout)

      case start(supervisor, plan, [number | Roster.own(table, number)]) do
        {:ok, _pid} -> :ok
        # One of them fails to start: the supervisor above counts that, and tries anew.
        {:error, reason} -> DynamicSupervisor.stop(supervisor, {:refill, number, reason})
      end
    end)
  catch
    # It is being restarted once more, or stopped, and its table may be gone.
    _kind, _reason -> :ok
  end
end
