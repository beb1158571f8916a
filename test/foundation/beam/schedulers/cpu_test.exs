defmodule Foundation.BEAM.Schedulers.CpuTest do
  # Work in the caller; test/foundation/beam/schedulers/job_test.exs has the rest.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers

  defp squares(chunk), do: Enum.map(chunk, &(&1 * &1))

  test "the function gets lists in chunks, whose results are joined in order" do
    me = self()
    list = Enum.to_list(1..10_000)

    result =
      Schedulers.cpu_intensive(list, fn chunk ->
        send(me, {:chunk, chunk})
        squares(chunk)
      end)

    assert result == squares(list)
    chunks = received_chunks()
    assert length(chunks) > 1
    assert Enum.concat(chunks) == list
  end

  defp received_chunks do
    receive do
      {:chunk, chunk} -> [chunk | received_chunks()]
    after
      0 -> []
    end
  end

  test "a higher reduction limit makes larger chunks" do
    list = Enum.to_list(1..100_000)
    chunks = fn opts -> list |> Schedulers.cpu_intensive(&[squares(&1)], opts) |> length() end
    assert chunks.(reduction_limit: 40_000) * 4 < chunks.([])
  end

  test "a chunk size is exact, but for the last chunk" do
    assert Schedulers.cpu_intensive([1, 2, 3, 4, 5], &[&1], chunk_size: 2) == [
             [1, 2],
             [3, 4],
             [5]
           ]

    assert Schedulers.cpu_intensive([1, 2], &[&1], chunk_size: 100) == [[1, 2]]
  end

  test "elements that are lists stay lists; a result that is no list is one element" do
    assert Schedulers.cpu_intensive([[1], [2, [3]]], & &1) == [[1], [2, [3]]]
    assert Schedulers.cpu_intensive([1, 2, 3], &length/1, chunk_size: 2) == [2, 1]
    assert Schedulers.cpu_intensive([1, 2], fn _ -> nil end, chunk_size: 1) == [nil, nil]
  end

  test "no function is called for no items" do
    flunk = fn _ -> flunk("called") end
    assert Schedulers.cpu_intensive([], flunk) == []
    assert Schedulers.cpu_intensive(%{}, flunk, chunk_size: 3) == []
    assert Schedulers.cpu_intensive([], flunk, max_concurrency: 3) == []
  end

  test "what is no list goes to the function whole, and its result comes back whole" do
    for data <- [%{a: 1}, 1..3, {1, 2}, "text", nil, Stream.cycle([1])] do
      assert Schedulers.cpu_intensive(data, &{:got, &1}) == {:got, data}
      assert Schedulers.cpu_intensive(data, &{:got, &1}, chunk_size: :auto) == {:got, data}
    end
  end

  test "maps, ranges, sets and streams are chunked when a size is given" do
    map = Map.new(1..100, &{&1, -&1})
    pairs = Schedulers.cpu_intensive(map, & &1, chunk_size: 7)
    assert Map.new(pairs) == map
    assert Schedulers.cpu_intensive(1..5, &[&1], chunk_size: 2) == [[1, 2], [3, 4], [5]]
    assert Schedulers.cpu_intensive(MapSet.new([1]), &[&1], chunk_size: 2) == [[1]]
    stream = Stream.map(1..5, &(&1 * 2))
    assert Schedulers.cpu_intensive(stream, & &1, chunk_size: 2) == [2, 4, 6, 8, 10]
  end

  test "the function runs in the caller, with its process dictionary" do
    Process.put(:here, self())
    assert Schedulers.cpu_intensive([1], fn _ -> Process.get(:here) end) == [self()]
    assert Schedulers.cpu_intensive(:whole, fn _ -> Process.get(:here) end) == self()
  end

  test "what the function raises, throws or exits with keeps its stack trace" do
    for data <- [[1, 2], :whole] do
      try do
        Schedulers.cpu_intensive(data, &fails/1)
      rescue
        error in ArithmeticError ->
          assert Exception.message(error) =~ "bad argument"
          assert Enum.any?(__STACKTRACE__, &match?({__MODULE__, :fails, 1, _}, &1))
      else
        _ -> flunk("nothing was raised")
      end

      assert catch_throw(Schedulers.cpu_intensive(data, fn _ -> throw(:ball) end)) == :ball
      assert catch_exit(Schedulers.cpu_intensive(data, fn _ -> exit(:why) end)) == :why
    end
  end

  # Not the last call, so that it is in the stack trace.
  defp fails(_chunk), do: {:never, 1 / List.first([0])}

  test "a stream cleans up when the function or the progress function fails" do
    me = self()
    stream = Stream.resource(fn -> 0 end, &{[&1], &1 + 1}, fn _ -> send(me, :closed) end)

    assert_raise RuntimeError, fn ->
      Schedulers.cpu_intensive(stream, fn _ -> raise "no" end, chunk_size: 2)
    end

    assert_received :closed

    assert_raise RuntimeError, "stop", fn ->
      opts = [chunk_size: 2, progress: fn _ -> raise "stop" end, progress_interval: 0]
      Schedulers.cpu_intensive(stream, & &1, opts)
    end

    assert_received :closed
  end

  test "a low priority holds for the work only, also when it fails" do
    low = [priority: :low]
    priority = fn _ -> elem(Process.info(self(), :priority), 1) end
    assert Schedulers.cpu_intensive([1], priority, low) == [:low]
    assert Schedulers.cpu_intensive(:whole, priority, low) == :low
    assert catch_throw(Schedulers.cpu_intensive([1], fn _ -> throw(:x) end, low)) == :x
    assert priority.(nil) == :normal
  end

  test "progress comes after every chunk, in the caller, when the interval is 0" do
    me = self()
    tell = fn figures -> send(me, {self(), figures}) end
    opts = [chunk_size: 2, progress: tell, progress_interval: 0]
    Schedulers.cpu_intensive([1, 2, 3], & &1, opts)
    assert_received {^me, %{done: 2, total: 3}}
    assert_received {^me, %{done: 3, total: 3}}
    refute_received {^me, _}
  end

  test "progress of a stream has a total at the end" do
    opts = [chunk_size: 2, progress: self(), progress_interval: 0]
    Schedulers.cpu_intensive(Stream.map(1..2, & &1), & &1, opts)
    me = self()
    assert_received {:cpu_progress, ^me, %{done: 2, total: :unknown}}
    assert_received {:cpu_progress, ^me, %{done: 2, total: 2}}
    refute_received {:cpu_progress, _, _}
  end

  test "progress comes no more often than the interval, and once at the end" do
    me = self()
    opts = [chunk_size: 1, progress: me, progress_interval: 3_600_000]
    Schedulers.cpu_intensive([1, 2, 3], & &1, opts)
    assert_received {:cpu_progress, ^me, %{done: 3, total: 3}}
    refute_received {:cpu_progress, _, _}

    for data <- [[], :whole], total = if(data == [], do: 0, else: 1) do
      Schedulers.cpu_intensive(data, & &1, progress: me)
      assert_received {:cpu_progress, ^me, %{done: ^total, total: ^total}}
      refute_received {:cpu_progress, _, _}
    end
  end

  test "bad calls name what was expected" do
    for fun <- [fn -> :ok end, fn _, _ -> :ok end, :fun, {:module, :fun}, {:native}] do
      assert_raise ArgumentError,
                   ~r"^expected a function of arity 1, {:native, .* in Schedulers.cpu_intensive/3, got: ",
                   fn -> Schedulers.cpu_intensive([1], fun) end
    end

    assert_raise ArgumentError,
                 "expected a proper list in Schedulers.cpu_intensive/3, got: [1 | 2]",
                 fn -> Schedulers.cpu_intensive([1 | 2], & &1) end

    assert_raise ArgumentError, ~r/return a proper list.* got: \[1 \| 2\]$/, fn ->
      Schedulers.cpu_intensive([1], fn _ -> [1 | 2] end)
    end

    for {name, value} <- [
          chunk_size: 0,
          chunk_size: -1,
          chunk_size: 1.0,
          chunk_size: nil,
          reduction_limit: 0,
          max_concurrency: 0,
          max_concurrency: 1025,
          timeout: -1,
          progress: fn -> :ok end,
          cancel: make_ref(),
          priority: :max
        ] do
      expected = ~r"^invalid option :#{name} in Schedulers.cpu_intensive/3: expected "

      assert_raise ArgumentError, expected, fn ->
        Schedulers.cpu_intensive([1], & &1, [{name, value}])
      end
    end

    assert_raise ArgumentError, ~r/^unknown option :size/, fn ->
      Schedulers.cpu_intensive([1], & &1, size: 1)
    end
  end
end
