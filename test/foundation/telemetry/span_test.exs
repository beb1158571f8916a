defmodule Foundation.Telemetry.SpanTest do
  use ExUnit.Case, async: true

  alias Foundation.Telemetry

  setup context do
    prefix = [:span_test, context.test]
    test = self()
    events = for last <- [:start, :stop, :exception], do: prefix ++ [last]

    handler = fn event, measurements, metadata, _ ->
      send(test, {List.last(event), measurements, metadata})
    end

    :ok = Telemetry.attach_many(prefix, events, handler, nil)
    on_exit(fn -> Telemetry.detach(prefix) end)
    {:ok, prefix: prefix}
  end

  test "start and stop carry times, their metadata and one context", %{prefix: prefix} do
    assert :result = Telemetry.span(prefix, %{in: 1}, fn -> {:result, %{out: 2}} end)

    assert_received {:start, start, %{in: 1, telemetry_span_context: context} = first}
    assert_received {:stop, stop, %{out: 2, telemetry_span_context: ^context} = last}
    refute_received {:exception, _, _}

    assert is_reference(context)
    assert Enum.sort(Map.keys(start)) == [:monotonic_time, :system_time]
    assert Enum.sort(Map.keys(stop)) == [:duration, :monotonic_time]
    assert stop.duration == stop.monotonic_time - start.monotonic_time and stop.duration >= 0

    assert_in_delta start.system_time,
                    System.system_time(),
                    System.convert_time_unit(60, :second, :native)

    assert map_size(first) == 2 and map_size(last) == 2
  end

  test "the function's own measurements join duration and time, without replacing them", %{
    prefix: prefix
  } do
    assert :r = Telemetry.span(prefix, %{}, fn -> {:r, %{bytes: 5, duration: :mine}, %{}} end)
    assert_received {:stop, %{bytes: 5, duration: duration, monotonic_time: _}, _}
    assert is_integer(duration)
  end

  test "a given context is kept", %{prefix: prefix} do
    Telemetry.span(prefix, %{telemetry_span_context: 1}, fn ->
      {1, %{telemetry_span_context: 2}}
    end)

    assert_received {:start, _, %{telemetry_span_context: 1}}
    assert_received {:stop, _, %{telemetry_span_context: 2}}
  end

  test "spans have contexts of their own", %{prefix: prefix} do
    for _ <- 1..2, do: Telemetry.span(prefix, %{}, fn -> {1, %{}} end)
    assert_received {:start, _, %{telemetry_span_context: one}}
    assert_received {:start, _, %{telemetry_span_context: two}}
    assert one != two
  end

  def fail(kind), do: :erlang.raise(kind, :boom, [{__MODULE__, :where_it_failed, 0, []}])

  for kind <- [:error, :throw, :exit] do
    test "what ends by #{kind} goes on with its stack trace after the exception event", %{
      prefix: prefix
    } do
      caught =
        try do
          Telemetry.span(prefix, %{in: 1}, fn -> fail(unquote(kind)) end)
        catch
          kind, reason -> {kind, reason, __STACKTRACE__}
        end

      assert {unquote(kind), :boom, [{__MODULE__, :where_it_failed, 0, []} | _] = trace} = caught
      assert_received {:start, _, %{telemetry_span_context: context}}
      assert_received {:exception, measurements, metadata}
      assert %{in: 1, kind: unquote(kind), reason: :boom, stacktrace: ^trace} = metadata
      assert metadata.telemetry_span_context == context
      assert Enum.sort(Map.keys(measurements)) == [:duration, :monotonic_time]
      refute_received {:stop, _, _}
    end
  end

  test "a result of another form is refused; it is no exception of the span", %{prefix: prefix} do
    message =
      "invalid function: expected to return {result, metadata} or " <>
        "{result, measurements, metadata}, got: :ok"

    assert_raise ArgumentError, message, fn -> Telemetry.span(prefix, %{}, fn -> :ok end) end
    assert_received {:start, _, _}
    refute_received {:exception, _, _}
  end

  test "wrong arguments are refused before anything is executed", %{prefix: prefix} do
    assert_raise ArgumentError, "invalid metadata: expected a map, got: nil", fn ->
      Telemetry.span(prefix, nil, fn -> {1, %{}} end)
    end

    assert_raise ArgumentError,
                 ~r/^invalid function: expected a function of arity 0, got: /,
                 fn ->
                   Telemetry.span(prefix, %{}, fn _ -> {1, %{}} end)
                 end

    assert_raise ArgumentError,
                 "invalid event: expected a non-empty list of atoms, got: []",
                 fn ->
                   Telemetry.span([], %{}, fn -> {1, %{}} end)
                 end

    refute_received {:start, _, _}
  end
end
