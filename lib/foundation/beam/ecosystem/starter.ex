defmodule Foundation.BEAM.Ecosystem.Starter do
  @moduledoc false

  # Brings an ecosystem up, in the process that asks for it. The top supervisor starts with nothing but
  # the steward, without any of the user's code, so nobody waits in the queue of Foundation's
  # supervisor behind a slow `init`. Then members are started through the supervisors that they
  # are to stand under; where workers are many, through several at once.
  #
  # The steward watches: it ends who takes too long in its `init`, and everything when this process
  # is gone before all is up.

  alias Foundation.BEAM.Ecosystem.{Config, Members, Roster, Shutdown, Steward, Workers}
  alias Foundation.{Error, Reason}

  @doc "Starts all members below a top supervisor; `:ok`, or the error with nothing left running."
  @spec fill(pid(), Roster.table(), Config.t()) :: :ok | {:error, Error.t()}
  def fill(supervisor, table, plan) do
    # Whom the steward has given up may have started all the same, and be killed now.
    with :ok <- members(supervisor, table, plan),
         :none <- fault(table, :none) do
      # Before the steward lets go of this process.
      if plan.linked?, do: Process.link(supervisor)
      Steward.ready(table)
    else
      fault_or_error ->
        {:error, number, reason} = fault(table, fault_or_error)
        error = failed(plan, number, reason)
        Shutdown.stop(supervisor, table, Shutdown.limit(plan))
        {:error, error}
    end
  end

  # Workers of each supervisor start beside each other; where there is one, in this process.
  defp members(supervisor, table, plan) do
    {first, parts, last} = Members.specs(plan)

    with :ok <- child(supervisor, first),
         :ok <- workers(supervisor, table, plan, parts),
         {:error, _number, reason} <- children(supervisor, last),
         do: {:error, nil, reason}
  end

  defp children(_supervisor, []), do: :ok

  defp children(supervisor, [spec | rest]),
    do: with(:ok <- child(supervisor, spec), do: children(supervisor, rest))

  defp child(supervisor, spec) do
    case DynamicSupervisor.start_child(supervisor, spec) do
      {:ok, _pid} -> :ok
      {:error, reason} -> {:error, 0, coordinator(reason)}
    end
  catch
    :exit, reason -> {:error, 0, reason}
  end

  defp coordinator({:shutdown, {:failed_to_start_child, :coordinator, reason}}), do: reason
  defp coordinator(reason), do: reason

  defp workers(supervisor, table, plan, [{part, specs}]),
    do: part(supervisor, table, plan, part, specs)

  defp workers(supervisor, table, plan, parts) do
    start = fn {part, specs} -> part(supervisor, table, plan, part, specs) end
    beside(parts, start, %{})
  end

  defp beside([], _start, begun), do: await(begun)

  defp beside([part | parts], start, begun) do
    {pid, monitor} = spawn_monitor(fn -> exit({:part, start.(part)}) end)
    beside(parts, start, Map.put(begun, monitor, pid))
  rescue
    SystemLimitError -> failed_part(begun, :system_limit)
  end

  # Where one has failed, nobody waits for the others.
  defp await(parts) when parts == %{}, do: :ok

  defp await(parts) do
    receive do
      {:DOWN, monitor, :process, _pid, reason} when is_map_key(parts, monitor) ->
        parts = Map.delete(parts, monitor)
        if reason == {:part, :ok}, do: await(parts), else: failed_part(parts, reason)
    end
  end

  defp failed_part(others, reason) do
    for {monitor, pid} <- others do
      Process.demonitor(monitor, [:flush])
      Process.exit(pid, :kill)
    end

    with {:part, error} <- reason, do: error, else: (_ -> {:error, nil, reason})
  end

  defp part(supervisor, table, plan, part, specs) do
    with :ok <- children(supervisor, specs),
         do: numbers(part, plan, Roster.get(table, {:supervisor, part}))
  end

  defp numbers(number, %{count: count}, _supervisor) when number > count, do: :ok

  defp numbers(number, plan, supervisor) do
    case Workers.start(supervisor, plan, [number]) do
      {:ok, _pid} -> numbers(number + plan.parts, plan, supervisor)
      {:error, reason} -> {:error, number, reason}
    end
  end

  # What the steward has given up is what failed; the rest follows from it.
  defp fault(table, otherwise) do
    case :ets.lookup(table, :fault) do
      [{:fault, number, reason}] -> {:error, number, reason}
      [] -> otherwise
    end
  rescue
    ArgumentError -> otherwise
  end

  @doc "The error of a start that failed at a member, or at none."
  @spec failed(Config.t(), non_neg_integer() | nil, term()) :: Error.t()
  # As `spawn` raises it in a supervisor.
  def failed(plan, number, {:system_limit, [_ | _]}), do: failed(plan, number, :system_limit)

  def failed(plan, number, reason) do
    role = number && Roster.role(number)
    context = %{id: plan.id, role: role, reason: reason}
    Error.new(:start_failed, "the ecosystem did not start: #{who(role)} #{why(reason)}", context)
  end

  defp who(nil), do: "its supervisors"
  defp who(:coordinator), do: "the coordinator"
  defp who({:worker, number}), do: "worker #{number}"

  defp why({:timeout, ms}), do: "took more than #{ms} ms"
  defp why(:ended), do: "were ended meanwhile"
  defp why(:system_limit), do: "failed: the VM has no room for another process"
  defp why(reason), do: "failed: #{Reason.text(reason)}"
end
