defmodule Foundation.BEAM.Schedulers.NativeJob.Board do
  @moduledoc false

  # How far each part of a job has come, where all who work on one write it and read it.

  @type t :: :atomics.atomics_ref()

  @spec new(pos_integer()) :: t()
  def new(parts), do: :atomics.new(2 * parts, signed: false)

  @doc "A part has done so many units of so many."
  @spec put(t(), non_neg_integer(), non_neg_integer(), non_neg_integer()) :: :ok
  def put(board, part, done, total) do
    :atomics.put(board, 2 * part + 2, total)
    :atomics.put(board, 2 * part + 1, done)
  end

  @doc "A part is done. One that was done in a slice has told no figures: see `figures/1`."
  @spec done(t(), non_neg_integer()) :: :ok
  def done(board, part) do
    case :atomics.get(board, 2 * part + 2) do
      0 -> :atomics.put(board, 2 * part + 1, 1)
      total -> :atomics.put(board, 2 * part + 1, total)
    end
  end

  @doc "Of all parts together. One that has told nothing is taken to be as large as the largest."
  @spec figures(t()) :: {non_neg_integer(), pos_integer()}
  def figures(board) do
    %{size: size} = :atomics.info(board)
    parts = for at <- 1..size//2, do: {:atomics.get(board, at), :atomics.get(board, at + 1)}
    largest = parts |> Enum.map(&elem(&1, 1)) |> Enum.max() |> max(1)

    Enum.reduce(parts, {0, 0}, fn
      {0, 0}, {done, all} -> {done, all + largest}
      {_one, 0}, {done, all} -> {done + largest, all + largest}
      {some, total}, {done, all} -> {done + some, all + total}
    end)
  end
end
