defmodule Foundation.BEAM.Ecosystem.Shutdown do
  @moduledoc false

  # Ends an ecosystem: first as OTP does it, workers, then the coordinator, then the steward, each with
  # `:shutdown` and a time limit; and when that takes too long, by killing whatever is left.

  alias Foundation.BEAM.Ecosystem
  alias Foundation.BEAM.Ecosystem.{Handle, Roster, Steward}
  alias Foundation.{Error, Options}

  # Supervisors need time of their own beside that of members.
  @grace 1_000

  @schema Options.schema!(
            timeout: [
              type: :timeout,
              doc:
                "Milliseconds until all that is left is killed. Default: two times the " <>
                  "ecosystem's `:shutdown_timeout`, and one second."
            ]
          )

  @spec schema() :: Options.schema()
  def schema, do: @schema

  @spec run(Ecosystem.ref(), String.t(), keyword()) :: :ok | {:error, Error.t()}
  def run(ecosystem, where, opts) do
    opts = Options.validate!(opts, @schema, where)

    ended =
      Handle.with_table(ecosystem, where, fn supervisor, table ->
        stop(supervisor, table, opts.timeout || limit(Roster.plan(table)))
      end)

    with {:error, %Error{error_type: :not_found}} <- ended, do: :ok
  end

  @doc false
  # Workers have their time at once, then the coordinator.
  @spec limit(Foundation.BEAM.Ecosystem.Config.t()) :: pos_integer()
  def limit(plan), do: min(2 * plan.shutdown_timeout + @grace, 0xFFFFFFFF)

  @doc "Ends it and waits for that; `:ok` also where it has ended before."
  @spec stop(pid(), Roster.table(), timeout()) :: :ok
  def stop(supervisor, table, timeout) do
    ending(table)
    monitor = Process.monitor(supervisor)

    # In a process of its own: replies that come too late stay there.
    {stopper, stopping} = spawn_monitor(fn -> in_order(supervisor, table) end)

    receive do
      {:DOWN, ^stopping, :process, ^stopper, _reason} -> :ok
    after
      timeout ->
        Process.demonitor(stopping, [:flush])
        Process.exit(stopper, :kill)
    end

    kill_tree(supervisor, table)

    receive do
      {:DOWN, ^monitor, :process, ^supervisor, _reason} -> :ok
    end
  end

  # Workers of all supervisors at once, then the coordinator, then the rest.
  defp in_order(supervisor, table) do
    plan = Roster.plan(table)

    if plan.nested? do
      end_all(Roster.get(table, {:supervisor, 0}))
    else
      stop_parts(for part <- 1..plan.parts, do: Roster.get(table, {:supervisor, part}))
      coordinator = Roster.member(table, 0)
      if coordinator, do: DynamicSupervisor.terminate_child(supervisor, elem(coordinator, 1))
    end

    end_all(supervisor)
  end

  defp stop_parts([part]), do: end_all(part)

  defp stop_parts(parts) do
    parts
    |> Enum.map(fn part -> spawn_monitor(fn -> end_all(part) end) end)
    |> Enum.each(fn {pid, monitor} ->
      receive do: ({:DOWN, ^monitor, :process, ^pid, _} -> :ok)
    end)
  end

  @doc "Ends a supervisor as one above it does; `:ok` also where it is gone, or was never started."
  @spec end_all(pid() | nil) :: :ok
  def end_all(nil), do: :ok

  def end_all(supervisor) do
    :proc_lib.stop(supervisor, :shutdown, :infinity)
  catch
    :exit, _gone -> :ok
  end

  defp ending(table) do
    Roster.put(table, :state, :ending)
    Steward.ending(table)
  rescue
    # The table is gone, and the supervisor with it.
    ArgumentError -> :ok
  end

  @doc """
  Kills a supervisor and all that it has started, whatever state they are in, and waits for their
  ends. The steward ends by itself when its supervisor does: it never waits.
  """
  @spec kill_tree(pid(), Roster.table() | nil) :: :ok
  def kill_tree(supervisor, table \\ nil) do
    # A supervisor that waits for the ends of members has unlinked them.
    processes = Enum.uniq(tree(supervisor) ++ members(table))
    {stewards, all} = Enum.split_with(processes, &steward?/1)
    monitors = Enum.map(stewards ++ all, &Process.monitor/1)
    Enum.each(all, &Process.exit(&1, :kill))

    Enum.each(monitors, fn monitor ->
      receive do
        {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
      end
    end)
  end

  defp members(nil), do: []

  defp members(table) do
    for {_, pid, _, _, _, _} <- Roster.members(table), do: pid
  rescue
    ArgumentError -> []
  end

  # The supervisor itself first: nobody restarts what is killed after it.
  defp tree(pid), do: [pid | pid |> children() |> Enum.flat_map(&tree/1)]

  @doc """
  Processes that the process has started by a link. A member in its `init` is one of them, though its
  supervisor does not know it yet.
  """
  @spec children(pid()) :: [pid()]
  def children(pid) do
    case Process.info(pid, :links) do
      {:links, links} -> for link <- links, is_pid(link), parent(link) == pid, do: link
      nil -> []
    end
  end

  defp parent(pid) when node(pid) == node() do
    case :erlang.process_info(pid, :parent) do
      {:parent, parent} -> parent
      _gone -> nil
    end
  end

  defp parent(_remote), do: nil

  defp steward?(pid) do
    case Process.info(pid, :dictionary) do
      {:dictionary, dictionary} ->
        dictionary[:"$initial_call"] == {Foundation.BEAM.Ecosystem.Steward, :init, 1}

      nil ->
        false
    end
  end
end
