defmodule Foundation.BEAM.Schedulers.KernelsTest do
  # What kernels take, return and refuse. native_job_test.exs has how they run.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.{Compression, Schedulers}
  alias Foundation.BEAM.Schedulers.{Kernel, Kernels}
  alias Foundation.{Error, Native}

  @where "Schedulers.cpu_intensive/3"

  defp native(data, kernel, opts \\ []),
    do: Schedulers.cpu_intensive(data, {:native, kernel}, opts)

  defp auto(data, kernel, opts \\ []), do: Schedulers.cpu_intensive(data, {:auto, kernel}, opts)

  defp f64(numbers), do: {:f64, for(n <- numbers, into: <<>>, do: <<n::float-native>>)}
  defp i64(numbers), do: {:i64, for(n <- numbers, into: <<>>, do: <<n::64-signed-native>>)}

  # Small, and so large that it is work for slices.
  defp sizes, do: [7, 300_000]

  defp integers(count) do
    :rand.seed(:exsss, {count, 1, 2})
    for _ <- 1..count, do: :rand.uniform(2_000_000) - 1_000_000
  end

  defp floats(count), do: Enum.map(integers(count), &(&1 / 7))

  test "the table is that of the native side" do
    ours =
      for %Kernel{name: name, takes: takes} = kernel <- Schedulers.kernels() do
        splits = Kernels.fetch!(name).about.splits
        assert kernel.parallel? == (splits != :never)
        {name, takes, splits}
      end

    assert ours == Native.kernels_all()
  end

  test "every kernel says what it is" do
    for kernel <- Schedulers.kernels() do
      assert kernel.summary != "" and kernel.returns != ""
      assert Code.ensure_loaded?(kernel.module)
      assert kernel.auto? == function_exported?(kernel.module, :fold, 3)

      own =
        Keyword.keys(
          if function_exported?(kernel.module, :options, 0), do: kernel.module.options(), else: []
        )

      for name <- own, do: assert(kernel.options =~ "`#{inspect(name)}`")
      assert kernel.options == "" == (own == [])
    end
  end

  test "sum, min, max and sort of integers are those of Enum, in every form" do
    for size <- sizes(), parallel <- [false, true] do
      list = integers(size)
      opts = [parallel: parallel]
      sorted = Enum.sort(list)

      for data <- [list, i64(list)] do
        assert native(data, :sum, opts) == Enum.sum(list)
        assert native(data, :min, opts) == hd(sorted)
        assert native(data, :max, opts) == List.last(sorted)
      end

      assert native(list, :sort, opts) == sorted
      assert native(i64(list), :sort, opts) == i64(sorted)
      assert native(list, :sort, [order: :desc] ++ opts) == Enum.reverse(sorted)
      assert native(list, :top_k, [k: 5] ++ opts) == sorted |> Enum.reverse() |> Enum.take(5)
      top = native(i64(list), :top_k, [k: 5, order: :smallest] ++ opts)
      assert top == i64(Enum.take(sorted, 5))
    end
  end

  test "sum, mean and variance of floats are near those of Elixir" do
    for size <- sizes(), parallel <- [false, true] do
      list = floats(size)
      mean = Enum.sum(list) / size
      squares = list |> Enum.map(&((&1 - mean) ** 2)) |> Enum.sum()

      for data <- [list, f64(list)], opts = [parallel: parallel] do
        assert_in_delta native(data, :sum, opts), Enum.sum(list), 1.0e-3
        assert_in_delta native(data, :mean, opts), mean, 1.0e-8
        assert_in_delta native(data, :variance, opts) / (squares / size), 1.0, 1.0e-9
        sample = native(data, :variance, [sample: true] ++ opts)
        assert_in_delta sample / (squares / (size - 1)), 1.0, 1.0e-9
        assert native(data, :min, opts) == Enum.min(list)
        assert native(data, :max, opts) == Enum.max(list)
      end
    end
  end

  test "quantiles and histogram" do
    list = Enum.shuffle(0..200_000)
    assert native(list, :quantiles, q: [0, 0.5, 1]) == [0.0, 100_000.0, 200_000.0]
    opts = [bins: 2, min: 0, max: 200_000]
    expected = %{counts: [100_000, 100_001], below: 0, above: 0, nan: 0}
    assert native(list, :histogram, opts) == expected
    assert native(list, :histogram, opts ++ [parallel: true]) == expected

    assert native([1, 2, 3, 9], :histogram, edges: [2, 3.0, 4]) ==
             %{counts: [1, 1], below: 1, above: 1, nan: 0}

    assert native([1, 2], :histogram, edges: [-(2 ** 80), 2, 2 ** 70]) ==
             %{counts: [1, 1], below: 0, above: 0, nan: 0}

    nan = {:f64, <<1.0::float-native, -1::64>>}
    assert native(nan, :histogram, edges: [0, 1]) == %{counts: [1], below: 0, above: 0, nan: 1}
  end

  test "floats that no term can be" do
    nan = <<-1::64>>
    infinity = <<0x7FF0_0000_0000_0000::64-native>>
    minus = <<0xFFF0_0000_0000_0000::64-native>>

    for kernel <- [:sum, :mean, :variance, :min, :max],
        do: assert(native({:f64, <<1.0::float-native>> <> nan}, kernel) == :nan)

    assert native({:f64, nan}, :quantiles, q: [0.5]) == [:nan]
    assert native({:f64, infinity}, :sum) == :infinity
    assert native({:f64, minus <> infinity}, :min) == :negative_infinity
    assert native({:f64, infinity <> nan <> minus}, :sort) == {:f64, nan <> minus <> infinity}
  end

  test "count, words and hashes, of one binary and of many" do
    words = Enum.take(Stream.cycle(~w(the quick Brown fox the)), 100_000)

    for text <- [Enum.join(Enum.take(words, 5), " "), Enum.join(words, " ")],
        parallel <- [false, true] do
      opts = [parallel: parallel]
      matches = text |> :binary.matches("the") |> length()
      assert native(text, :count, [pattern: "the"] ++ opts) == matches
      assert native([text, text], :count, [pattern: "the"] ++ opts) == 2 * matches
      frequencies = text |> String.split() |> Enum.frequencies()
      assert native(text, :words, opts) == frequencies
      assert native([text, ""], :words, opts) == frequencies
      small = text |> String.downcase() |> String.split() |> Enum.frequencies()
      assert native(text, :words, [lowercase: true] ++ opts) == small
      hash = native(text, :xxh3_64, opts)
      assert native([text, "a", text], :xxh3_64, opts) == [hash, native("a", :xxh3_64), hash]
      assert native(text, :xxh3_64, seed: 1) != hash
      assert [long] = native([text], :xxh3_128, opts)
      assert native(text, :xxh3_128, opts) == long
    end

    # The reference implementation's own test values.
    assert native("", :xxh3_64) == 0x2D06_8005_38D3_94C2
    assert native("", :xxh3_128) == 0x99AA_06D3_0147_98D8_6001_C324_468D_497F
    assert native([], :xxh3_64) == []
    assert native("", :words) == %{}
  end

  test "many distinct words come back whole" do
    words = for n <- 1..60_000, do: "word#{n}"
    frequencies = native(Enum.join(words, " "), :words)
    assert map_size(frequencies) == 60_000
    assert Enum.all?(words, &(frequencies[&1] == 1))
  end

  test "compressed frames are those that Compression reads" do
    for count <- [3, 500], parallel <- [false, true] do
      many = for n <- 1..count, do: String.duplicate("#{n} ", n * 10)
      frames = native(many, :compress_many, parallel: parallel)
      assert Enum.map(frames, &Compression.decompress!/1) == many
    end

    assert native([], :compress_many) == []
  end

  test ":auto gives what :native gives, for whatever there is" do
    lists = [
      [],
      [1],
      [1.5],
      integers(30_000),
      floats(30_000),
      [1, 2.0],
      [2.0, 1],
      [1, :a],
      [:a],
      [0.0, -0.0],
      [-0.0, 0.0],
      [5.0, -0.0, 1.0],
      [1.0e308, 1.0e308],
      [0x7FFF_FFFF_FFFF_FFFF, 1]
    ]

    for list <- lists, kernel <- [:sum, :mean, :min, :max] do
      assert :erlang.term_to_binary(auto(list, kernel)) ==
               :erlang.term_to_binary(native(list, kernel))
    end

    assert auto([3, 1], :sort) == [1, 3]
    assert auto(i64([3, 1]), :sum) == 4
  end

  test ":auto takes integers of any size" do
    big = 2 ** 80
    assert auto([big, 1], :sum) == big + 1
    assert auto([big, -big], :mean) == 0.0
    assert auto([1, big], :max) == big
    assert auto([1, -big], :min) == -big
    # Beyond floats there is no mean.
    assert {:error, %Error{error_type: :integer_too_large}} = auto([2 ** 2000], :mean)
  end

  test ":auto is ended, and tells, as others are" do
    list = Enum.to_list(1..100_000)
    handle = Schedulers.cancel_handle()
    Schedulers.cancel(handle)
    assert {:error, %Error{error_type: :cancelled}} = auto(list, :sum, cancel: handle)
    assert {:error, %Error{error_type: :timeout}} = auto(list, :sum, timeout: 0)
    me = self()

    for {count, told} <- [{20_000, [10_000, 20_000]}, {20_001, [10_000, 20_000, 20_001]}] do
      auto(Enum.to_list(1..count), :sum, progress: me, progress_interval: 0)

      for done <- told,
          do: assert_received({:cpu_progress, ^me, %{done: ^done, total: ^count}})

      refute_received {:cpu_progress, _, _}
    end

    handle = Schedulers.cancel_handle()
    stop = fn _ -> Schedulers.cancel(handle) end
    opts = [cancel: handle, progress: stop, progress_interval: 0]
    assert {:error, %Error{error_type: :cancelled}} = auto(list, :max, opts)
  end

  test "what is wrong inside the data is an error" do
    long = Enum.to_list(1..200_000)

    for {data, kernel, type} <- [
          {[], :mean, :empty},
          {[], :min, :empty},
          {{:f64, ""}, :max, :empty},
          {{:i16, <<1>>}, :sum, :unaligned},
          {{:f64, :binary.copy(<<1>>, 1_000_001)}, :sum, :unaligned},
          {[1, 2.0], :sum, :mixed_numbers},
          {long ++ [1.0], :sort, :mixed_numbers},
          {[2 ** 63], :sort, :integer_too_large},
          {long ++ [2 ** 64], :sum, :integer_too_large},
          {[1, nil], :sum, :invalid_element},
          {["a", 1], :words, :invalid_element},
          {["a", ["b"]], :compress_many, :invalid_element},
          {["a", <<1::3>>], :xxh3_64, :invalid_element}
        ] do
      assert {:error, %Error{error_type: ^type, message: <<_, _::binary>>}} = native(data, kernel)
    end

    assert {:error, %Error{context: %{index: 200_000}}} = native(long ++ [:a], :sum)
    assert {:error, %Error{context: %{index: 1}}} = native(["a", :a], :count, pattern: "a")

    for size <- [3, 100_000], parallel <- [false, true] do
      text = Enum.map_join(1..size, " ", &"#{&1}")
      opts = [max_words: 2, parallel: parallel]
      assert {:error, %Error{error_type: :too_many_words}} = native(text, :words, opts)
    end
  end

  test "unknown kernels are refused with those that are known" do
    for name <- [:nope, "sum", nil, {:native, :sum}] do
      known = ~r/^unknown kernel .* in #{@where}; known: :sum, :mean, .*, :compress_many$/
      assert_raise ArgumentError, known, fn -> native([1], name) end
      assert_raise ArgumentError, known, fn -> auto([1], name) end
    end
  end

  test "data of another shape is refused" do
    long = Enum.to_list(1..100_000) ++ 1

    for {data, kernel, expected} <- [
          {%{}, :sum, "a list of numbers, or {kind, binary} with a kind of :i8, "},
          {"text", :sum, "a list of numbers"},
          {{:f16, "ab"}, :sum, "a list of numbers"},
          {{:u8, [1]}, :sum, "a list of numbers"},
          {{:u8, <<1::9>>}, :sum, "a list of numbers"},
          {nil, :words, "a binary or a list of binaries"},
          {<<1::9>>, :words, "a binary or a list of binaries"},
          {"text", :compress_many, "a list of binaries"},
          {[1 | 2], :sum, "a proper list"},
          {["a" | "b"], :words, "a proper list"},
          {long, :sum, "a proper list"}
        ],
        way <- [:native, :auto] do
      expected = ~r/^expected #{expected}.* for the kernel :\w+ in #{Regex.escape(@where)}, got: /

      assert_raise ArgumentError, expected, fn ->
        Schedulers.cpu_intensive(data, {way, kernel})
      end
    end
  end

  test "options are checked before the data is, and name what was expected" do
    for {kernel, opts, text} <- [
          {:sum, [chunk_size: 3], "unknown option :chunk_size"},
          {:sum, [reduction_limit: 3], "unknown option :reduction_limit"},
          {:sum, [max_concurrency: 3], "unknown option :max_concurrency"},
          {:sum, [order: :asc], "unknown option :order"},
          {:sum, [parallel: 1], "invalid option :parallel"},
          {:sum, [timeout: -1], "invalid option :timeout"},
          {:sum, [cancel: make_ref()], "invalid option :cancel"},
          {:sum, [progress: 1], "invalid option :progress"},
          {:sum, :parallel, "expected a keyword list"},
          {:sort, [order: :up], "invalid option :order"},
          {:variance, [sample: 1], "invalid option :sample"},
          {:top_k, [], "option :k is required"},
          {:top_k, [k: 0], "invalid option :k"},
          {:top_k, [k: 2 ** 63], "invalid option :k"},
          {:quantiles, [], "option :q is required"},
          {:quantiles, [q: []], "invalid option :q"},
          {:quantiles, [q: [1.1]], "invalid option :q"},
          {:quantiles, [q: [0.1 | 0.2]], "invalid option :q"},
          {:quantiles, [q: List.duplicate(0.5, 1001)], "invalid option :q"},
          {:histogram, [], "option :bins, or :edges, is required"},
          {:histogram, [bins: 2, min: 0], "option :max, or :edges, is required"},
          {:histogram, [bins: 0, min: 0, max: 1], "invalid option :bins"},
          {:histogram, [bins: 2, min: 1, max: 1], "invalid option :max: expected more than :min"},
          {:histogram, [bins: 2, min: 0, max: 2 ** 2000], "invalid option :max"},
          {:histogram, [edges: [1]], "invalid option :edges"},
          {:histogram, [edges: [2, 1]], "invalid option :edges"},
          {:histogram, [edges: [1, :a]], "invalid option :edges"},
          {:histogram, [edges: [1, 2], min: 0], "invalid option :min: expected none"},
          {:histogram, [edges: [2 ** 60, 2 ** 60 + 1]], "invalid option :edges"},
          {:histogram, [bins: 1000, min: 1.0, max: 1.0000000000000002], "the option max must be"},
          {:count, [], "option :pattern is required"},
          {:count, [pattern: ""], "invalid option :pattern"},
          {:count, [pattern: :binary.copy("x", 65_537)], "invalid option :pattern"},
          {:words, [max_words: 0], "invalid option :max_words"},
          {:xxh3_64, [seed: -1], "invalid option :seed"},
          {:xxh3_64, [seed: 2 ** 64], "invalid option :seed"}
        ] do
      data = if text =~ "must be", do: [1], else: :no_data
      error = assert_raise ArgumentError, fn -> native(data, kernel, opts) end
      assert Exception.message(error) =~ text
      assert Exception.message(error) =~ @where
    end
  end
end
