defmodule Foundation.Native.KernelsNowTest do
  # Times are measured.
  use ExUnit.Case, async: false

  alias Foundation.Native

  # Microseconds. Meant are 100; a machine that others work on takes longer.
  @most 400

  # Where a kernel takes its time: in the arguments that make most work of each number.
  @numbers [
    sum: [[]],
    mean: [[]],
    variance: [[]],
    min: [[]],
    max: [[]],
    sort: [[order: :desc]],
    top_k: for(k <- [1, 10, 100, 1_000, 4_096, 5_000], do: [k: k]),
    quantiles: for(n <- [1, 50, 1_000], do: [q: Enum.map(1..n, &(&1 / n))]),
    histogram:
      for(n <- [2, 30, 1_000], do: [edges: Enum.map(1..n, &(&1 * 255 / n))]) ++
        for(n <- [1, 1_000, 3_000], do: [bins: n, min: 0.0, max: 255.0]) ++
        [
          [bins: 1_000, min: 0.0, max: 5.0e-321],
          [bins: 400, min: 1.0, max: 1.0000000000001]
        ]
  ]

  @many [count: [pattern: "a"], words: [], xxh3_64: [], xxh3_128: [], compress_many: []]

  test "the largest packed numbers that are worked on at once take no longer than they may" do
    for {name, all} <- @numbers, args <- all, kind <- ~w(u8 i16 u32 f32 i64 f64)a do
      most = most(fn n -> now(name, kind, zeros(kind, n), args) end, 2_000_000)

      for order <- [:random, :rising, :falling, :same] do
        packed = numbers(kind, most, order)
        assert_short({name, args, kind, order, most}, fn -> now(name, kind, packed, args) end)
      end
    end
  end

  test "and so do the longest lists of numbers" do
    small = for _ <- 1..30_000, do: :rand.uniform(1_000_000)
    large = Enum.map(small, &(2 ** 62 + &1))

    for {name, all} <- @numbers,
        args <- all,
        list <- [small, large, Enum.map(small, &(&1 / 1))] do
      most = most(fn n -> now(name, :list, Enum.take(list, n), args) end, 30_000)
      taken = Enum.take(list, most)
      assert_short({name, args, hd(list), most}, fn -> now(name, :list, taken, args) end)
      assert_short({name, args, :refused}, fn -> now(name, :list, list, args) end)
    end
  end

  test "and the longest bytes" do
    word = String.duplicate("a", 500)

    patterns = ["a", "aa", "aab", "ba", "aaaaaaaa", word, word <> "b", "b" <> word]
    long = for n <- [10_000, 35_000, 65_535], do: :binary.copy("a", n) <> "b"
    counts = for pattern <- patterns ++ long, do: {:count, [pattern: pattern]}
    distinct = Enum.map_join(0..2_000, " ", &Integer.to_string(&1, 36))
    texts = [distinct, "a", "ab", "a ", "aab", word <> "b", "é\u2003", "to be or not "]

    for {name, args} <-
          counts ++ [words: [], words: [lowercase: true], xxh3_64: [], xxh3_128: []],
        now(name, :bytes, "", args) != :large do
      most = most(fn n -> now(name, :bytes, :binary.copy(<<0>>, n), args) end, 4_000_000)

      for text <- texts do
        bytes = text |> String.duplicate(div(most, byte_size(text)) + 1) |> binary_part(0, most)
        what = {name, inspect(args, printable_limit: 9), text, most}
        assert_short(what, fn -> now(name, :bytes, bytes, args) end)
      end
    end

    for {_, args} <- counts,
        do: assert_short({:abc, args}, fn -> now(:count, :bytes, "abc", args) end)
  end

  test "and the most binaries" do
    for {name, args} <- @many, size <- [0, 1, 20, 300, 5_000] do
      list = for n <- 1..5_000, do: :binary.copy(<<n>>, size)
      most = most(fn n -> now(name, :many, Enum.take(list, n), args) end, 5_000)
      taken = Enum.take(list, most)
      assert_short({name, size, most}, fn -> now(name, :many, taken, args) end)
      assert_short({name, size, :refused}, fn -> now(name, :many, list, args) end)
    end
  end

  defp now(name, kind, data, args), do: Native.kernels_now(name, kind, data, args)

  # The largest that is not too large, up to a bound.
  defp most(run, bound), do: most(run, 0, bound + 1)

  defp most(_run, fits, large) when large - fits <= 1, do: fits

  defp most(run, fits, large) do
    middle = div(fits + large, 2)
    if run.(middle) == :large, do: most(run, fits, middle), else: most(run, middle, large)
  end

  defp assert_short(what, run) do
    least = least(run, 100, :infinity)
    assert least <= @most, "#{inspect(what)} takes #{least} us"
  end

  # Of seven runs, and of more where others work on the machine.
  defp least(_run, 0, least), do: least

  defp least(run, tries, least) do
    times = for _ <- 1..7, do: run |> :timer.tc() |> elem(0)
    least = Enum.min([least | times])
    if least <= @most, do: least, else: least(run, tries - 1, least)
  end

  defp zeros(kind, count), do: :binary.copy(packed(kind, 0), count)

  defp numbers(_kind, 0, _order), do: ""
  defp numbers(kind, count, :same), do: zeros(kind, count)

  defp numbers(kind, count, :random),
    do: for(_ <- 1..count, into: <<>>, do: packed(kind, :rand.uniform(1_000)))

  defp numbers(kind, count, :rising), do: for(n <- 1..count, into: <<>>, do: packed(kind, n))
  defp numbers(kind, count, :falling), do: for(n <- count..1//-1, into: <<>>, do: packed(kind, n))

  defp packed(:f32, n), do: <<n::float-32-native>>
  defp packed(:f64, n), do: <<n::float-native>>
  defp packed(:u8, n), do: <<n>>
  defp packed(:i16, n), do: <<n::16-native>>
  defp packed(:u32, n), do: <<n::32-native>>
  defp packed(:i64, n), do: <<n::64-native>>
end
