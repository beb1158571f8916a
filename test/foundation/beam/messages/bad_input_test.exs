defmodule Foundation.BEAM.Messages.BadInputTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.Error

  @large List.duplicate(7, 2000)

  defp not_destinations do
    [1, 1.5, "name", %{}, {}, {self()}, {"a", node()}, {:a, "b"}, make_ref()] ++
      [{:via, "module", :name}, {:via, 1}, fn -> :ok end, [1], [self() | :tail]]
  end

  test "what is no destination is refused, with what was expected" do
    for {name, send} <- [
          {"send_optimized/3", &Messages.send_optimized/3},
          {"send_with_backpressure/3", &Messages.send_with_backpressure/3}
        ],
        dest <- not_destinations() do
      error = assert_raise ArgumentError, fn -> send.(dest, :data, []) end
      assert error.message =~ "invalid destination in Messages." <> name
      assert error.message =~ "expected a p"
    end
  end

  test "back-pressure is for one destination" do
    assert_raise ArgumentError, ~r/invalid destination/, fn ->
      Messages.send_with_backpressure([self()], :data)
    end
  end

  # Each option with values past both ends and of other types.
  @packing [
    strategy: [:zero_copy, "direct", 1],
    policy: [:best, nil, "documented"],
    frequency: [:often, nil, 1],
    priority: [:low, :max, nil, 1],
    flow_control: [nil, :automatic, 1],
    reads: [:none, nil, 1],
    ttl: [-1, 0x100000000, 1.0, nil, "1"],
    compression: [9, nil, :max, "low"]
  ]

  @flow [
    max_queue_size: [0, -1, 1.0, nil, :infinity],
    max_retries: [-1, 1001, 1.0, nil, :infinity],
    retry_delay: [-1, 60_001, 1.0, nil, :infinity],
    probe_timeout: [0, -1, 60_001, 1.0, nil, :infinity]
  ]

  @backpressure [
    backpressure_strategy: [:block, nil, "drop"],
    alternatives: [nil, :name, [1], [:name | :name], %{}, [{:via, NoSuchModule, 1}]],
    max_buffer: [0, -1, 1.0, nil, :infinity]
  ]

  @receivers [receivers: [0, -1, 1.0, nil, [], 2 ** 32 + 1, 10 ** 400], remote: [nil, 1, :yes]]
  @opening [max_size: [-1, 1.0, nil, :infinity, 2 ** 64], safe: [nil, 1, "true"]]

  defp calls do
    [
      {"send_optimized/3", @packing ++ @flow, &Messages.send_optimized(self(), :data, &1)},
      {"send_with_backpressure/3", @packing ++ @flow ++ @backpressure,
       &Messages.send_with_backpressure(self(), :data, &1)},
      {"pack/2", @packing ++ @receivers, &Messages.pack(:data, &1)},
      {"strategy_for/2", @packing ++ @flow ++ @receivers, &Messages.strategy_for(:data, &1)},
      {"open/2", @opening, &Messages.open(:data, &1)},
      {"open/2", @opening, &Messages.open!(:data, &1)},
      {"read/3", @opening, &Messages.read(:data, [], &1)},
      {"read/3", @opening, &Messages.read!(:data, [], &1)},
      {"receive_optimized/2", @opening, &Messages.receive_optimized(0, &1)}
    ]
  end

  test "every option refuses what it cannot be, by name, with what it expects" do
    for {name, options, call} <- calls(), {option, values} <- options, value <- values do
      error =
        assert_raise ArgumentError, fn ->
          flunk(
            "#{name} takes #{inspect([{option, value}])}: #{inspect(call.([{option, value}]))}"
          )
        end

      assert error.message =~ "invalid option #{inspect(option)} in Messages.#{name}: expected "
    end

    refute_received :data
  end

  test "options that there are not, and what is no keyword list, are refused" do
    for {name, _options, call} <- calls() do
      assert_raise ArgumentError, ~r"unknown option :nope in Messages.#{name}; known: ", fn ->
        call.(nope: 1)
      end

      for opts <- [:a, %{}, nil, [:a], [{"ttl", 1}], [{:ttl, 1} | :tail], {:ttl, 1}] do
        error = assert_raise ArgumentError, fn -> call.(opts) end
        assert error.message =~ "Messages.#{name}"
      end
    end

    refute_received :data
  end

  test "the options of one function are not silently taken by another" do
    assert_raise ArgumentError, fn -> Messages.send_optimized(self(), :a, receivers: 2) end
    assert_raise ArgumentError, fn -> Messages.send_optimized(self(), :a, max_buffer: 2) end
    assert_raise ArgumentError, fn -> Messages.pack(:a, max_retries: 2) end
    assert_raise ArgumentError, fn -> Messages.open(:a, ttl: 2) end
  end

  test "the ends of every range are taken" do
    for opts <- [
          [ttl: 0],
          [ttl: 0xFFFFFFFF],
          [ttl: :infinity],
          [max_retries: 0],
          [max_retries: 1000],
          [retry_delay: 0],
          [retry_delay: 60_000],
          [probe_timeout: 1],
          [probe_timeout: 60_000],
          [max_queue_size: 0xFFFFFFFFFFFFFFFF]
        ],
        strategy <- [:ets_reference, :flow_controlled] do
      assert {:ok, _} = Messages.send_optimized(self(), :data, [strategy: strategy] ++ opts)
    end
  end

  test "the ends of every range of the other functions are taken" do
    for receivers <- [1, 2 ** 32], policy <- [:documented, :adaptive], data <- [:small, @large] do
      opts = [receivers: receivers, policy: policy]
      assert is_map(Messages.strategy_for(data, opts))
      assert Messages.open(Messages.pack(data, opts)) == {:ok, data}
    end

    message = Messages.pack(:data, strategy: :binary_sharing)
    assert {:error, %Error{error_type: :too_large}} = Messages.open(message, max_size: 0)
    assert Messages.open(message, max_size: 2 ** 64 - 1) == {:ok, :data}
    assert Messages.read(message, [], max_size: 2 ** 64 - 1) == {:ok, :data}
  end

  test "limits, timeouts and paths of the wrong type are refused" do
    for limit <- [-1, 1.0, nil, "1", :none] do
      assert_raise ArgumentError, ~r/invalid limit in Messages.measure/, fn ->
        Messages.measure(:a, limit)
      end
    end

    for timeout <- [-1, 1.0, nil, 0x100000000, "1"] do
      assert_raise ArgumentError, ~r/invalid timeout in Messages.receive_optimized/, fn ->
        Messages.receive_optimized(timeout)
      end
    end

    for strategy <- [:direct, :ets_reference, :binary_sharing],
        path <- [:a, nil, %{}, [0 | :b]] do
      message = Messages.pack([1, 2], strategy: strategy)
      error = assert_raise ArgumentError, fn -> Messages.read(message, path) end
      assert error.message =~ "path"
      assert_raise ArgumentError, fn -> Messages.read!(message, path) end
    end

    send(self(), :kept)
    assert_raise ArgumentError, fn -> Messages.receive_optimized(0, safe: 1) end
    assert_received :kept
  end

  test "the value in an error's text is cut, however large it is" do
    huge = List.duplicate(:x, 100_000)

    for call <- [
          fn -> Messages.send_optimized({huge}, :a) end,
          fn -> Messages.pack(:a, ttl: huge) end,
          fn -> Messages.measure(:a, huge) end
        ] do
      assert byte_size(assert_raise(ArgumentError, call).message) < 500
    end
  end
end
