defmodule Foundation.BEAM.Ecosystem.Snapshots.Rounds do
  @moduledoc false

  # Whom the steward asks for a snapshot, at each tick of its interval: everybody who has answered the
  # last time. So a member that is busy has one request in its mailbox, however long that lasts.
  #
  # A member that comes back is another process: what its predecessor was asked counts for nothing.

  @enforce_keys [:asked, :refused]
  defstruct asked: %{}, refused: MapSet.new()

  @type place :: non_neg_integer()
  @type t :: %__MODULE__{asked: %{place() => pid()}, refused: MapSet.t(place())}

  @spec new() :: t()
  def new, do: %__MODULE__{asked: %{}, refused: MapSet.new()}

  @doc "Who of these is to be asked now; they count as asked."
  @spec due(t(), [{place(), pid()}]) :: {[{place(), pid()}], t()}
  def due(%__MODULE__{asked: asked} = rounds, members) do
    due = Enum.reject(members, fn {number, pid} -> asked[number] == pid end)
    {due, %{rounds | asked: Map.merge(asked, Map.new(due))}}
  end

  @doc """
  What a member has answered, and whether that is to be told: its first refusal since it last had a
  snapshot taken. The answer of one that another has followed is heard by nobody.
  """
  @spec answered(t(), place(), pid(), {:ok, term()} | {:refused, term()}) ::
          {:taken | :tell | :quiet, t()}
  def answered(%__MODULE__{asked: asked} = rounds, number, pid, answer) do
    case {asked[number], answer} do
      {^pid, {:ok, _bytes}} ->
        {:taken, %{rounds | asked: without(asked, number), refused: cleared(rounds, number)}}

      {^pid, {:refused, _fault}} ->
        tell = if number in rounds.refused, do: :quiet, else: :tell
        refused = MapSet.put(rounds.refused, number)
        {tell, %{rounds | asked: without(asked, number), refused: refused}}

      _another ->
        {:quiet, rounds}
    end
  end

  @doc "Forgets a member that does not come back."
  @spec forget(t(), place()) :: t()
  def forget(%__MODULE__{asked: asked} = rounds, number),
    do: %{rounds | asked: without(asked, number), refused: cleared(rounds, number)}

  defp without(asked, number), do: Map.delete(asked, number)
  defp cleared(rounds, number), do: MapSet.delete(rounds.refused, number)
end
