defmodule Foundation.BEAM.Memory.Atoms.Window do
  @moduledoc false

  # How many things happened in the last so many milliseconds, for any number of them up to the
  # longest asked for, in bounded memory: the older they are, the more of them share one bucket.
  #
  # A bucket is never wider than a sixteenth of its age, and counts whole while any of it is within.
  # So a count is never too low, and at most what happened in a time longer by a sixteenth and a
  # millisecond.

  @width 16

  @enforce_keys [:keep, :buckets]
  defstruct [:keep, :buckets]

  # Newest first: the times of the first and the last thing in it, and how many.
  @type bucket :: {integer(), integer(), pos_integer()}
  @type t :: %__MODULE__{keep: non_neg_integer(), buckets: [bucket()]}

  @spec new() :: t()
  def new, do: %__MODULE__{keep: 0, buckets: []}

  @doc "What happened in the `per` milliseconds before `now`."
  @spec count(t(), pos_integer(), integer()) :: non_neg_integer()
  def count(%{buckets: buckets}, per, now), do: sum(buckets, now - per, 0)

  @doc "Remembers things for at least `per` milliseconds from here on."
  @spec keep(t(), non_neg_integer()) :: t()
  def keep(%{keep: keep} = window, per), do: %{window | keep: max(keep, per)}

  @doc "Something happens at `now`. Where nothing is to be remembered, nothing is."
  @spec add(t(), integer()) :: t()
  def add(%{keep: 0} = window, _now), do: window

  def add(%{buckets: [{first, now, count} | older]} = window, now),
    do: %{window | buckets: [{first, now, count + 1} | older]}

  def add(%{buckets: buckets, keep: keep} = window, now),
    do: %{window | buckets: merge([{now, now, 1} | buckets], now, now - keep)}

  @doc "Whether all that is remembered has passed."
  @spec past?(t(), integer()) :: boolean()
  def past?(%{buckets: []}, _now), do: true
  def past?(%{buckets: [{_, last, _} | _], keep: keep}, now), do: last < now - keep

  defp sum([{_, last, count} | older], from, total) when last >= from and is_integer(count),
    do: sum(older, from, total + count)

  defp sum(_older, _from, total), do: total

  defp merge([{_, last, _} | _], _now, from) when last < from, do: []

  defp merge([{_, last, count}, {first, _, more} | older], now, from)
       when (last - first) * @width <= now - last,
       do: merge([{first, last, count + more} | older], now, from)

  defp merge([bucket | older], now, from), do: [bucket | merge(older, now, from)]
  defp merge([], _now, _from), do: []
end
