defmodule Foundation.BEAM.Ecosystem.Tell do
  @moduledoc false

  # Messages to the steward. One that comes after another finds what it was not told in the roster.

  alias Foundation.BEAM.Ecosystem.Roster

  @doc "Tells of what has happened to a member."
  @spec steward(Roster.table(), tuple() | atom()) :: term()
  def steward(table, message),
    do: if(steward = Roster.get(table, :steward), do: send(steward, message))

  @doc "Tells of a supervisor of members, for the first time or anew."
  @spec supervisor(Roster.table(), non_neg_integer(), pid()) :: term()
  def supervisor(table, part, pid) do
    Roster.put(table, {:supervisor, part}, pid)

    if Roster.get(table, :state) != :starting, do: steward(table, {:supervisor, part, pid})
  end
end
