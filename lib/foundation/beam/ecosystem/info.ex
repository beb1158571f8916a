defmodule Foundation.BEAM.Ecosystem.Info do
  @moduledoc false

  # What is told of an ecosystem: pids from its roster, figures from the processes themselves, none of
  # which is waited for long.

  alias Foundation.BEAM.Ecosystem
  alias Foundation.BEAM.Ecosystem.{Health, Living, Roster}
  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.Census

  # Milliseconds after which it is looked, twice, whether a member has answered, and for all together: two
  # that do not answer hide nobody behind them. The VM reads a thousand idle processes in a few.
  @patience 20
  @deadline 90

  @doc "The struct as it is now."
  @spec struct(pid(), Roster.table()) :: Ecosystem.t()
  def struct(supervisor, table), do: struct(supervisor, table, &Living.of/1)

  @doc "The struct of one that has just started, whose members are taken for alive: to look takes time."
  @spec started(pid(), Roster.table()) :: Ecosystem.t()
  def started(supervisor, table), do: struct(supervisor, table, & &1)

  defp struct(supervisor, table, living) do
    {id, ^supervisor, started_at, config} = Roster.about(table)
    {coordinator, workers} = rows(table)
    alive = living.(for {_, pid, _, _, :up, _} <- workers, do: pid)
    {pid, status} = coordinator(coordinator, table, living)

    %Ecosystem{
      id: id,
      coordinator: pid,
      workers: alive,
      supervisor: supervisor,
      topology: Roster.topology(table),
      config: config,
      started_at: started_at,
      health_status: Health.known(table, status, length(alive), length(workers)),
      table: table
    }
  end

  # There is none before the first has started.
  defp rows(table) do
    case Roster.members(table) do
      [{0, _, _, _, _, _} = coordinator | workers] -> {coordinator, workers}
      workers -> {nil, workers}
    end
  end

  defp coordinator(nil, table, _living), do: {nil, none(table)}

  defp coordinator({0, pid, _, _, status, _}, table, living) do
    if status == :up and living.([pid]) != [],
      do: {pid, :alive},
      else: {nil, missing(false, healing?(table))}
  end

  defp none(table), do: if(Roster.get(table, :state) == :starting, do: :starting, else: :dead)

  defp healing?(table), do: Roster.plan(table).fault_tolerance == :self_healing

  @doc "What `Processes.ecosystem_info/1` tells."
  @spec info(pid(), Roster.table()) :: map()
  def info(supervisor, table) do
    {coordinator, workers} = members(table)
    living = Enum.filter([coordinator | workers], &(&1.status in [:alive, :unresponsive]))

    %{
      id: Roster.id(table),
      supervisor: supervisor,
      coordinator: coordinator,
      workers: workers,
      total_processes: length(living),
      total_memory: living |> Enum.map(&(&1.memory || 0)) |> Enum.sum(),
      topology: Roster.topology(table)
    }
  end

  @doc "Every member with its status and its figures, the coordinator apart."
  @spec members(Roster.table()) :: {map(), [map()]}
  def members(table) do
    healing? = healing?(table)
    {coordinator, workers} = rows(table)
    rows = if coordinator, do: [coordinator | workers], else: workers
    pids = Enum.map(rows, &elem(&1, 1))
    {found, skipped} = Census.map(pids, &probe/1, patience: @patience, deadline: deadline(pids))
    found = Map.new(found)
    late = MapSet.new(skipped)
    workers = Enum.map(workers, &member(&1, found, late, healing?))

    if coordinator,
      do: {member(coordinator, found, late, healing?), workers},
      else: {no_coordinator(table), workers}
  end

  @doc """
  The members, and the memory's pressure: its files are read while they answer, and where that takes longer
  than they may, it is what it was the last time, `:low` before the first.
  """
  @spec look(Roster.table(), (() -> Memory.Pressure.level())) ::
          {map(), [map()], Memory.Pressure.level()}
  def look(table, read \\ &Memory.pressure/0) do
    until = now() + @deadline
    monitor = Process.monitor(reader(table, read))

    try do
      {coordinator, workers} = members(table)
      await(monitor, max(0, until - now()))
      {coordinator, workers, Roster.get(table, :pressure) || :low}
    after
      Process.demonitor(monitor, [:flush])
    end
  end

  # One at a time, however many look: files that cannot be read keep one process, not one for each. Of two
  # that begin at once, one leaves it to the other, and who looks has what was read before.
  defp reader(table, read) do
    before = Roster.get(table, :reader)

    if before && Living.living?(before),
      do: before,
      else: spawn(fn -> read_pressure(table, before, read) end)
  end

  defp mine?(table, nil), do: :ets.insert_new(table, {:reader, self()})

  defp mine?(table, before) do
    mine = {{:reader, {:const, self()}}}
    :ets.select_replace(table, [{{:reader, before}, [], [mine]}]) == 1
  end

  defp read_pressure(table, before, read) do
    if mine?(table, before), do: Roster.put(table, :pressure, read.())
  rescue
    # The table is gone meanwhile.
    ArgumentError -> false
  end

  defp await(monitor, timeout) do
    receive do
      {:DOWN, ^monitor, :process, _reader, _reason} -> :ok
    after
      timeout -> :late
    end
  end

  defp now, do: System.monotonic_time(:millisecond)

  defp no_coordinator(table) do
    {_id, _supervisor, _started_at, config} = Roster.about(table)
    module = with {module, _opts} <- config[:coordinator], do: module

    %{
      role: :coordinator,
      module: module,
      pid: nil,
      status: none(table),
      memory: nil,
      message_queue_len: nil,
      restarts: 0
    }
  end

  # Ten microseconds for each of very many.
  defp deadline(pids), do: @deadline + div(length(pids), 100)

  defp probe(pid) do
    case Process.info(pid, [:memory, :message_queue_len]) do
      [memory: memory, message_queue_len: length] -> {memory, length}
      nil -> nil
    end
  end

  defp member({number, pid, _started, restarts, _status, module}, found, late, healing?) do
    {status, memory, queue} = figures(pid, found, late, healing?)

    %{
      role: Roster.role(number),
      module: module,
      pid: pid,
      status: status,
      memory: memory,
      message_queue_len: queue,
      restarts: restarts
    }
  end

  defp figures(pid, found, late, healing?) do
    case found do
      %{^pid => {memory, queue}} -> {:alive, memory, queue}
      _missing -> {missing(MapSet.member?(late, pid), healing?), nil, nil}
    end
  end

  defp missing(true, _healing?), do: :unresponsive
  defp missing(false, true), do: :restarting
  defp missing(false, false), do: :dead
end
