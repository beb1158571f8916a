defmodule Foundation.BEAM.Schedulers.Feeder do
  @moduledoc false

  # The process of a job that has the data. Workers ask it for batches, each when it has nothing to
  # do. Every batch has its place, the number of its first item, for the order of results.
  #
  # A batch has a claim: a count, shared with its worker, of the items that the worker has begun. When
  # nothing is left to hand out, the feeder takes from the batch that has most of it what nobody has
  # begun: no chunk waits behind another one that is slow, unless everybody works.
  #
  # A list comes from the caller in pieces, and a piece stays outside of the heap until it is wanted:
  # neither copying it nor collecting garbage is one long step of the VM.

  alias Foundation.BEAM.Schedulers.{Chunks, Claim}

  @enforce_keys [:ref, :keeper, :source, :coming, :unit, :workers, :asking]
  defstruct [
    # Where the caller waits, who ends the job.
    :ref,
    :keeper,
    # What is to be handed out, the place of its first item, how many items are still to come.
    :source,
    :coming,
    # Batches are multiples of it.
    :unit,
    # How many there are, how many of them do not know the end yet.
    :workers,
    :asking,
    at: 0,
    # Batches handed out; the batch of each worker that has one: place, items, claim.
    handed: 0,
    out: %{}
  ]

  # Items in a message, unless a chunk has more.
  @piece 4_096

  @doc "What a process that is to call `run/1` holds from its start."
  @spec new(Chunks.source(), pos_integer(), pos_integer(), pid(), reference()) :: %__MODULE__{}
  def new(source, unit, workers, keeper, ref) do
    {source, coming} = held(source)

    %__MODULE__{
      ref: ref,
      keeper: keeper,
      source: source,
      coming: coming,
      unit: unit,
      workers: workers,
      asking: workers
    }
  end

  defp held({:list, _list, count}), do: {:done, count}
  defp held(source), do: {source, 0}

  @doc "Called in the caller: the list that the process does not hold from its start."
  @spec push(Chunks.source(), pid(), pos_integer(), pid()) :: :ok
  def push({:list, _list, _count} = source, feeder, unit, keeper),
    do: pieces(source, feeder, whole(@piece, unit), keeper)

  def push(_source, _feeder, _unit, _keeper), do: :ok

  defp pieces(source, feeder, size, keeper) do
    with {:list, _, _} <- source,
         {items, count, rest} <- Chunks.take(source, size),
         # The job may be over already.
         true <- Process.alive?(keeper) do
      send(feeder, {:piece, items, count})
      pieces(rest, feeder, size, keeper)
    else
      _done -> :ok
    end
  end

  @doc "A worker's question; the answer is `{feeder, place, source, claim}` or `{feeder, :none}`."
  @spec ask(pid(), pos_integer()) :: :ok
  def ask(feeder, wanted) do
    send(feeder, {:want, self(), wanted})
    :ok
  end

  @doc "Answers until every worker knows that there is nothing left."
  @spec run(%__MODULE__{}) :: :ok
  def run(%{asking: 0}), do: :ok

  def run(%{keeper: keeper} = state) do
    receive do
      {:want, pid, wanted} ->
        run(hand(%{state | out: Map.delete(state.out, pid)}, pid, wanted))

      # After an error.
      {^keeper, :close} ->
        Chunks.close(state.source)
    end
  end

  defp hand(%{source: :done, coming: coming} = state, pid, wanted) when coming > 0 do
    receive do
      {:piece, items, count} ->
        hand(%{state | source: {:list, items, count}, coming: coming - count}, pid, wanted)
    end
  end

  defp hand(state, pid, wanted) do
    case Chunks.split(state.source, share(state, wanted)) do
      {batch, count, rest} -> %{state | source: rest} |> give(pid, batch, count)
      :done -> %{state | source: :done} |> take_back() |> hand_back(pid, wanted)
    end
  end

  defp give(state, pid, batch, count) do
    claim = Claim.new(count)
    send(pid, {self(), state.at, batch, claim})
    out = Map.put(state.out, pid, {state.at, batch, count, claim})
    %{state | out: out, at: state.at + count, handed: state.handed + 1}
  end

  # Nothing came back: this worker is needed no more. What is out now is all there will be.
  defp hand_back(%{source: :done, ref: ref} = state, pid, _wanted) do
    if state.asking == state.workers, do: send(ref, {ref, {:batches, state.handed}})
    send(pid, {self(), :none})
    %{state | asking: state.asking - 1}
  end

  defp hand_back(state, pid, wanted), do: hand(state, pid, wanted)

  # A batch of one chunk is begun as soon as its worker has it.
  defp take_back(state) do
    open =
      for {pid, {_at, _batch, count, claim}} <- state.out,
          count > state.unit,
          unbegun = Claim.left(claim),
          unbegun > 0,
          do: {unbegun, pid}

    case Enum.max(open, fn -> nil end) do
      nil -> state
      {_unbegun, pid} -> take_back_from(pid, state)
    end
  end

  defp take_back_from(pid, state) do
    %{^pid => {at, batch, count, claim}} = state.out
    begun = Claim.take_back(claim)
    state = %{state | out: Map.delete(state.out, pid)}
    # It may have begun the last items meanwhile: then another batch has some.
    if begun == count,
      do: take_back(state),
      else: %{state | source: Chunks.drop(batch, begun), at: at + begun}
  end

  # Batches get smaller towards the end, so that little is taken back. One worker shares with nobody.
  # Of a stream nobody waits for more than a chunk.
  defp share(%{source: {:enum, _}, unit: unit}, _wanted), do: unit
  defp share(%{workers: 1, unit: unit}, _wanted), do: whole(@piece, unit)

  defp share(%{source: source, coming: coming, unit: unit, workers: workers}, wanted) do
    fair = div(Chunks.left(source) + coming, 2 * workers)
    fair |> min(wanted) |> min(@piece) |> whole(unit)
  end

  # So many, or somewhat fewer, but a whole number of chunks.
  defp whole(items, unit), do: max(items - rem(items, unit), unit)
end
