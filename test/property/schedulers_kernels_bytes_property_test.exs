defmodule Foundation.SchedulersKernelsBytesPropertyTest do
  # The kernels for bytes against what Elixir and OTP have for the same.
  use ExUnit.Case, async: true
  use Foundation.Property

  import Foundation.KernelData, only: [place: 2, shift: 0]

  alias Foundation.BEAM.{Compression, Schedulers}
  alias Foundation.{Error, Native}

  defp run(data, kernel, opts), do: Schedulers.cpu_intensive(data, {:native, kernel}, opts)

  # One binary or several, wherever they lie, each so many times as long.
  defp one_or_many(binary) do
    oneof([
      {:one, binary, shift()},
      {:many, list({binary, shift()})}
    ])
  end

  defp data({:one, binary, shift}, times), do: binary |> :binary.copy(times) |> place(shift)

  defp data({:many, items}, times),
    do: for({binary, shift} <- items, do: binary |> :binary.copy(times) |> place(shift))

  defp each(data), do: List.wrap(data)

  # With and without `parallel: true`.
  defp both?(data, kernel, opts, expected),
    do: Enum.all?([true, false], &(run(data, kernel, [parallel: &1] ++ opts) === expected))

  # Count

  # Of few letters, so that patterns overlap themselves and each other.
  defp letters, do: bind(list(oneof([?a, ?a, ?b])), &List.to_string/1)

  defp pattern do
    bind({letters(), oneof([?a, ?b])}, fn {letters, last} ->
      binary_part(letters <> <<last>>, 0, min(byte_size(letters) + 1, 7))
    end)
  end

  defp count(data, pattern),
    do: data |> each() |> Enum.map(&length(:binary.matches(&1, pattern))) |> Enum.sum()

  property "a pattern occurs as often as :binary.matches/2 finds it", runs: 300 do
    forall {data, pattern, shift} <- {one_or_many(letters()), pattern(), shift()} do
      data = data(data, 1)
      pattern = place(pattern, shift)
      both?(data, :count, [pattern: pattern], count(data, pattern))
    end
  end

  property "a pattern occurs in large data as often", runs: 30 do
    forall {data, pattern, times} <- {one_or_many(letters()), pattern(), integer(10_000, 20_000)} do
      data = data(data, times)
      both?(data, :count, [pattern: pattern], count(data, pattern))
    end
  end

  test "patterns that are as long as half the data, and parts of each other" do
    pattern = :binary.copy("ab", 20_000)
    data = :binary.copy("ab", 130_001)
    assert both?(data, :count, [pattern: pattern], 6)
    assert both?([data, data], :count, [pattern: pattern], 12)
  end

  # Words

  # Every character of Unicode's whitespace, and some that look like it and are none.
  @spaces String.codepoints(
            "\t\n\v\f\r \u0085\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006" <>
              "\u2008\u2009\u200A\u2028\u2029\u205F\u3000"
          )
  @like String.codepoints("\u00A0\u2007\u202F\u200B\u2060\u180E\u00C5\u1681\u3001")
  # Beginnings and ends of whitespace, and bytes that are nowhere in UTF-8.
  @bytes [
    <<0xC2>>,
    <<0x85>>,
    <<0xE2>>,
    <<0xE2, 0x80>>,
    <<0x80>>,
    <<0xE1, 0x9A>>,
    <<0xFF>>,
    <<0xC0, 0xA0>>
  ]

  defp text do
    some = fn pieces -> oneof(Enum.map(pieces, &exactly/1)) end
    words = some.(~w(a A b B ab aB ä Ä ß ſ € 😀 İ Foundation))
    piece = frequency([{4, words}, {4, some.(@spaces)}, {1, some.(@like)}, {1, some.(@bytes)}])
    bind(list(piece), &IO.iodata_to_binary/1)
  end

  defp words(data, lowercase, times \\ 1) do
    all = data |> each() |> Enum.flat_map(&String.split/1)
    all = if lowercase, do: Enum.map(all, &String.downcase(&1, :ascii)), else: all
    all |> Enum.frequencies() |> Map.new(fn {word, count} -> {word, count * times} end)
  end

  property "words are those of String.split/1", runs: 300 do
    forall {data, lowercase} <- {one_or_many(text()), boolean()} do
      data = data(data, 1)
      both?(data, :words, [lowercase: lowercase], words(data, lowercase))
    end
  end

  property "words of large data are those of String.split/1", runs: 30 do
    forall {data, lowercase, times} <- {one_or_many(text()), boolean(), integer(500, 2_000)} do
      ended = fn {binary, shift} -> {binary <> " ", shift} end

      data =
        case data do
          {:one, binary, shift} -> {:one, binary <> " ", shift}
          {:many, items} -> {:many, Enum.map(items, ended)}
        end

      both?(
        data(data, times),
        :words,
        [lowercase: lowercase],
        words(data(data, 1), lowercase, times)
      )
    end
  end

  property "many words, each its own, cut anywhere", runs: 10 do
    forall {count, first} <- {integer(5_000, 30_000), integer(0, 1_000)} do
      words = for n <- first..(first + count), do: Integer.to_string(n * n * 7_919, 36)
      both?(Enum.join(words, " "), :words, [], Enum.frequencies(words))
    end
  end

  property "more words than max_words are an error, as many are none" do
    forall {data, times} <- {one_or_many(text()), oneof([1, 1_000])} do
      data = data(data, times)
      words = words(data, false)
      few = max(map_size(words) - 1, 1)

      run(data, :words, max_words: max(map_size(words), 1)) === words and
        case run(data, :words, max_words: few) do
          {:error, %Error{error_type: :too_many_words}} -> map_size(words) > few
          other -> other === words
        end
    end
  end

  # Hashes

  # The generator of xxHash's own test data, and some of its test vectors (Cyan4973/xxHash 0.8.1,
  # cli/xsum_sanity_check.c): bytes, seed, XXH3 of 64 bits.
  @prime32 2_654_435_761
  @prime64 11_400_714_785_074_694_797
  @vectors_64 [
    {0, 0, 0x2D06800538D394C2},
    {0, @prime64, 0xA8A6B918B2F0364A},
    {1, 0, 0xC44BDFF4074EECDB},
    {6, @prime64, 0x84589C116AB59AB9},
    {12, 0, 0xA713DAF0DFBB77E7},
    {24, @prime64, 0x850E80FC35BDD690},
    {48, 0, 0x397DA259ECBA1F11},
    {80, @prime64, 0xC6DD0CB699532E73},
    {195, 0, 0xCD94217EE362EC3A},
    {403, @prime64, 0x6259F6ECFD6443FD},
    {2048, 0, 0xDD59E2C3A5F038E0},
    {2367, @prime64, 0xD2DB3415B942B42A}
  ]
  @vectors_128 [
    {0, 0, 0x99AA06D3014798D86001C324468D497F},
    {1, @prime32, 0x89B99554BA22467CB53D5557E7F76F8D},
    {12, 0, 0x6E3EFD8FC7802B18061A192713F69AD9},
    {81, @prime32, 0x2724EC7ADC750FB6703FBB3D7A5F755C},
    {222, 0, 0x337E09641B948717F1AEBD597CEC6B3A},
    {512, @prime64, 0x925D06B8EC5B80403CE457DE14C27708},
    {2367, @prime32, 0xD23AAE4B76C31ECB6F5360AE69C2F406}
  ]
  # A thousand times the first 2,367 of the bytes: by libxxhash 0.8.1 itself.
  @large [
    {:xxh3_64, 0, 0x4A8951788317B35D},
    {:xxh3_64, @prime64, 0xC758A1CCB121CDD8},
    {:xxh3_128, 0, 0x9412F6928FCAF4004A8951788317B35D},
    {:xxh3_128, @prime64, 0xE7A16A6FBA0DC3D0C758A1CCB121CDD8}
  ]

  defp vector(bytes) do
    @prime32
    |> Stream.iterate(&rem(&1 * @prime64, 2 ** 64))
    |> Enum.take(bytes)
    |> Enum.map(&div(&1, 2 ** 56))
    |> :binary.list_to_bin()
  end

  test "hashes are those of xxHash's test vectors" do
    for {kernel, vectors} <- [xxh3_64: @vectors_64, xxh3_128: @vectors_128],
        {bytes, seed, hash} <- vectors do
      assert {bytes, run(vector(bytes), kernel, seed: seed)} == {bytes, hash}
      if seed == 0, do: assert(run(vector(bytes), kernel, []) == hash)
    end
  end

  test "hashes of large data are those of xxHash" do
    data = :binary.copy(vector(2367), 1000)

    for {kernel, seed, hash} <- @large, shift <- [0, 8, 3] do
      data = place(data, shift)
      assert both?(data, kernel, [seed: seed], hash)

      assert both?([data, "", data], kernel, [seed: seed], [
               hash,
               run("", kernel, seed: seed),
               hash
             ])
    end
  end

  property "each of many has the hash that it has alone, wherever it lies" do
    forall {items, kernel, seed, times} <-
             {list({binary(), shift()}), oneof([:xxh3_64, :xxh3_128]),
              oneof([0, integer(0, 2 ** 64 - 1)]), oneof([1, 1, 20_000])} do
      plain = for {binary, _shift} <- items, do: :binary.copy(binary, times)
      alone = for binary <- plain, do: run(binary, kernel, seed: seed)
      both?(data({:many, items}, times), kernel, [seed: seed], alone)
    end
  end

  # Frames

  property "frames of many hold what was given, as Compression reads them" do
    forall {items, times} <- {list({binary(), shift()}), oneof([1, 1, 3_000])} do
      data = data({:many, items}, times)

      Enum.all?([true, false], fn parallel ->
        frames = run(data, :compress_many, parallel: parallel)
        Enum.map(frames, &Compression.decompress!/1) === data
      end)
    end
  end

  test "what is called large is more than is worked on at once" do
    for {kernel, bytes, opts} <- [
          {:count, 150_000, [pattern: "ab"]},
          {:words, 12_000, []},
          {:xxh3_64, 1_500_000, []},
          {:xxh3_128, 1_500_000, []}
        ],
        {kind, data} <- [
          bytes: :binary.copy("ab", div(bytes, 2)),
          many: List.duplicate("abababab", div(bytes, 8))
        ] do
      assert {kernel, Native.kernels_now(kernel, kind, data, opts)} == {kernel, :large}
    end

    assert Native.kernels_now(:compress_many, :many, List.duplicate("abababab", 5_000), []) ==
             :large
  end
end
