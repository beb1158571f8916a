defmodule Foundation.BEAM.Ecosystem.Snapshots do
  @moduledoc false

  # What a member's module says is worth keeping of its state (`snapshot/1`), kept in the ecosystem's
  # table, and given back to whoever takes its place (`restore/2`).
  #
  # A snapshot is made and written inside the member: it is copied once, into the table, and the
  # steward only hears of it. One row a member: `{{:snapshot, number}, milliseconds, bytes, snapshot}`,
  # with the system's time and the bytes that a copy takes, large binaries included.

  alias Foundation.BEAM.Ecosystem.Inside
  alias Foundation.BEAM.Ecosystem.Snapshots.Trial
  alias Foundation.BEAM.Term.Size
  alias Foundation.Reason

  @type table :: :ets.tid() | atom()
  # Of a member: 0 is the coordinator.
  @type place :: non_neg_integer()

  @type fault :: {:too_large, limit :: pos_integer()} | {:failed, term()}
  # The last is how many reductions the member had, see `Quiet`.
  @type answer ::
          {:snapshot, place(), pid(), {:ok, bytes :: non_neg_integer()} | {:refused, fault()},
           non_neg_integer()}

  @doc "Whether members of the module have snapshots."
  @spec able?(module()) :: boolean()
  def able?(module) do
    Code.ensure_loaded?(module) and function_exported?(module, :snapshot, 1) and
      function_exported?(module, :restore, 2)
  end

  @doc """
  Asks a member for a snapshot, without waiting: `to` gets `t:answer/0` when it is taken, or refused. It
  is one that answers system messages, `Inside.possible?/1`.
  """
  @spec ask(table(), place(), pid(), module(), pos_integer(), pid()) :: :asked
  def ask(table, number, pid, module, most, to),
    do: Inside.ask(pid, &answer(&1, table, number, module, most, to))

  # Runs in the member.
  defp answer(state, table, number, module, most, to) do
    taken = take(table, number, module, state, most)
    send(to, {:snapshot, number, self(), taken, elem(Process.info(self(), :reductions), 1)})
  end

  defp take(table, number, module, state, most) do
    save(table, number, module.snapshot(state), most)
  catch
    # Any fault of the module's is its own: the member goes on with the state that it has. What is told of
    # it leaves the member, and often holds that state.
    kind, reason ->
      fault = Exception.normalize(kind, reason, __STACKTRACE__)
      {:refused, {:failed, Reason.bounded(fault)}}
  end

  @doc """
  Keeps a snapshot in place of the one before; one that is too large leaves that where it is.

  For a member that hands over its own, too: it is in the table when this returns.
  """
  @spec save(table(), place(), term(), pos_integer()) ::
          {:ok, bytes :: non_neg_integer()} | {:refused, fault()}
  def save(table, number, snapshot, most) do
    # The walk ends at the limit: a term that shares its parts without end is refused like any other.
    size = Size.measure(snapshot, most)
    bytes = size.heap_bytes + size.binary_bytes

    if size.complete? do
      row = {{:snapshot, number}, System.system_time(:millisecond), bytes, snapshot}
      :ets.insert(table, row)
      {:ok, bytes}
    else
      {:refused, {:too_large, most}}
    end
  rescue
    # The table is gone with the ecosystem.
    error in ArgumentError -> {:refused, {:failed, error}}
  end

  @doc """
  Gives a member that has just started what was kept for its number, if anything was.

  `{:failed, reason}` when its module could not make anything of it: the member goes on as it was
  started. `:later` when it does something else for so many milliseconds: it restores when it comes
  to it.
  """
  @spec restore(table(), place(), pid(), module(), timeout()) ::
          :restored | :nothing | :later | :impossible | {:failed, term()}
  def restore(table, number, pid, module, patience) do
    if :ets.member(table, {:snapshot, number}),
      do: restore_inside(table, number, pid, module, patience),
      else: :nothing
  end

  defp restore_inside(table, number, pid, module, patience) do
    # The member reads the row itself: so the snapshot is copied once, not into a message as well.
    supervisor = self()

    restore = fn state ->
      Trial.restored(table, number, self(), supervisor)

      case :ets.lookup(table, {:snapshot, number}) do
        [{_key, _at, _bytes, snapshot}] -> module.restore(state, snapshot)
        [] -> state
      end
    end

    case Inside.replace(pid, restore, patience) do
      {:ok, _replaced} -> :restored
      {:failed, reason} -> {:failed, reason}
      not_done when not_done in [:later, :impossible] -> not_done
    end
  end

  @doc "When the snapshot of a number was taken and what it takes, without the snapshot."
  @spec about(table(), place()) ::
          {:ok, %{taken_at: integer(), bytes: non_neg_integer()}} | :error
  def about(table, number) do
    case :ets.select(table, [{{{:snapshot, number}, :"$1", :"$2", :_}, [], [{{:"$1", :"$2"}}]}]) do
      [{taken_at, bytes}] -> {:ok, %{taken_at: taken_at, bytes: bytes}}
      [] -> :error
    end
  end

  @doc "How many snapshots there are and what they take together."
  @spec total(table()) :: %{count: non_neg_integer(), bytes: non_neg_integer()}
  def total(table) do
    bytes = :ets.select(table, [{{{:snapshot, :_}, :_, :"$1", :_}, [], [:"$1"]}])
    %{count: length(bytes), bytes: Enum.sum(bytes)}
  end

  @doc "Drops what is kept for a member."
  @spec forget(table(), place()) :: true
  def forget(table, number) do
    :ets.delete(table, {:snapshot, number})
    Trial.forget(table, number)
  end
end
