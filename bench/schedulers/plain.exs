# What kernels are compared with: the ways of plain Elixir and OTP, the usual ones and the best that
# were found. Compiled, with types as narrow as the compiler can use.

defmodule Bench.Schedulers.Plain do
  @doc "The sum of floats, in a loop of its own."
  def sum(floats), do: sum(floats, 0.0)
  defp sum([float | rest], sum), do: sum(rest, sum + float)
  defp sum([], sum), do: sum

  @doc "The sum of packed floats, without a list."
  def sum_packed(packed), do: sum_packed(packed, 0.0)

  defp sum_packed(<<float::float-native-64, rest::binary>>, sum),
    do: sum_packed(rest, sum + float)

  defp sum_packed(<<>>, sum), do: sum

  @doc "The mean in one pass."
  def mean(floats), do: mean(floats, 0.0, 0)
  defp mean([float | rest], sum, count), do: mean(rest, sum + float, count + 1)
  defp mean([], sum, count), do: sum / count

  @doc "The variance in two passes."
  def variance(floats), do: variance(floats, mean(floats), 0.0, 0)

  defp variance([float | rest], mean, squares, count) do
    distance = float - mean
    variance(rest, mean, squares + distance * distance, count + 1)
  end

  defp variance([], _mean, squares, count), do: squares / count

  @doc "The variance in one pass, as distances from the first: sums of them, and of their squares."
  def variance_once([pivot | _] = floats), do: variance_once(floats, pivot, 0.0, 0.0, 0)

  defp variance_once([float | rest], pivot, sum, squares, count) do
    distance = float - pivot
    variance_once(rest, pivot, sum + distance, squares + distance * distance, count + 1)
  end

  defp variance_once([], _pivot, sum, squares, count),
    do: (squares - sum * sum / count) / count

  @doc "Counts in bins of the same width from 0 up to `max`, in a map."
  def histogram(floats, bins, max) do
    scale = bins / max

    counts =
      Enum.reduce(floats, %{}, fn float, counts ->
        Map.update(counts, trunc(float * scale), 1, &(&1 + 1))
      end)

    for bin <- 0..(bins - 1), do: Map.get(counts, bin, 0)
  end

  @doc "The same in `:counters`."
  def histogram_counters(floats, bins, max) do
    counters = :counters.new(bins, [])
    count(floats, counters, bins / max)
    for bin <- 1..bins, do: :counters.get(counters, bin)
  end

  defp count([float | rest], counters, scale) do
    :counters.add(counters, trunc(float * scale) + 1, 1)
    count(rest, counters, scale)
  end

  defp count([], _counters, _scale), do: :ok

  @doc "The same in the process dictionary."
  def histogram_dictionary(floats, bins, max) do
    for bin <- 0..(bins - 1), do: Process.put(bin, 0)
    tally(floats, bins / max)
    for bin <- 0..(bins - 1), do: Process.delete(bin)
  end

  defp tally([float | rest], scale) do
    bin = trunc(float * scale)
    Process.put(bin, Process.get(bin) + 1)
    tally(rest, scale)
  end

  defp tally([], _scale), do: :ok

  @doc "Quantiles of a sorted list (type 7)."
  def quantiles(floats, asked) do
    sorted = floats |> :lists.sort() |> List.to_tuple()
    for q <- asked, do: between(q * (tuple_size(sorted) - 1), &elem(sorted, &1))
  end

  @doc "Quantiles by looking only into the parts that they are in (quickselect)."
  def quantiles_select(floats, asked) do
    last = length(floats) - 1

    wanted =
      asked |> Enum.flat_map(&[trunc(&1 * last), min(trunc(&1 * last) + 1, last)]) |> Enum.uniq()

    found = floats |> select(0, Enum.sort(wanted), []) |> Map.new()
    for q <- asked, do: between(q * last, &Map.fetch!(found, &1))
  end

  defp between(place, at) do
    below = trunc(place)
    if place == below, do: at.(below), else: mix(at.(below), at.(below + 1), place - below)
  end

  defp mix(low, high, share), do: low + (high - low) * share

  defp select(_floats, _from, [], found), do: found

  defp select(floats, from, wanted, found) do
    pivot = floats |> Enum.take(9) |> Enum.sort() |> Enum.at(div(min(length(floats), 9), 2))
    {less, less_count, same, more} = part(floats, pivot, [], 0, 0, [])
    {in_less, wanted} = Enum.split_while(wanted, &(&1 < from + less_count))
    {in_same, in_more} = Enum.split_while(wanted, &(&1 < from + less_count + same))
    found = for(place <- in_same, do: {place, pivot}) ++ found
    select(more, from + less_count + same, in_more, select(less, from, in_less, found))
  end

  defp part([float | rest], pivot, less, count, same, more) when float < pivot,
    do: part(rest, pivot, [float | less], count + 1, same, more)

  defp part([float | rest], pivot, less, count, same, more) when float > pivot,
    do: part(rest, pivot, less, count, same, [float | more])

  defp part([_ | rest], pivot, less, count, same, more),
    do: part(rest, pivot, less, count, same + 1, more)

  defp part([], _pivot, less, count, same, more), do: {less, count, same, more}

  @doc "The greatest, falling, kept in a `gb_set`."
  def top_k(numbers, k) do
    {first, rest} = Enum.split(numbers, k)
    set = first |> Enum.with_index() |> :gb_sets.from_list()
    top_k(rest, set, k, least(set))
  end

  defp top_k([number | rest], set, index, least) when number > least do
    {_least, set} = :gb_sets.take_smallest(set)
    set = :gb_sets.add_element({number, index}, set)
    top_k(rest, set, index + 1, least(set))
  end

  defp top_k([_ | rest], set, index, least), do: top_k(rest, set, index, least)

  defp top_k([], set, _index, _least),
    do: set |> :gb_sets.to_list() |> Enum.map(&elem(&1, 0)) |> :lists.reverse()

  defp least(set), do: set |> :gb_sets.smallest() |> elem(0)

  @doc """
  How often each word occurs: a walk over the bytes that counts in an ETS table, which, unlike a map, is
  changed in its place. Only ASCII whitespace, which is all that the text has.
  """
  def words(text) do
    table = :ets.new(:words, [:private])
    words(text, text, 0, 0, table)
    counts = table |> :ets.tab2list() |> Map.new()
    :ets.delete(table)
    counts
  end

  defp words(<<byte, rest::binary>>, text, from, size, table) when byte in [?\s, ?\n, ?\t, ?\r] do
    word(text, from, size, table)
    words(rest, text, from + size + 1, 0, table)
  end

  defp words(<<_, rest::binary>>, text, from, size, table),
    do: words(rest, text, from, size + 1, table)

  defp words(<<>>, text, from, size, table), do: word(text, from, size, table)

  defp word(_text, _from, 0, _table), do: :ok

  defp word(text, from, size, table) do
    word = binary_part(text, from, size)
    :ets.update_counter(table, word, 1, {word, 0})
  end
end
