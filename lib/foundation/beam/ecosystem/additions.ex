defmodule Foundation.BEAM.Ecosystem.Additions do
  @moduledoc false

  # Rows by which it holds what somebody has added or removed, whoever is killed in between. The
  # supervisor of a worker asks for them before it starts one:
  #
  #   * a worker that is there has its row; one that was removed has none, and is not started again
  #   * a worker that is being added has `{{:adding, number}, supervisor, begun, fault}`, from whoever adds
  #     it, until it has its row, or has failed. The supervisor writes itself and the time into it, the
  #     steward `{:timeout, ms}` when that is too long ago
  #   * a worker that was removed has `{{:left, pid}, number}` until a steward has told of it

  alias Foundation.BEAM.Ecosystem.{Config, Living, Roster, Snapshots, Tell}

  @doc "Somebody adds a worker of that number."
  @spec begin(Roster.table(), pos_integer()) :: true
  def begin(table, number), do: :ets.insert(table, {{:adding, number}, nil, nil, nil})

  @doc "It is there, or has failed: then this is what the steward has ended it for, if it has."
  @spec finish(Roster.table(), pos_integer()) :: {:timeout, pos_integer()} | nil
  def finish(table, number) do
    case :ets.take(table, {:adding, number}) do
      [{_key, _supervisor, _begun, fault}] -> fault
      [] -> nil
    end
  end

  @doc "Takes a worker's row away; `false` where another process has its number, or nobody."
  @spec leave(Roster.table(), pos_integer(), pid()) :: boolean()
  def leave(table, number, pid) do
    :ets.insert(table, {{:left, pid}, number})
    left? = Roster.forget(table, number, pid)
    if not left?, do: told(table, pid)
    left?
  end

  @doc "Drops what else is kept of a worker that has no row any more."
  @spec forget(Roster.table(), pos_integer()) :: :ok
  def forget(table, number) do
    :ets.delete(table, {:own, number})
    Snapshots.forget(table, number)
    :ok
  end

  # In the supervisor

  @doc "Whether a worker that was there before is to come back: it has not been removed, and is not back."
  @spec back?(Roster.table(), pos_integer()) :: boolean()
  def back?(table, number) do
    case Roster.member(table, number) do
      {_, pid, _, _, _, _} -> not Living.living?(pid)
      nil -> false
    end
  end

  @doc "Whether a worker with a module of its own is to start, for the first time or again."
  @spec enter(Roster.table(), pos_integer()) :: :first | :again | :removed
  def enter(table, number) do
    begun = [{2, self()}, {3, System.monotonic_time()}]

    cond do
      back?(table, number) ->
        :again

      :ets.update_element(table, {:adding, number}, begun) ->
        Tell.steward(table, {:adding, number})
        :first

      true ->
        :removed
    end
  end

  @doc "What has come of the first start; where the steward has ended it, that is the reason."
  @spec entered(Roster.table(), pos_integer(), result) :: result | {:error, term()}
        when result: term()
  def entered(table, number, {:first, pid, _coordinator} = started) do
    case finish(table, number) do
      nil ->
        Tell.steward(table, {:added, number, pid})
        started

      # It has come out of its `init` all the same, and may be killed now: who adds it takes it away.
      fault ->
        {:error, fault}
    end
  end

  def entered(table, number, not_started) do
    fault = finish(table, number)
    if fault, do: {:error, fault}, else: not_started
  end

  # In the steward

  @doc "Numbers and pids of those that were removed, of which nobody has been told, as far as is known."
  @spec left(Roster.table()) :: [{pos_integer(), pid()}]
  def left(table), do: :ets.select(table, [{{{:left, :"$1"}, :"$2"}, [], [{{:"$2", :"$1"}}]}])

  @spec left?(Roster.table(), pid()) :: boolean()
  def left?(table, pid), do: :ets.member(table, {:left, pid})

  @spec told(Roster.table(), pid()) :: true
  def told(table, pid), do: :ets.delete(table, {:left, pid})

  @doc "Numbers of those that are being added."
  @spec numbers(Roster.table()) :: [pos_integer()]
  def numbers(table), do: :ets.select(table, [{{{:adding, :"$1"}, :_, :_, :_}, [], [:"$1"]}])

  @doc "Whether a start takes longer than it may; then its supervisor, and the caller will be told."
  @spec overdue(Roster.table(), pos_integer(), Config.t()) ::
          :ended | :in_time | {:overdue, pid()}
  def overdue(table, number, %{start_timeout: ms}) do
    with [{key, supervisor, begun, _fault}] when is_pid(supervisor) <-
           :ets.lookup(table, {:adding, number}),
         true <- Living.living?(supervisor) do
      limit = System.convert_time_unit(ms, :millisecond, :native)

      cond do
        System.monotonic_time() - begun < limit -> :in_time
        :ets.update_element(table, key, {4, {:timeout, ms}}) -> {:overdue, supervisor}
        # Meanwhile.
        true -> :ended
      end
    else
      _started_or_failed -> :ended
    end
  end
end
