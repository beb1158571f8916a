defmodule Foundation.BEAM.Ecosystem.Failures do
  @moduledoc false

  # The newest failures of an ecosystem, each in a slot of a ring in its table. The steward alone
  # writes; a failure is written again when the member is back.

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.Reason

  @kept 100

  @type failure :: Foundation.BEAM.Processes.failure()

  @spec kept() :: pos_integer()
  def kept, do: @kept

  @spec new(non_neg_integer(), pid(), term()) :: failure()
  def new(number, pid, reason) do
    %{
      role: Roster.role(number),
      pid: pid,
      reason: Reason.bounded(reason),
      at: System.system_time(:millisecond),
      healed_us: nil
    }
  end

  @doc "Writes it down as the failure of that index."
  @spec put(Roster.table(), pos_integer(), failure()) :: true
  def put(table, index, failure),
    do: :ets.insert(table, {{:failure, rem(index, @kept)}, index, failure})

  @doc "The member is back, after that time; a failure that a newer one has displaced stays away."
  @spec heal(Roster.table(), pos_integer(), failure(), non_neg_integer()) :: boolean()
  def heal(table, index, failure, healed_us) do
    case :ets.lookup(table, {:failure, rem(index, @kept)}) do
      [{_slot, ^index, _failure}] -> put(table, index, %{failure | healed_us: healed_us})
      _newer -> false
    end
  end

  @doc "Writes down that there was one just now; one row for all of them."
  @spec mark(Roster.table()) :: true
  def mark(table), do: Roster.put(table, :failed_at, System.monotonic_time(:millisecond))

  @doc "Whether there was one within the `max_seconds` of the configuration."
  @spec lately?(Roster.table()) :: boolean()
  def lately?(table) do
    case Roster.get(table, :failed_at) do
      nil -> false
      at -> System.monotonic_time(:millisecond) - at < 1_000 * Roster.plan(table).max_seconds
    end
  end

  @doc "Of those whose members are back, though nobody has said so: when these were started."
  @spec healed(Roster.table(), [Roster.row()]) :: :ok
  def healed(table, members) do
    started =
      for {number, pid, begun, _, :up, _} <- members,
          into: %{},
          do: {Roster.role(number), {pid, begun}}

    for {_slot, index, %{healed_us: nil} = failure} <-
          :ets.match_object(table, {{:failure, :_}, :_, :_}),
        {pid, begun} when pid != failure.pid <- [started[failure.role]] do
      back = System.convert_time_unit(begun + System.time_offset(), :native, :microsecond)
      put(table, index, %{failure | healed_us: max(0, back - 1_000 * failure.at)})
    end

    :ok
  end

  @doc "The failure of that process, with its index, or nothing with 0."
  @spec find(Roster.table(), pid()) :: {failure() | nil, non_neg_integer()}
  def find(table, pid) do
    case :ets.select(table, [{{{:failure, :_}, :"$1", %{pid: pid}}, [], [:"$1"]}]) do
      [index | _] -> {:ets.lookup_element(table, {:failure, rem(index, @kept)}, 3), index}
      [] -> {nil, 0}
    end
  end

  @doc "The newest, oldest first, and how many there have been."
  @spec list(Roster.table()) :: {[failure()], non_neg_integer()}
  def list(table) do
    rows =
      :lists.sort(:ets.select(table, [{{{:failure, :_}, :"$1", :"$2"}, [], [{{:"$1", :"$2"}}]}]))

    case List.last(rows) do
      {total, _failure} -> {Enum.map(rows, &elem(&1, 1)), total}
      nil -> {[], 0}
    end
  end
end
