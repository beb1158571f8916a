defmodule Foundation.BEAM.Schedulers.NativeJob.Board do
  @moduledoc false

  # How far each part of a job has come, where all who work on one write it and read it.

  @type t :: :atomics.atomics_ref()

  @spec new(pos_integer()) :: t()
  def new(parts), do: :atomics.new(2 * parts, signed: false)

  @doc "A part has done so many units of so many."
  @spec put(t(), non_neg_integer(), non_neg_integer(), non_neg_integer()) :: :ok
  def put(board, part, done, total) do
    :atomics.put(board, 2 * part + 1, done)
    :atomics.put(board, 2 * part + 2, total)
  end

  @doc "A part is done. One that was done in a slice has told no figures: it counts as one unit."
  @spec done(t(), non_neg_integer()) :: :ok
  def done(board, part) do
    total = max(:atomics.get(board, 2 * part + 2), 1)
    put(board, part, total, total)
  end

  @doc "Of all parts together."
  @spec figures(t()) :: {non_neg_integer(), non_neg_integer()}
  def figures(board) do
    %{size: size} = :atomics.info(board)

    for at <- 1..size//2, reduce: {0, 0} do
      {done, total} -> {done + :atomics.get(board, at), total + :atomics.get(board, at + 1)}
    end
  end
end
