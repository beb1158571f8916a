defmodule Foundation.BEAM.Ecosystem.Snapshots.Trial do
  @moduledoc false

  # Whether it is the snapshot that a member dies of. Who has been given what was kept twice within
  # `max_seconds`, and has to be started once more within them, is given nothing: the third restart is the last
  # one that a member has by default, and with the ecosystem all snapshots would be gone.
  #
  # It is the last restores that count, not which snapshot it was: one that was taken in between is of a state
  # that came of the one before.
  #
  # A member that is restarted for another's sake does not die of what it was given. The supervisor that
  # restarts it can tell where it restarts nobody else: both restores were its own. Otherwise the steward
  # says, who hears the reasons, which may be of the restore before only: the last end is perhaps still to be
  # heard of.
  #
  # A row for each member that has been given a snapshot: `{{:trial, number}, restores, failed}`, the last two
  # restores, newest first, each `{pid, milliseconds, supervisor}`, and the pid that has failed last.

  @restores 2

  @type table :: :ets.tid() | atom()
  @type place :: non_neg_integer()

  @spec restores() :: pos_integer()
  def restores, do: @restores

  @doc """
  Whether a member that starts now in the calling supervisor is to do without; `alone?` where that
  restarts nobody for another's sake.
  """
  @spec over?(table(), place(), pos_integer(), boolean()) :: boolean()
  def over?(table, number, window, alone?) do
    case :ets.lookup(table, {:trial, number}) do
      [{_key, [{last, _, here}, {first, since, there}], failed}] ->
        now() - since < window and
          (failed in [last, first] or (alone? and {here, there} == {self(), self()}))

      _fewer ->
        false
    end
  end

  @doc "The process is given the snapshot of that number, by that supervisor."
  @spec restored(table(), place(), pid(), pid()) :: boolean()
  def restored(table, number, pid, supervisor \\ self()) do
    restore = {pid, now(), supervisor}

    case :ets.lookup(table, {:trial, number}) do
      # What the steward writes meanwhile stays.
      [{key, [last | _], _failed}] -> :ets.update_element(table, key, {2, [restore, last]})
      [] -> :ets.insert(table, {{:trial, number}, [restore], nil})
    end
  end

  @doc "The process has failed; nothing is written of one that never was given a snapshot."
  @spec failed(table(), place(), pid()) :: boolean()
  def failed(table, number, pid), do: :ets.update_element(table, {:trial, number}, {3, pid})

  @spec forget(table(), place()) :: true
  def forget(table, number), do: :ets.delete(table, {:trial, number})

  defp now, do: System.monotonic_time(:millisecond)
end
