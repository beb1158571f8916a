defmodule Foundation.BEAM.Ecosystem.Nearest do
  @moduledoc false

  # Who comes after whom in a ring of running members, without a list of all. Members are named by numbers,
  # as in the roster.

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.BEAM.Topology

  @doc """
  Of the living members those that matter to a ring at that number: itself, if it is up, and its
  successor.
  """
  @spec near(Roster.table(), non_neg_integer()) :: [{Topology.role(), pid()}]
  def near(table, number) do
    itself = with {:ok, pid} <- Roster.up(table, number), do: {number, pid}
    all = for {_number, _pid} = member <- [itself, next(table, number)], do: member
    for {number, pid} <- Enum.sort(all), do: {Roster.role(number), pid}
  end

  @doc "Who comes next, after the last one the first; `nil` where there is no other."
  @spec next(Roster.table(), non_neg_integer()) :: {non_neg_integer(), pid()} | nil
  def next(table, number) do
    # The next number has a member nearly always.
    case Roster.up(table, number + 1) do
      {:ok, pid} -> {number + 1, pid}
      :error -> walk(table, number + 2, number, Roster.get(table, :next), rows(table))
    end
  end

  defp rows(table), do: :ets.info(table, :size)

  # Numbers of workers that were removed are not used again: where there are more of them in a row than
  # there are members, it costs less to look at those. (Any number comes before an atom.)
  defp walk(_table, number, number, _last, _left), do: nil
  defp walk(table, _next, number, _last, 0), do: behind(table, number)
  defp walk(table, n, number, last, left) when n > last, do: walk(table, 0, number, :round, left)

  defp walk(table, n, number, last, left) do
    case Roster.up(table, n) do
      {:ok, pid} -> {n, pid}
      :error -> walk(table, n + 1, number, last, left - 1)
    end
  end

  defp behind(table, number) do
    others = for {role, pid} <- Roster.living(table), role != Roster.role(number), do: {role, pid}
    found = Enum.find(others, fn {role, _pid} -> Roster.number(role) > number end)

    with {role, pid} <- found || List.first(others), do: {Roster.number(role), pid}
  end
end
