defmodule Foundation.TelemetryTest do
  use ExUnit.Case, async: true
  doctest Foundation.Telemetry

  import ExUnit.CaptureLog

  alias Foundation.Telemetry

  setup context do
    # Events and ids of each test are its own: handlers are global.
    {:ok, event: [:telemetry_test, context.test], id: {__MODULE__, context.test}}
  end

  def relay(event, measurements, metadata, {pid, tag}) do
    send(pid, {tag, event, measurements, metadata})
  end

  defp attach!(id, events, tag \\ :heard) do
    assert :ok = Telemetry.attach_many(id, List.wrap(events), &__MODULE__.relay/4, {self(), tag})
    on_exit(fn -> Telemetry.detach(id) end)
  end

  describe "execute" do
    test "passes event, measurements, metadata and config to the handler, in the caller's process",
         %{event: event, id: id} do
      handler = fn e, m, d, c -> send(c, {self(), e, m, d}) end
      :ok = Telemetry.attach(id, event, handler, self())
      assert :ok = Telemetry.execute(event, %{count: 1}, %{why: :x})
      me = self()
      assert_received {^me, ^event, %{count: 1}, %{why: :x}}
      :ok = Telemetry.detach(id)
    end

    test "gives an empty map where no metadata is given", %{event: event, id: id} do
      attach!(id, [event])
      :ok = Telemetry.execute(event, %{count: 1})
      assert_received {:heard, ^event, %{count: 1}, metadata}
      assert metadata == %{}
    end

    test "calls handlers in the order of attaching, and only those of exactly this event",
         %{event: event, id: id} do
      attach!({id, 1}, [event], :first)
      attach!({id, 2}, [event], :second)
      attach!({id, 3}, [event ++ [:longer]], :longer)
      attach!({id, 4}, [tl(event)], :shorter)
      :ok = Telemetry.execute(event, %{})
      assert {:messages, messages} = Process.info(self(), :messages)
      assert Enum.map(messages, &elem(&1, 0)) == [:first, :second]
    end

    test "refuses what is no event, no measurements, no metadata" do
      assert_raise ArgumentError,
                   "invalid event: expected a non-empty list of atoms, got: []",
                   fn ->
                     Telemetry.execute([], %{})
                   end

      assert_raise ArgumentError,
                   "invalid event: expected a non-empty list of atoms, got: :a",
                   fn ->
                     Telemetry.execute(:a, %{})
                   end

      for event <- [[:a | :b], [:a, :b | nil], {:a}, nil], data <- [%{}, 1] do
        assert_raise ArgumentError, ~r/^invalid event: expected a non-empty list of atoms/, fn ->
          Telemetry.execute(event, data)
        end
      end

      assert_raise ArgumentError, "invalid measurements: expected a map, got: 1", fn ->
        Telemetry.execute([:a], 1)
      end

      assert_raise ArgumentError, "invalid metadata: expected a map, got: []", fn ->
        Telemetry.execute([:a], %{}, [])
      end
    end
  end

  describe "a handler that fails" do
    for {kind, code} <- [
          raise: quote(do: raise("boom")),
          throw: quote(do: throw(:boom)),
          exit: quote(do: exit(:boom))
        ] do
      test "by #{kind} is detached and logged, and the others are called", %{event: event, id: id} do
        attach!({id, :before}, [event], :before)
        fails = fn _, _, _, _ -> unquote(code) end
        :ok = Telemetry.attach_many({id, :fails}, [event, event ++ [:other]], fails, nil)
        attach!({id, :after}, [event], :after)

        log = capture_log(fn -> assert :ok = Telemetry.execute(event, %{}) end)
        assert log =~ ":fails} failed on #{inspect(event)} and has been detached"
        assert log =~ "boom"
        assert_received {:before, _, _, _}
        assert_received {:after, _, _, _}

        # It is gone from all its events.
        ids = for handler <- Telemetry.list_handlers(event), do: handler.id
        assert ids == [{id, :before}, {id, :after}]
        refute capture_log(fn -> Telemetry.execute(event, %{}) end) =~ inspect(event)
      end
    end

    test "is told of by [:telemetry, :handler, :failure]", %{event: event, id: id} do
      attach!({id, :watch}, [[:telemetry, :handler, :failure]], :failure)
      :ok = Telemetry.attach({id, :fails}, event, fn _, _, _, _ -> throw(:boom) end, :config)
      capture_log(fn -> Telemetry.execute(event, %{}) end)

      expected = {id, :fails}
      assert_received {:failure, _, times, %{handler_id: ^expected} = failure}
      assert %{event_name: ^event, handler_config: :config, kind: :throw, reason: :boom} = failure
      assert [{_, _, _, _} | _] = failure.stacktrace
      assert is_integer(times.monotonic_time) and is_integer(times.system_time)
    end

    test "does not take its successor under the same id with it", %{event: event, id: id} do
      successor = fn _, _, _, pid -> send(pid, :successor) end

      fails = fn _, _, _, pid ->
        :ok = Telemetry.detach(id)
        :ok = Telemetry.attach(id, event, successor, pid)
        raise "boom"
      end

      :ok = Telemetry.attach(id, event, fails, self())
      capture_log(fn -> Telemetry.execute(event, %{}) end)
      :ok = Telemetry.execute(event, %{})
      assert_received :successor
      :ok = Telemetry.detach(id)
    end
  end

  describe "attach, detach, list_handlers" do
    test "an id is taken until it is detached", %{event: event, id: id} do
      attach!(id, [event])

      assert {:error, :already_exists} =
               Telemetry.attach(id, event ++ [:x], fn _, _, _, _ -> 1 end, 1)

      assert Telemetry.list_handlers(event ++ [:x]) == []
      assert :ok = Telemetry.detach(id)
      assert {:error, :not_found} = Telemetry.detach(id)
      :ok = Telemetry.execute(event, %{})
      refute_received {:heard, _, _, _}
      attach!(id, [event])
    end

    test "an event named twice is heard once; no event at all takes no id", %{
      event: event,
      id: id
    } do
      attach!(id, [event, event])
      :ok = Telemetry.execute(event, %{})
      assert_received {:heard, _, _, _}
      refute_received {:heard, _, _, _}

      assert :ok = Telemetry.attach_many({id, :none}, [], &__MODULE__.relay/4, nil)
      assert {:error, :not_found} = Telemetry.detach({id, :none})
    end

    test "handlers are listed by prefix, one entry an event", %{event: event, id: id} do
      [a, b] = [event ++ [:a], event ++ [:b]]
      attach!(id, [a, b])
      config = {self(), :heard}

      expected =
        for e <- [a, b],
            do: %{id: id, event_name: e, function: &__MODULE__.relay/4, config: config}

      assert Enum.sort_by(Telemetry.list_handlers(event), & &1.event_name) == expected
      assert Telemetry.list_handlers(a) == [hd(expected)]
      assert Telemetry.list_handlers(a ++ [:c]) == []
      assert hd(expected) in Telemetry.list_handlers([])
    end

    test "atoms that match specifications use are ordinary in names", %{id: id} do
      attach!(id, [[:_, :"$1"]])
      assert Telemetry.list_handlers([:_]) |> length() == 1
      assert Telemetry.list_handlers([:telemetry_test_no_such]) == []
      :ok = Telemetry.execute([:_, :"$1"], %{})
      assert_received {:heard, [:_, :"$1"], _, _}
    end

    test "refuse arguments of the wrong type, naming them" do
      handler = fn _, _, _, _ -> :ok end

      for {message, call} <- [
            {"invalid function: expected a function of arity 4, got: :f",
             fn -> Telemetry.attach(:id, [:a], :f, nil) end},
            {"invalid event: expected a non-empty list of atoms, got: [1]",
             fn -> Telemetry.attach(:id, [1], handler, nil) end},
            {"invalid event: expected a non-empty list of atoms, got: [:a | :b]",
             fn -> Telemetry.attach(:id, [:a | :b], handler, nil) end},
            {"invalid event: expected a non-empty list of atoms, got: :a",
             fn -> Telemetry.attach_many(:id, [:a], handler, nil) end},
            {"invalid events: expected a list of event names, got: :a",
             fn -> Telemetry.attach_many(:id, :a, handler, nil) end},
            {"invalid event prefix: expected a list of atoms, got: \"a\"",
             fn -> Telemetry.list_handlers("a") end}
          ] do
        assert_raise ArgumentError, message, call
      end

      assert {:error, :not_found} = Telemetry.detach(:id)
    end
  end
end
