defmodule Foundation.Telemetry.DispatchTest do
  # What the dispatcher does with and without `:telemetry`, and without its own application. These
  # tests change where the events of the whole VM go, so nothing may run beside them.
  use ExUnit.Case, async: false

  alias Foundation.Telemetry
  alias Foundation.Telemetry.{Dispatch, Handlers}

  @event [:dispatch_test, :event]

  setup do
    restart_handlers()

    on_exit(fn ->
      :code.delete(:telemetry)
      :code.purge(:telemetry)
      :application.unload(:telemetry)
      restart_handlers()
    end)
  end

  defp restart_handlers do
    _ = Supervisor.terminate_child(Foundation.Supervisor, Handlers)
    {:ok, _} = Supervisor.restart_child(Foundation.Supervisor, Handlers)
  end

  # A `:telemetry` that only keeps handlers and says what it is asked. Like the real one, it is
  # there as soon as its module is loaded, and works once its process has been started.
  defp load_telemetry do
    code =
      quote do
        def attach_many(id, events, function, config) do
          Agent.get_and_update(:fake_telemetry, fn handlers ->
            if List.keymember?(handlers, id, 0),
              do: {{:error, :already_exists}, handlers},
              else: {:ok, handlers ++ [{id, events, function, config}]}
          end)
        end

        def detach(id) do
          Agent.get_and_update(:fake_telemetry, fn handlers ->
            if List.keymember?(handlers, id, 0),
              do: {:ok, List.keydelete(handlers, id, 0)},
              else: {{:error, :not_found}, handlers}
          end)
        end

        def list_handlers(prefix) do
          for {id, events, _, _} <- Agent.get(:fake_telemetry, & &1), do: {prefix, id, events}
        end

        def execute(event, measurements, metadata) do
          for {_, events, function, config} <- Agent.get(:fake_telemetry, & &1),
              event in events do
            function.(event, Map.put(measurements, :by, :fake), metadata, config)
          end

          :ok
        end
      end

    Module.create(:telemetry, code, Macro.Env.location(__ENV__))
    :ok = :application.load({:application, :telemetry, [vsn: ~c"1.0.0", applications: []]})
  end

  defp start_telemetry(handlers \\ []) do
    start_supervised!(%{
      id: :fake_telemetry,
      start: {Agent, :start_link, [fn -> handlers end, [name: :fake_telemetry]]}
    })
  end

  def relay(_event, measurements, _metadata, {pid, tag}), do: send(pid, {tag, measurements})

  defp attach(id), do: Telemetry.attach(id, @event, &__MODULE__.relay/4, {self(), id})

  defp heard(id) do
    :ok = Dispatch.execute(@event, %{n: 1})

    receive do
      {^id, measurements} -> measurements
    after
      0 -> nil
    end
  end

  test "events go to :telemetry where that is started first" do
    load_telemetry()
    start_telemetry()
    restart_handlers()

    assert :ok = attach(:a)
    assert {:error, :already_exists} = attach(:a)
    assert [{:a, [@event], _, _}] = Agent.get(:fake_telemetry, & &1)
    assert heard(:a) == %{n: 1, by: :fake}
    assert Telemetry.list_handlers([:dispatch_test]) == [{[:dispatch_test], :a, [@event]}]
    assert :ok = Telemetry.detach(:a)
    assert {:error, :not_found} = Telemetry.detach(:a)
    assert heard(:a) == nil

    # An event named twice is one subscription here too.
    :ok = Telemetry.attach_many(:twice, [@event, @event], &__MODULE__.relay/4, {self(), :twice})
    assert %{by: :fake} = heard(:twice)
    assert {:twice, [@event], _, _} = List.last(Agent.get(:fake_telemetry, & &1))

    # A span is made of events.
    :ok = Telemetry.attach(:s, [:dispatch_test, :stop], &__MODULE__.relay/4, {self(), :s})
    assert Telemetry.span([:dispatch_test], %{}, fn -> {1, %{}} end) == 1
    assert_received {:s, %{by: :fake, duration: _}}
  end

  test "handlers move over, in order, when :telemetry is started later; the first event sees it" do
    for id <- [:first, :second, :third], do: :ok = attach(id)
    load_telemetry()
    start_telemetry()
    assert heard(:first) == %{n: 1, by: :fake}

    assert [{:first, _, _, _}, {:second, _, _, _}, {:third, _, _, _}] =
             Agent.get(:fake_telemetry, & &1)

    assert_received {:third, %{by: :fake}}
    # Each handler hears an event once.
    refute_received {:first, _}
  end

  test "attach, detach and list_handlers see it too" do
    for {name, call} <- [
          attach: fn -> attach(:b) end,
          detach: fn -> Telemetry.detach(:no_such) end,
          list: fn -> Telemetry.list_handlers([]) end
        ] do
      restart_handlers()
      :ok = attach(:a)
      unless :erlang.module_loaded(:telemetry), do: load_telemetry()
      start_telemetry()
      call.()
      assert {^name, [{:a, _, _, _} | _]} = {name, Agent.get(:fake_telemetry, & &1)}
      stop_supervised!(:fake_telemetry)
    end
  end

  test "loaded but not started, :telemetry gets nothing; once started, events go there" do
    :ok = attach(:a)
    load_telemetry()
    assert heard(:a) == %{n: 1}
    assert heard(:a) == %{n: 1}

    start_telemetry()
    # What the server's timer sends, a second after an event has looked in vain.
    send(Handlers, :look)
    _ = :sys.get_state(Handlers)
    assert heard(:a) == %{n: 1, by: :fake}
  end

  test "an id that is taken in :telemetry is not handed over, and a warning says so" do
    :ok = attach(:a)
    load_telemetry()
    start_telemetry([{:a, [], nil, nil}])
    log = ExUnit.CaptureLog.capture_log(fn -> Telemetry.list_handlers([]) end)
    assert log =~ "telemetry handler :a was not handed over: :already_exists"
    assert heard(:a) == nil
  end

  test "while the application is not started, events go nowhere and nothing crashes" do
    :ok = attach(:a)
    :ok = Supervisor.terminate_child(Foundation.Supervisor, Handlers)

    assert heard(:a) == nil
    assert {:error, %Foundation.Error{error_type: :not_started} = error} = attach(:b)
    assert error.message == "the :foundation application is not started: nothing can be attached"
    assert {:error, :not_found} = Telemetry.detach(:a)
    assert Telemetry.list_handlers([]) == []
    assert Telemetry.span([:dispatch_test], %{}, fn -> {:result, %{}} end) == :result

    # Started again, it begins anew.
    {:ok, _} = Supervisor.restart_child(Foundation.Supervisor, Handlers)
    assert heard(:a) == nil
    assert :ok = attach(:a)
    assert heard(:a) == %{n: 1}
  end

  test "in a VM that never started the application, the same holds" do
    code = """
    alias Foundation.Telemetry
    :ok = Telemetry.execute([:a], %{})
    {:error, %{error_type: :not_started}} = Telemetry.attach(1, [:a], fn _, _, _, _ -> 1 end, 1)
    {:error, :not_found} = Telemetry.detach(1)
    [] = Telemetry.list_handlers([])
    """

    paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])

    {:ok, peer, _node} =
      :peer.start_link(%{connection: :standard_io, args: Enum.map(paths, &to_charlist/1)})

    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:elixir], 60_000)
    assert {_, _} = :peer.call(peer, Code, :eval_string, [code], 60_000)
    :peer.stop(peer)
  end
end
