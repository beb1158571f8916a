defmodule Foundation.SchedulersKernelsPropertyTest do
  # The kernels for numbers against plain Elixir (`Foundation.KernelModels`, which has the tolerances).
  use ExUnit.Case, async: true
  use Foundation.Property

  import Foundation.KernelData,
    only: [numbers: 0, shift: 0, term: 2, repeat: 2, kinds: 0, width: 1]

  import Foundation.KernelModels, only: [right?: 4]

  alias Foundation.BEAM.Schedulers
  alias Foundation.{Error, Native}

  # Bytes of packed numbers, and how many of a list, that are more than a kernel takes at once.
  @large [
    sum: 2_500_000,
    mean: 2_500_000,
    variance: 1_200_000,
    min: 900_000,
    max: 900_000,
    quantiles: 200_000,
    histogram: 450_000,
    sort: 100_000,
    top_k: 200_000
  ]
  @long_list 30_000

  defp opts(:variance), do: oneof([exactly([]), exactly(sample: false), exactly(sample: true)])
  defp opts(:sort), do: oneof([exactly([]), exactly(order: :asc), exactly(order: :desc)])

  defp opts(:quantiles) do
    q = oneof([exactly(0.0), exactly(1.0), exactly(0.5), float(0.0, 1.0)])
    bind({q, list(q)}, fn {q, more} -> [q: [q | Enum.take(more, 5)]] end)
  end

  defp opts(:top_k) do
    k = oneof([integer(1, 9), integer(1, 100), integer(3_000, 20_000), exactly(2 ** 63 - 1)])
    order = oneof([exactly([]), exactly(order: :largest), exactly(order: :smallest)])
    bind({k, order}, fn {k, order} -> [k: k] ++ order end)
  end

  # In eighths, as many of the numbers are: these fall on edges.
  defp opts(:histogram) do
    eighths = integer(-900, 900)

    edges =
      bind({eighths, integer(1, 90), list(eighths)}, fn {first, width, more} ->
        [edges: Enum.map(Enum.uniq(Enum.sort([first, first + width | more])), &(&1 / 8))]
      end)

    bins =
      bind({integer(1, 40), eighths, integer(1, 900)}, fn {bins, min, width} ->
        [bins: bins, min: min / 8, max: (min + width) / 8]
      end)

    oneof([edges, bins])
  end

  defp opts(_kernel), do: exactly([])

  defp listed, do: such_that(numbers(), &(&1.form == :list))

  defp run(kernel, numbers, shift, opts),
    do: Schedulers.cpu_intensive(term(numbers, shift), {:native, kernel}, opts)

  defp large(%{form: :list} = numbers, _kernel), do: repeat(numbers, 8 * @long_list)
  defp large(numbers, kernel), do: repeat(numbers, @large[kernel])

  property "of a list, {:auto, kernel} is what {:native, kernel} is", runs: 300 do
    forall {numbers, kernel, many?} <-
             {listed(), oneof(Enum.map(Keyword.keys(@large), &exactly/1)), boolean()} do
      numbers = if many?, do: large(numbers, kernel), else: numbers

      forall opts <- opts(kernel) do
        result = Schedulers.cpu_intensive(term(numbers, 0), {:auto, kernel}, opts)
        right?(kernel, result, numbers, opts)
      end
    end
  end

  # The models allow for a difference in the last place; there is none.
  property "of a list of integers, {:auto, :mean} is {:native, :mean}, to the bit", runs: 2_000 do
    number = oneof([integer(-(2 ** 63), 2 ** 63 - 1), integer(2 ** 53, 2 ** 54)])

    forall {number, numbers, times} <- {number, list(number), oneof([1, 1, 1, 20])} do
      numbers = [number | numbers] |> List.duplicate(times) |> Enum.concat()

      Schedulers.cpu_intensive(numbers, {:auto, :mean}) ===
        Schedulers.cpu_intensive(numbers, {:native, :mean})
    end
  end

  for kernel <- Keyword.keys(@large) do
    property "#{kernel} of a few numbers is what Elixir finds", runs: 1_000 do
      forall {numbers, shift, opts, parallel} <-
               {numbers(), shift(), opts(unquote(kernel)), boolean()} do
        result = run(unquote(kernel), numbers, shift, opts ++ [parallel: parallel])
        right?(unquote(kernel), result, numbers, opts)
      end
    end

    property "#{kernel} of many numbers is what Elixir finds, in parallel as well", runs: 60 do
      forall {numbers, shift, opts} <- {numbers(), shift(), opts(unquote(kernel))} do
        numbers = large(numbers, unquote(kernel))

        Enum.all?([true, false], fn parallel ->
          result = run(unquote(kernel), numbers, shift, opts ++ [parallel: parallel])
          right?(unquote(kernel), result, numbers, opts)
        end)
      end
    end
  end

  property "a length that is no multiple of a number's is an error" do
    forall {kind, binary, shift, large?} <-
             {oneof(Enum.map(kinds(), &exactly/1)), binary(), shift(), boolean()} do
      bytes = div(width(kind), 8)
      binary = if large?, do: :binary.copy(binary, 5_000), else: binary

      result =
        Schedulers.cpu_intensive(
          {kind, Foundation.KernelData.place(binary, shift)},
          {:native, :sort}
        )

      if rem(byte_size(binary), bytes) == 0,
        do: {kind, byte_size(binary)} == {elem(result, 0), byte_size(elem(result, 1))},
        else: match?({:error, %Error{error_type: :unaligned}}, result)
    end
  end

  test "what is called many is more than is worked on at once" do
    for {kernel, _bytes} <- @large, form <- [:list, :packed], kind <- [:i64, :f64] do
      opts = [quantiles: [q: [0.5]], histogram: [edges: [0.0, 1.0]], top_k: [k: 9]][kernel] || []
      numbers = large(%{form: form, kind: kind, bits: [1], times: 1}, kernel)

      {kind, data} =
        case term(numbers, 0) do
          {kind, packed} -> {kind, packed}
          list -> {:list, list}
        end

      assert {kernel, form, Native.kernels_now(kernel, kind, data, opts)} ==
               {kernel, form, :large}
    end
  end
end
