# What native kernels bring beside the best ways of plain Elixir, each in a process of its own. Every
# result is compared with the rival's before anything is timed.
#
#     mix run bench/schedulers.exs kernels
#
# A ratio is the time of the best rival over the kernel's; `..._usual` that of the way which comes to
# mind first, where it is not the best. Rivals of
# packed numbers get them as a list, which is the best for them.

defmodule Bench.Schedulers.Kernels do
  import Bench.Schedulers.Versus
  alias Bench.Schedulers.{Plain, Text}
  alias Foundation.BEAM.{Compression, Schedulers}

  @asked [0.5, 0.9, 0.99]
  @max 1.0e6
  @bins [bins: 100, min: 0.0, max: @max]

  def run do
    apart(5_000_000, fn -> sort() end)
    apart(5_000_000, fn -> all("100k", 100_000) end)
    apart(20_000_000, fn -> all("1m", 1_000_000) end)
    apart(5_000_000, fn -> usual(floats(100_000)) end)
    apart(5_000_000, fn -> lists() end)
    apart(5_000_000, fn -> texts() end)
    for part <- [&hashes/0, &compress/0, &parallel/0], do: apart(233, part)
  end

  # In a process of its own, with a heap of so many words: what one part holds the collections of
  # another do not walk, and a list leaves room for its walk's garbage. In the heap that a process has by
  # default rivals take up to four times as long.
  defp apart(words, part) do
    {_pid, ref} = :erlang.spawn_opt(part, [:link, :monitor, min_heap_size: words])
    receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
  end

  # Numbers

  defp sort do
    :rand.seed(:exsss, 1)
    list = for _ <- 1..100_000, do: :rand.uniform(1_000_000_000)
    packed = {:i64, for(int <- list, into: <<>>, do: <<int::native-64>>)}

    plain = [
      {"Enum.sort", fn -> Enum.sort(list) end},
      {":lists.sort", fn -> :lists.sort(list) end}
    ]

    versus("sort_list", "sort 100,000 integers, a list", {list, :sort, []}, plain)

    versus("sort_packed", "sort 100,000 integers, packed", {packed, :sort, []}, plain,
      as: &integers/1
    )
  end

  defp all(name, count) do
    data = floats(count)
    numbers(name, data)
    order(name, data)
  end

  defp numbers(name, {list, packed}) do
    count = length(list)

    versus(
      "sum_#{name}",
      "sum of #{count} floats",
      {packed, :sum, []},
      [
        {"Enum.sum", fn -> Enum.sum(list) end},
        {":lists.sum", fn -> :lists.sum(list) end},
        {"a loop", fn -> Plain.sum(list) end},
        {"a loop over packed floats", fn -> Plain.sum_packed(elem(packed, 1)) end}
      ],
      as: &near/1
    )

    versus(
      "mean_#{name}",
      "mean of #{count} floats",
      {packed, :mean, []},
      [
        {"Enum.sum / length", fn -> Enum.sum(list) / length(list) end},
        {"one pass", fn -> Plain.mean(list) end}
      ],
      as: &near/1
    )

    versus(
      "variance_#{name}",
      "variance of #{count} floats",
      {packed, :variance, []},
      [
        {"two passes", fn -> Plain.variance(list) end},
        {"one pass", fn -> Plain.variance_once(list) end}
      ],
      as: &near/1
    )
  end

  defp order(name, {list, packed}) do
    versus(
      "histogram_#{name}",
      "#{length(list)} floats in 100 bins",
      {packed, :histogram, @bins},
      [
        {":counters", fn -> Plain.histogram_counters(list, 100, @max) end},
        {"process dictionary", fn -> Plain.histogram_dictionary(list, 100, @max) end}
      ],
      as: &counts/1
    )

    versus(
      "quantiles_#{name}",
      "3 quantiles of #{length(list)} floats",
      {packed, :quantiles, [q: @asked]},
      [{"quickselect", fn -> Plain.quantiles_select(list, @asked) end}],
      as: &near/1
    )

    versus(
      "top_k_#{name}",
      "the greatest 100 of #{length(list)} floats",
      {packed, :top_k, [k: 100]},
      [{"gb_sets", fn -> Plain.top_k(list, 100) end}],
      as: &unpacked/1
    )
  end

  # The same by the ways that come to mind first.
  defp usual({list, packed}) do
    versus(
      "histogram_usual",
      "100,000 floats in 100 bins, the usual way",
      {packed, :histogram, @bins},
      [{"Map.update", fn -> Plain.histogram(list, 100, @max) end}],
      as: &counts/1
    )

    versus(
      "quantiles_usual",
      "3 quantiles of 100,000 floats, the usual way",
      {packed, :quantiles, [q: @asked]},
      [{":lists.sort, elem", fn -> Plain.quantiles(list, @asked) end}],
      as: &near/1
    )

    versus(
      "top_k_usual",
      "the greatest 100 of 100,000 floats, the usual way",
      {packed, :top_k, [k: 100]},
      [{"Enum.sort, Enum.take", fn -> list |> Enum.sort(:desc) |> Enum.take(100) end}],
      as: &unpacked/1
    )
  end

  # Where decoding the list costs more than the kernel saves, and where a call does.
  defp lists do
    ints = Enum.to_list(1..100_000)

    times =
      Bench.compare("sum of a list of 100,000 integers", [
        {"native", fn -> Schedulers.cpu_intensive(ints, {:native, :sum}) end},
        {"auto", fn -> Schedulers.cpu_intensive(ints, {:auto, :sum}) end},
        {"Enum.sum", fn -> Enum.sum(ints) end}
      ])

    Bench.ratio("kernel_sum_list_native", times["Enum.sum"] / times["native"])
    Bench.ratio("kernel_sum_list_auto", times["Enum.sum"] / times["auto"])

    {few, packed} = floats(100)

    times =
      Bench.compare("sum of 100 floats", [
        {"native, packed", fn -> Schedulers.cpu_intensive(packed, {:native, :sum}) end},
        {"native, a list", fn -> Schedulers.cpu_intensive(few, {:native, :sum}) end},
        {"Enum.sum", fn -> Enum.sum(few) end}
      ])

    IO.puts("NS kernel_call #{round(times["native, packed"])}")
  end

  # Bytes

  defp texts do
    text = Text.make(10_000_000)
    size = [bytes: byte_size(text)]
    frequent = " " <> Text.most_frequent(text) <> " "

    times =
      versus(
        "words",
        "words of a text of 10 MB",
        {text, :words, []},
        [
          {"String.split, Enum.frequencies",
           fn -> text |> String.split() |> Enum.frequencies() end},
          {"bytes into ETS", fn -> Plain.words(text) end}
        ],
        [rounds: 5] ++ size
      )

    Bench.ratio(
      "kernel_words_usual",
      times["String.split, Enum.frequencies"] / times["native"]
    )

    for {name, pattern} <- [frequent: frequent, rare: "qqqqqqqq", byte: "\n"] do
      compiled = :binary.compile_pattern(pattern)

      versus(
        "count_#{name}",
        "#{inspect(pattern)} in it",
        {text, :count, [pattern: pattern]},
        [{":binary.matches, length", fn -> text |> :binary.matches(compiled) |> length() end}],
        size
      )
    end
  end

  defp hashes do
    for {name, bytes} <- [{"64k", 65_536}, {"1m", 1_000_000}, {"10m", 10_000_000}] do
      data = :rand.bytes(bytes)

      times =
        Bench.compare(
          "a hash of #{bytes} bytes",
          [
            {"xxh3_64", fn -> Schedulers.cpu_intensive(data, {:native, :xxh3_64}) end},
            {"xxh3_128", fn -> Schedulers.cpu_intensive(data, {:native, :xxh3_128}) end},
            {":erlang.crc32", fn -> :erlang.crc32(data) end},
            {":erlang.phash2", fn -> :erlang.phash2(data) end}
          ],
          bytes: bytes
        )

      Bench.ratio("kernel_xxh3_#{name}_crc32", times[":erlang.crc32"] / times["xxh3_64"])
      Bench.ratio("kernel_xxh3_#{name}_phash2", times[":erlang.phash2"] / times["xxh3_64"])
    end
  end

  defp compress do
    text = Text.make(8_000_000)
    # Whole binaries, not parts of one.
    pieces = for n <- 0..1_999, do: :binary.copy(binary_part(text, n * 4_000, 4_000))
    run = &Schedulers.cpu_intensive(pieces, {:native, :compress_many}, &1)
    true = Enum.map(run.([]), &Compression.decompress!/1) == pieces

    times =
      Bench.compare(
        "2,000 texts of 4 KB as LZ4",
        [
          {"compress_many", fn -> run.([]) end},
          {"compress_many, parallel", fn -> run.(parallel: true) end},
          {"Compression.compress!/1 each", fn -> Enum.map(pieces, &Compression.compress!/1) end}
        ],
        rounds: 5,
        bytes: byte_size(text)
      )

    each = times["Compression.compress!/1 each"]
    Bench.ratio("kernel_compress_many", each / times["compress_many"])
    Bench.ratio("kernel_compress_many_parallel", each / times["compress_many, parallel"])
  end

  # Parallel

  defp parallel do
    {_list, {:f64, floats}} = floats(1_000_000)
    many = {:f64, :binary.copy(floats, 16)}
    two("sum", "sum of 128 MB of floats", many, :sum)
    two("variance", "variance of them", many, :variance)
    two("histogram", "histogram of them", many, :histogram, bins: 100, min: 0, max: 1_000_000)
    two("top_k", "the 100 largest of them", many, :top_k, k: 100)
    two("sort", "sort 4,000,000 integers", {:i64, :rand.bytes(32_000_000)}, :sort)
    two("words", "words of a text of 10 MB", Text.make(10_000_000), :words)
  end

  defp two(name, title, data, kernel, opts \\ []) do
    run = &Schedulers.cpu_intensive(data, {:native, kernel}, opts ++ &1)
    same!(title, near(run.([])), near(run.(parallel: true)))

    times =
      Bench.compare(
        title,
        [{"one", fn -> run.([]) end}, {"parallel: true", fn -> run.(parallel: true) end}],
        rounds: 7
      )

    Bench.ratio("kernel_parallel_#{name}", times["one"] / times["parallel: true"])
  end

  # No number lies on the edge of a bin.
  defp floats(count) do
    :rand.seed(:exsss, 2)
    list = for _ <- 1..count, do: :rand.uniform(1_000_000) - 0.5
    {list, {:f64, for(float <- list, into: <<>>, do: <<float::float-native-64>>)}}
  end
end
