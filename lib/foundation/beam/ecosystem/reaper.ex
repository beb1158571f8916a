defmodule Foundation.BEAM.Ecosystem.Reaper do
  @moduledoc false

  # Ends supervisors with all that is below them.

  alias Foundation.BEAM.Ecosystem.{Living, Roster}

  @doc "Ends a supervisor as one above it does; `:ok` also where it is gone, or was never started."
  @spec end_all(pid() | nil) :: :ok
  def end_all(nil), do: :ok

  def end_all(supervisor) do
    :proc_lib.stop(supervisor, :shutdown, :infinity)
  catch
    :exit, _gone -> :ok
  end

  @doc "Ends it in the same way; what is left after that time is killed."
  @spec end_within(pid(), Roster.table(), pos_integer()) :: :ok
  def end_within(supervisor, table, timeout) do
    {pid, monitor} = spawn_monitor(fn -> end_all(supervisor) end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    after
      timeout -> kill_tree(supervisor, table)
    end
  end

  @doc """
  Returns when the process has ended, after that time by killing it.

  A supervisor that is killed while it ends its children, which it has unlinked, leaves them behind.
  """
  @spec gone(pid() | nil, pos_integer()) :: :ok
  def gone(nil, _timeout), do: :ok

  def gone(pid, timeout) do
    if Living.living?(pid), do: ask(pid, timeout), else: :ok
  end

  defp ask(pid, timeout) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :shutdown)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} -> :ok
    after
      timeout ->
        Process.exit(pid, :kill)
        receive(do: ({:DOWN, ^monitor, :process, ^pid, _reason} -> :ok))
    end
  end

  # Milliseconds that the steward may take to end by itself: it runs handlers of events.
  @spare 100

  @doc """
  Kills a supervisor and all that it has started, whatever state they are in, and waits for their
  ends. The steward ends by itself when its supervisor does; where a handler of its events holds it up
  for more than #{@spare} ms, it is killed as well.
  """
  @spec kill_tree(pid() | nil, Roster.table() | nil) :: :ok
  def kill_tree(supervisor, table \\ nil)
  # It has not started yet.
  def kill_tree(nil, nil), do: :ok

  def kill_tree(supervisor, table) do
    # A supervisor that waits for the ends of its children has unlinked them, supervisors as well, one of
    # which may have a member in its `init`.
    trees = Enum.flat_map([supervisor | supervisors(table)], &tree/1)
    processes = Enum.uniq(trees ++ members(table) ++ steward(table))
    {spared, all} = Enum.split_with(processes, &spared?/1)
    [stewards, others] = for pids <- [spared, all], do: Enum.map(pids, &{&1, Process.monitor(&1)})
    Enum.each(all, &Process.exit(&1, :kill))
    Enum.each(others, &await(&1, :infinity))
    Enum.each(stewards, &await(&1, @spare))
  end

  defp await({pid, monitor}, patience) do
    receive do
      {:DOWN, ^monitor, :process, _pid, _reason} -> :ok
    after
      patience ->
        Process.exit(pid, :kill)
        await({pid, monitor}, :infinity)
    end
  end

  @doc "Pids of members as the roster has them, where there still is one."
  @spec members(Roster.table() | nil) :: [pid()]
  def members(nil), do: []

  def members(table) do
    for {_, pid, _, _, _, _} <- Roster.members(table), do: pid
  rescue
    ArgumentError -> []
  end

  defp supervisors(nil), do: []

  defp supervisors(table) do
    :ets.select(table, [{{{:supervisor, :_}, :"$1"}, [], [:"$1"]}])
  rescue
    ArgumentError -> []
  end

  # A supervisor that waits for its end has unlinked it as well.
  defp steward(nil), do: []

  defp steward(table) do
    table |> Roster.get(:steward) |> List.wrap()
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
  def children(pid), do: pid |> links() |> children(pid)

  @doc "Those of the processes that it has started."
  @spec children([pid()], pid()) :: [pid()]
  def children(pids, parent), do: Enum.filter(pids, &(parent(&1) == parent))

  @doc "Processes that it is linked to."
  @spec links(pid()) :: [pid()]
  def links(pid) do
    case Process.info(pid, :links) do
      {:links, links} -> Enum.filter(links, &is_pid/1)
      nil -> []
    end
  end

  @doc "The process that has spawned it, whether it has linked it or not."
  @spec parent(pid()) :: pid() | :undefined | nil
  def parent(pid) when node(pid) == node() do
    case :erlang.process_info(pid, :parent) do
      {:parent, parent} -> parent
      _gone -> nil
    end
  end

  def parent(_remote), do: nil

  @spared {__MODULE__, :spared}

  @doc "Has the calling process left out when others are killed."
  @spec spare() :: term()
  def spare, do: Process.put(@spared, true)

  defp spared?(pid) do
    case Process.info(pid, :dictionary) do
      {:dictionary, dictionary} -> List.keymember?(dictionary, @spared, 0)
      nil -> false
    end
  end
end
