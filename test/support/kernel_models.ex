defmodule Foundation.KernelModels do
  @moduledoc """
  What the kernels for numbers must give, in plain Elixir, for `Foundation.KernelData`.

  Sums are compared with the exact ones: every float is a whole number of units of 2^-1074 (the least
  float), and Elixir's integers have any length. Tolerances are those that the kernels promise.
  """

  import Bitwise
  import Foundation.KernelData

  @unit 1074
  # The greatest float, in units.
  @most ((1 <<< 53) - 1) <<< 2045

  @doc "Whether that is what the kernel must give for the numbers."
  def right?(kernel, result, numbers, opts \\ [])

  def right?(kernel, {:error, %{error_type: :empty}}, numbers, opts)
      when kernel not in [:sum, :histogram, :sort, :top_k],
      do: count(numbers) < if(opts[:sample], do: 2, else: 1)

  def right?(:sum, result, %{kind: kind} = numbers, _opts) do
    if float?(kind),
      do: float_sum?(result, numbers, 1, 40, 0),
      else: result === Enum.sum(numbers.bits) * numbers.times
  end

  # Integers: 2 units in the last place. Floats: 42 * 2^-53 of the mean of their magnitudes; and a
  # unit, where the division leaves less than that.
  def right?(:mean, result, %{kind: kind} = numbers, _opts) do
    count = count(numbers)

    if float?(kind) do
      float_sum?(result, numbers, count, 42, 1)
    else
      sum = Enum.sum(numbers.bits) * numbers.times
      near?(result, sum <<< @unit, count, 2 * ulp(result) * count)
    end
  end

  # 10^-12 of the variance; and a few units, where squares are less than that.
  def right?(:variance, result, numbers, opts) do
    values = floats(numbers)

    if Enum.all?(values, &is_float/1),
      do: variance?(result, values, numbers, opts),
      else: result == :nan
  end

  def right?(:min, result, numbers, _opts), do: extreme?(result, numbers, &Enum.min_by/2)
  def right?(:max, result, numbers, _opts), do: extreme?(result, numbers, &Enum.max_by/2)

  def right?(:quantiles, result, numbers, opts) do
    if :nan in floats(numbers) do
      result == Enum.map(opts[:q], fn _ -> :nan end)
    else
      sorted = numbers |> sorted() |> Enum.map(&nearest(&1, numbers.kind)) |> List.to_tuple()

      length(result) == length(opts[:q]) and
        Enum.all?(Enum.zip(result, opts[:q]), fn {result, q} ->
          quantile?(result, q, sorted, numbers)
        end)
    end
  end

  def right?(:histogram, result, numbers, opts) do
    edges = edges(opts)
    places = numbers |> floats() |> Enum.frequencies_by(&bin(&1, edges, List.last(edges)))
    times = fn place -> Map.get(places, place, 0) * numbers.times end

    result == %{
      counts: Enum.map(Enum.take(0..length(edges), length(edges) - 1), times),
      below: times.(:below),
      above: times.(:above),
      nan: times.(:nan)
    }
  end

  # To the last bit.
  def right?(:sort, result, numbers, opts) do
    sorted = if opts[:order] == :desc, do: Enum.reverse(sorted(numbers)), else: sorted(numbers)
    packed(result, numbers) == repeated(sorted, numbers)
  end

  def right?(:top_k, result, numbers, opts) do
    sorted =
      if opts[:order] == :smallest, do: sorted(numbers), else: Enum.reverse(sorted(numbers))

    size = min(opts[:k], count(numbers)) * div(width(numbers.kind), 8)
    packed(result, numbers) == binary_part(repeated(sorted, numbers), 0, size)
  end

  defp count(numbers), do: length(numbers.bits) * numbers.times
  defp sorted(numbers), do: Enum.sort_by(numbers.bits, &key(&1, numbers.kind))

  # Sums

  # The sum over `count`, within `share` * 2^-53 of the magnitudes' and some units.
  defp float_sum?(result, numbers, count, share, units) do
    values = Enum.map(numbers.bits, &value(&1, numbers.kind))
    beyond = values |> Enum.filter(&is_atom/1) |> Enum.uniq()
    finite = values |> Enum.filter(&is_float/1) |> Enum.map(&units/1)
    magnitudes = Enum.sum(Enum.map(finite, &abs/1)) * numbers.times
    # There no partial sum can leave the range of floats.
    inside? = magnitudes <= @most >>> 1

    case beyond do
      [] when is_float(result) ->
        slack = share * magnitudes + ((units * count) <<< 53)
        near?(result, (Enum.sum(finite) * numbers.times) <<< 53, count <<< 53, slack)

      [one] when one != :nan and inside? ->
        result == one

      [] ->
        not inside? and result in [:infinity, :negative_infinity, :nan]

      [one] when one != :nan ->
        result in [one, :nan]

      _nan ->
        result == :nan
    end
  end

  defp variance?(result, values, numbers, opts) do
    units = Enum.map(values, &units/1)
    count = count(numbers)
    sum = Enum.sum(units) * numbers.times
    squares = Enum.sum(Enum.map(units, &(&1 * &1))) * numbers.times
    wanted = count * squares - sum * sum
    scale = (count * if(opts[:sample], do: count - 1, else: count)) <<< @unit
    largest = units |> Enum.map(&abs/1) |> Enum.max()
    inside? = largest * largest * count * 4 <= @most <<< @unit

    if is_float(result),
      do: near?(result, wanted, scale, div(wanted, 1_000_000_000_000) + 4 * scale),
      else: not inside? and result in [:infinity, :nan]
  end

  # Whether result * scale is wanted, all in units.
  defp near?(result, wanted, scale, slack),
    do: is_float(result) and abs(units(result) * scale - wanted) <= slack

  defp units(float) do
    <<sign::1, exponent::11, mantissa::52>> = <<float::float-64>>
    size = if exponent == 0, do: mantissa, else: (mantissa + (1 <<< 52)) <<< (exponent - 1)
    if sign == 1, do: -size, else: size
  end

  # One unit in the last place, in units.
  defp ulp(float) when is_float(float) do
    <<_::1, exponent::11, _::52>> = <<float::float-64>>
    1 <<< (max(exponent, 1) - 1)
  end

  defp ulp(_none), do: 0

  # Extremes and quantiles

  defp extreme?(result, numbers, find) do
    if :nan in floats(numbers) do
      result == :nan
    else
      same?(result, numbers.bits |> find.(&key(&1, numbers.kind)) |> value(numbers.kind))
    end
  end

  # Zeros of either sign are the same number to OTP 25.
  defp same?(one, two) when is_float(one) and is_float(two), do: <<one::float>> == <<two::float>>
  defp same?(one, two), do: one === two

  defp quantile?(result, q, sorted, numbers) do
    last = count(numbers) - 1
    rank = last * q
    low = elem(sorted, div(trunc(rank), numbers.times))
    high = elem(sorted, div(min(trunc(rank) + 1, last), numbers.times))
    part = rank - trunc(rank)
    if part == 0 or low == high, do: result == low, else: between?(result, low, high, part)
  end

  # Within 2 units in the last place of the greater.
  defp between?(result, low, high, part) when is_float(low) and is_float(high) do
    {from, to} = {units(low), units(high)}
    wanted = (from <<< @unit) + (to - from) * units(part)
    near?(result, wanted, 1 <<< @unit, (2 * max(ulp(low), ulp(high))) <<< @unit)
  end

  defp between?(result, :negative_infinity, :infinity, _part), do: result == :nan
  defp between?(result, :negative_infinity, _high, _part), do: result == :negative_infinity
  defp between?(result, _low, :infinity, _part), do: result == :infinity

  # Histograms

  defp edges(opts) do
    case Map.new(opts) do
      %{edges: edges} ->
        Enum.map(edges, &(&1 * 1.0))

      %{bins: bins, min: min, max: max} ->
        Enum.map(0..(bins - 1), &(min + (max - min) * (&1 / bins))) ++ [max * 1.0]
    end
  end

  defp bin(:nan, _edges, _last), do: :nan
  defp bin(:negative_infinity, _edges, _last), do: :below
  defp bin(:infinity, _edges, _last), do: :above
  defp bin(number, [first | _], _last) when number < first, do: :below
  defp bin(number, _edges, last) when number > last, do: :above
  defp bin(number, edges, last) when number == last, do: length(edges) - 2
  defp bin(number, edges, _last), do: Enum.find_index(edges, &(&1 > number)) - 1

  # Numbers as floats, of integers the nearest.
  defp floats(numbers), do: Enum.map(numbers.bits, &nearest(&1, numbers.kind))

  defp nearest(bits, kind) do
    case value(bits, kind) do
      integer when is_integer(integer) -> integer * 1.0
      other -> other
    end
  end

  # Order

  defp repeated(sorted, %{kind: kind, times: times}),
    do: for(bits <- sorted, into: "", do: [bits] |> pack(kind) |> :binary.copy(times))

  # A result in the form of the input, as one binary.
  defp packed(list, %{form: :list, kind: kind}) when is_list(list),
    do: list |> Enum.map(&bits_of(&1, kind)) |> pack(kind)

  defp packed({kind, binary}, %{form: :packed, kind: kind}), do: binary
  defp packed(other, _numbers), do: {:another_form, other}
end
