defmodule Foundation.BEAM.Schedulers.KernelsBadOptionsTest do
  # Options of the wrong type, hostile ones, unknown and missing ones raise, and say which it is.
  use ExUnit.Case
  use Foundation.NativeBytes

  import Foundation.KernelFaults

  alias Foundation.BEAM.Schedulers

  setup do
    {:ok, monitors: monitors()}
  end

  # Each with data that is worked on at once, and with more.
  defp refused_option(kernel, name, value) do
    small = if kernel in numbers(), do: [1, 2, 3], else: ["a"]
    large = if kernel in numbers(), do: long(), else: List.duplicate("a", 100_000)

    for data <- [small, large] do
      message = refused(data, kernel, [{name, value}])
      assert message =~ Atom.to_string(name)
    end
  end

  test "options that a kernel does not know" do
    for kernel <- kernels(),
        name <- [:unknown, :chunk_size, :reduction_limit, :max_concurrency],
        do: refused_option(kernel, name, 10)

    for {kernel, name} <- [
          sum: :k,
          sort: :q,
          mean: :sample,
          words: :pattern,
          count: :seed,
          min: :order
        ],
        do: refused_option(kernel, name, 1)
  end

  test "options of the run" do
    wrong =
      Enum.map([1, nil, :yes, "true"], &{:parallel, &1}) ++
        Enum.map([-1, 1.5, :never, 2 ** 70], &{:timeout, &1}) ++
        Enum.map([1, :a, fn -> 1 end, fn _, _ -> 1 end], &{:progress, &1}) ++
        Enum.map([-1, 1.0, :a], &{:progress_interval, &1}) ++
        Enum.map([:handle, 1, make_ref(), %{flag: make_ref()}], &{:cancel, &1}) ++
        Enum.map([:high, :max, 1, "low"], &{:priority, &1})

    for kernel <- [:sum, :sort, :count, :compress_many],
        {name, value} <- wrong,
        {name, value} != {:timeout, 2 ** 70},
        do: refused_option(kernel, name, value)

    for opts <- [:opts, %{}, [1], [{"k", 1}], [parallel: true] ++ :end, "opts"],
        do: raised(fn -> Schedulers.cpu_intensive([1], {:native, :sum}, opts) end)
  end

  @hostile [
    variance: [sample: [1, nil, :yes, "true"]],
    sort: [order: [:up, "asc", nil, 1, true]],
    quantiles: [
      q:
        [
          [],
          nil,
          0.5,
          [1.1],
          [-0.1],
          [2],
          [-1.0e-9],
          [nil],
          ["0.5"],
          [:a],
          [0.5 | 0.6],
          [[0.5]],
          %{}
        ] ++
          [[0.5, 10 ** 400], "0.5", List.duplicate(0.5, 1_001), List.duplicate(0.5, 200_000)]
    ],
    histogram: [
      bins: [0, -1, 1.0, 10 ** 12, 2 ** 20 + 1, 2 ** 64, 2 ** 100_000, nil, :many, "2"],
      min: [1, 2, nil, :a, "0", 10 ** 400, 1.7976931348623157e308],
      max: [0, -1, nil, :a, 10 ** 400, -1.7976931348623157e308]
    ],
    top_k: [
      k: [0, -1, 1.0, 2 ** 63, 2 ** 64 + 1, 2 ** 100_000, nil, :all, "1"],
      order: [:asc, "largest", nil, 1]
    ],
    count: [
      pattern: [
        "",
        nil,
        :a,
        1,
        ["a"],
        <<1::3>>,
        :binary.copy("a", 65_537),
        :binary.copy("a", 10_000_000)
      ]
    ],
    words: [
      lowercase: [1, nil, "true", :ascii],
      max_words: [0, -1, 1.0, 2 ** 32 + 1, 2 ** 64, 2 ** 100_000, nil, :infinity]
    ],
    xxh3_64: [seed: [-1, 2 ** 64, 2 ** 100_000, 1.0, nil, "seed", :seed]],
    xxh3_128: [seed: [-1, 2 ** 64, 2 ** 100_000, 1.0, nil, "seed", :seed]]
  ]

  test "options of a kernel, of any type and size", %{monitors: monitors} do
    # An option that is given as nil is one that is not given, where there is a default.
    defaults = [:sample, :order, :lowercase, :max_words, :seed]

    for {kernel, options} <- @hostile,
        {name, values} <- options,
        value <- values,
        not (is_nil(value) and name in defaults),
        do: refused_option(kernel, name, value)

    nothing_left(monitors)
  end

  test "edges that are none" do
    edges = [
      [],
      [1],
      [1, 1],
      [2, 1],
      [1, 2, 2],
      [0, :a],
      [0, nil],
      [0, 10 ** 400],
      [0 | 1],
      nil,
      1,
      "01",
      %{}
    ]

    for edges <- edges ++ [Enum.to_list(1..(2 ** 16 + 2)), Enum.to_list(1..100_000) ++ [0]] do
      message =
        raised(fn -> Schedulers.cpu_intensive([1], {:native, :histogram}, edges: edges) end)

      if edges != nil, do: assert(message =~ "edges")
    end

    raised(fn ->
      Schedulers.cpu_intensive([1], {:native, :histogram},
        edges: [0, 1],
        bins: 2,
        min: 0,
        max: 1
      )
    end)
  end

  test "bins without edges of their own" do
    for {bins, min, max} <- [
          {2, -1.7e308, 1.7e308},
          {1_000, 1, 1.00000000000001},
          {2 ** 16, 0, 5.0e-324}
        ] do
      opts = [bins: bins, min: min, max: max]
      assert raised(fn -> Schedulers.cpu_intensive([1], {:native, :histogram}, opts) end) =~ "max"
    end
  end

  test "options that are needed" do
    for {kernel, name} <- [quantiles: "q", top_k: "k", count: "pattern", histogram: "bins"] do
      data = if kernel == :count, do: "a", else: [1]
      assert raised(fn -> Schedulers.cpu_intensive(data, {:native, kernel}) end) =~ name
    end

    for missing <- [:bins, :min, :max] do
      opts = Keyword.delete(needed(:histogram), missing)
      message = raised(fn -> Schedulers.cpu_intensive([1], {:native, :histogram}, opts) end)
      assert message =~ Atom.to_string(missing)
    end
  end

  test "options at their limits are taken" do
    assert run([3, 1, 2], :top_k, k: 2 ** 63 - 1) == [3, 2, 1]
    assert run([1, 2], :quantiles, q: List.duplicate(0, 1_000)) == List.duplicate(1.0, 1_000)

    assert %{below: 0, above: 0} = histogram = run([1], :histogram, bins: 2 ** 16, min: 0, max: 2)

    assert length(histogram.counts) == 2 ** 16
    assert is_integer(run("a", :xxh3_64, seed: 2 ** 64 - 1))
    assert run("a", :words, max_words: 2 ** 32) == %{"a" => 1}
    assert run("a", :count, pattern: :binary.copy("a", 65_536)) == 0
  end
end
