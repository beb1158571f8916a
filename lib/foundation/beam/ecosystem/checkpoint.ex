defmodule Foundation.BEAM.Ecosystem.Checkpoint do
  @moduledoc false

  # Snapshots that a member asks for itself.

  alias Foundation.BEAM.Ecosystem.{Inside, Roster, Routes, Snapshots}
  alias Foundation.Error

  @doc "Takes one of the calling member when it comes out of its callback."
  @spec soon(Roster.table()) :: :ok | {:error, Error.t()}
  def soon(table) do
    with {:ok, number, module} <- caller(table) do
      if Snapshots.able?(module),
        do: ask(table, number, self(), module),
        else: unable(module, "snapshot/1 and restore/2")
    end
  end

  # From elsewhere: a process cannot send itself a system message and wait for its monitor.
  defp ask(table, number, pid, module) do
    most = Roster.plan(table).max_snapshot_bytes
    ticker = Roster.get(table, :ticker)
    # Who is told when it is refused; where nobody is, that goes to who has ended by then.
    spawn(fn ->
      if Inside.possible?(pid),
        do: Snapshots.ask(table, number, pid, module, most, ticker || self())
    end)

    :ok
  end

  @doc "Keeps what the calling member hands over."
  @spec now(Roster.table(), term()) :: :ok | {:error, Error.t()}
  def now(table, snapshot) do
    with {:ok, number, module} <- caller(table),
         :ok <- if(restores?(module), do: :ok, else: unable(module, "restore/2")) do
      case Snapshots.save(table, number, snapshot, Roster.plan(table).max_snapshot_bytes) do
        {:ok, _bytes} -> :ok
        {:refused, {:too_large, limit}} -> too_large(limit)
        # The table is gone: as for every other function.
        {:refused, {:failed, error}} -> raise error
      end
    end
  end

  defp restores?(module),
    do: Code.ensure_loaded?(module) and function_exported?(module, :restore, 2)

  defp caller(table) do
    case Roster.place(table, self()) do
      nil -> Routes.no_member(table, self())
      number -> healing(table, number)
    end
  end

  defp healing(table, number) do
    if Roster.plan(table).fault_tolerance == :self_healing,
      do: {:ok, number, elem(Roster.member(table, number), 5)},
      else: no_snapshots("members of a :standard ecosystem do not come back", %{})
  end

  defp unable(module, missing) do
    no_snapshots("#{inspect(module)} does not export #{missing}", %{module: module})
  end

  defp no_snapshots(text, context), do: {:error, Error.new(:no_snapshots, text, context)}

  defp too_large(limit) do
    text = "the snapshot takes more than #{limit} bytes; the one before stays"
    {:error, Error.new(:too_large, text, %{max_snapshot_bytes: limit})}
  end
end
