defmodule Foundation.BEAM.Ecosystem.Snapshots.Rounds do
  @moduledoc false

  # Whom the ticker asks for a snapshot, at each tick of its interval: everybody who has answered the
  # last time. So a member that is busy has one request in its mailbox, however long that lasts.
  #
  # A member that has done nothing since is not asked, see `Quiet`.
  #
  # A member that comes back is another process: what its predecessor was asked counts for nothing.

  @enforce_keys [:asked, :refused, :marks]
  defstruct asked: %{}, refused: MapSet.new(), marks: %{}

  @type place :: non_neg_integer()
  @type t :: %__MODULE__{
          asked: %{place() => pid()},
          refused: MapSet.t(place()),
          # Of those that have answered, `nil` after a refusal: see `Quiet`.
          marks: %{place() => {pid(), non_neg_integer() | nil}}
        }

  @spec new() :: t()
  def new, do: %__MODULE__{asked: %{}, refused: MapSet.new(), marks: %{}}

  @doc "Who of these is to be asked now; they count as asked."
  @spec due(t(), [{place(), pid()}]) :: {[{place(), pid()}], t()}
  def due(%__MODULE__{asked: asked} = rounds, members) do
    due = Enum.reject(members, fn {number, pid} -> asked[number] == pid end)
    {due, %{rounds | asked: Map.merge(asked, Map.new(due))}}
  end

  @doc "It was not asked after all."
  @spec not_asked(t(), place()) :: t()
  def not_asked(%__MODULE__{} = rounds, number),
    do: %{rounds | asked: without(rounds.asked, number)}

  @doc "How many reductions the process had when it answered last."
  @spec mark(t(), place(), pid()) :: non_neg_integer() | nil | :unknown
  def mark(%__MODULE__{marks: marks}, number, pid) do
    case marks do
      %{^number => {^pid, mark}} -> mark
      _another -> :unknown
    end
  end

  @doc """
  What a member has answered, and whether that is to be told: its first refusal since it last had a
  snapshot taken, also where it was a checkpoint. The answer of one that another has followed is heard by
  nobody.
  """
  @spec answered(
          t(),
          place(),
          pid(),
          {:ok, term()} | {:refused, term()},
          non_neg_integer() | nil
        ) :: {:taken | :tell | :quiet, t()}
  def answered(%__MODULE__{asked: asked} = rounds, number, pid, answer, mark \\ nil) do
    if asked[number] in [pid, nil],
      do: heard(%{rounds | asked: without(asked, number)}, number, pid, answer, mark),
      else: {:quiet, rounds}
  end

  defp heard(rounds, number, pid, {:ok, _bytes}, mark) do
    marks = Map.put(rounds.marks, number, {pid, mark})
    {:taken, %{rounds | refused: cleared(rounds, number), marks: marks}}
  end

  defp heard(rounds, number, pid, {:refused, _fault}, _mark) do
    tell = if number in rounds.refused, do: :quiet, else: :tell
    marks = Map.put(rounds.marks, number, {pid, nil})
    {tell, %{rounds | refused: MapSet.put(rounds.refused, number), marks: marks}}
  end

  @doc "Forgets those that do not come back: all but these."
  @spec keep(t(), %{place() => term()}) :: t()
  def keep(%__MODULE__{} = rounds, present) do
    known = Map.keys(rounds.asked) ++ Map.keys(rounds.marks)
    Enum.reduce(known, rounds, &if(is_map_key(present, &1), do: &2, else: forget(&2, &1)))
  end

  @spec forget(t(), place()) :: t()
  def forget(%__MODULE__{} = rounds, number) do
    %{
      rounds
      | asked: without(rounds.asked, number),
        refused: cleared(rounds, number),
        marks: without(rounds.marks, number)
    }
  end

  defp without(map, number), do: Map.delete(map, number)
  defp cleared(rounds, number), do: MapSet.delete(rounds.refused, number)
end
