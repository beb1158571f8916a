# A kernel beside its rivals: the same result from all of them, then the times.

defmodule Bench.Schedulers.Versus do
  alias Foundation.BEAM.Schedulers

  @doc """
  Times a kernel beside its rivals, prints the ratio of the best of them as `kernel_<name>`, and returns
  the times. `:as` brings results into one form before they are compared; the other options are those of
  `Bench.compare/3`.
  """
  def versus(name, title, {data, kernel, options}, plain, opts \\ []) do
    native = fn -> Schedulers.cpu_intensive(data, {:native, kernel}, options) end
    {as, opts} = opts |> Keyword.put_new(:rounds, 7) |> Keyword.pop(:as, & &1)
    result = as.(native.())
    for {rival, fun} <- plain, do: same!("#{title}: #{rival}", result, as.(fun.()))

    times = Bench.compare(title, [{"native", native} | plain], opts)
    best = plain |> Enum.map(fn {rival, _fun} -> times[rival] end) |> Enum.min()
    Bench.ratio("kernel_#{name}", best / times["native"])
    times
  end

  @doc "Raises where two results differ."
  def same!(_title, same, same), do: :ok
  def same!(title, _native, _plain), do: raise("#{title}: the results differ")

  @doc "A list of integers, of packed ones too."
  def integers({:i64, packed}), do: for(<<int::signed-native-64 <- packed>>, do: int)
  def integers(list), do: list

  @doc "A list of floats, of packed ones too."
  def unpacked({:f64, packed}), do: for(<<float::float-native-64 <- packed>>, do: float)
  def unpacked(list), do: list

  @doc "The counts of a histogram."
  def counts(%{counts: counts}), do: counts
  def counts(counts), do: counts

  @doc "Nine digits: sums of floats depend on their order in the last ones."
  def near(number) when is_float(number), do: :erlang.float_to_binary(number, scientific: 9)
  def near([_ | _] = numbers), do: Enum.map(numbers, &near/1)
  def near(other), do: other
end
