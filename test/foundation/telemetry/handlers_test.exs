defmodule Foundation.Telemetry.HandlersTest do
  # Attaching and detaching while events are executed.
  use ExUnit.Case, async: true

  alias Foundation.Telemetry
  alias Foundation.Telemetry.Dispatch

  @event [:handlers_test, :event]

  test "who stays attached hears every event, whatever others attach and detach meanwhile" do
    heard = :counters.new(1, [])

    :ok =
      Telemetry.attach(:stays, @event, fn _, %{n: n}, _, _ -> :counters.add(heard, 1, n) end, nil)

    changing =
      for id <- 1..4 do
        Task.async(fn ->
          for _ <- 1..500 do
            :ok =
              Telemetry.attach_many(
                {:comes, id},
                [@event, @event ++ [:other]],
                fn _, _, _, _ -> 1 end,
                id
              )

            :ok = Telemetry.detach({:comes, id})
          end
        end)
      end

    executing =
      for _ <- 1..4 do
        Task.async(fn -> for _ <- 1..5_000, do: Dispatch.execute(@event, %{n: 1}) end)
      end

    Task.await_many(changing ++ executing, 60_000)
    assert :counters.get(heard, 1) == 20_000

    assert [%{id: :stays}] =
             for(%{event_name: @event} = h <- Telemetry.list_handlers(@event), do: h)

    :ok = Telemetry.detach(:stays)
  end

  test "of many that attach one id at once, one wins" do
    one = fn _ -> Telemetry.attach(:one, @event ++ [:one], fn _, _, _, _ -> 1 end, nil) end
    results = 1..50 |> Task.async_stream(one, max_concurrency: 50) |> Enum.frequencies()
    assert results == %{{:ok, :ok} => 1, {:ok, {:error, :already_exists}} => 49}
    :ok = Telemetry.detach(:one)
  end

  test "a handler that fails in many processes at once is detached once and for all" do
    event = @event ++ [:fails]
    calls = :counters.new(1, [])

    fails = fn _, _, _, _ ->
      :counters.add(calls, 1, 1)
      exit(:boom)
    end

    ExUnit.CaptureLog.capture_log(fn ->
      :ok = Telemetry.attach(:fails, event, fails, nil)
      run = fn _ -> Dispatch.execute(event, %{}) end
      assert Enum.all?(Task.async_stream(1..50, run, max_concurrency: 50), &(&1 == {:ok, :ok}))
    end)

    called = :counters.get(calls, 1)
    assert called in 1..50
    :ok = Dispatch.execute(event, %{})
    assert :counters.get(calls, 1) == called
  end

  test "a handler may attach and detach, itself too" do
    event = @event ++ [:inside]
    test = self()

    handler = fn _, _, _, _ ->
      send(test, :called)
      :ok = Telemetry.attach(:inner, event, fn _, _, _, _ -> send(test, :inner) end, nil)
      :ok = Telemetry.detach(:outer)
    end

    :ok = Telemetry.attach(:outer, event, handler, nil)
    :ok = Dispatch.execute(event, %{})
    refute_received :inner
    :ok = Dispatch.execute(event, %{})
    assert_received :called
    assert_received :inner
    refute_received :called
    :ok = Telemetry.detach(:inner)
  end

  test "an event whose hash is that of another is told from it" do
    # 600 names share 256 counters.
    events = for n <- 1..600, do: [:handlers_test, :"hash#{n}"]
    {listened, silent} = Enum.split(events, 300)
    test = self()
    :ok = Telemetry.attach_many(:hash, listened, fn e, _, _, _ -> send(test, e) end, nil)
    for event <- silent, do: Dispatch.execute(event, %{})
    refute_received _
    for event <- listened, do: Dispatch.execute(event, %{})
    for event <- listened, do: assert_received(^event)
    :ok = Telemetry.detach(:hash)
    for event <- listened, do: Dispatch.execute(event, %{})
    refute_received _
  end
end
