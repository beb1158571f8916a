# What an event costs through the library's own dispatcher, beside one that looks every event up in
# an ETS table (`:telemetry` is made like that).
#
#     mix run bench/telemetry.exs
#
# Prints nanoseconds a call, without those of the loop; the best of several rounds. The last column
# is Foundation's while two processes execute the event at once.

defmodule Bench.Telemetry do
  alias Foundation.Telemetry
  alias Foundation.Telemetry.Dispatch

  @calls 1_000_000
  @rounds 7
  @event [:foundation, :messages, :expired]
  @other [:foundation, :messages, :refused]

  # The peer: nothing but a lookup and a loop over what it finds.
  defmodule Plain do
    def start, do: :ets.new(__MODULE__, [:named_table, :duplicate_bag, read_concurrency: true])

    def attach(id, event, function, config),
      do: :ets.insert(__MODULE__, {event, id, function, config})

    def detach(id), do: :ets.match_delete(__MODULE__, {:_, id, :_, :_})

    def execute(event, measurements, metadata) when is_map(measurements) and is_map(metadata) do
      for {_event, _id, function, config} <- :ets.lookup(__MODULE__, event) do
        try do
          function.(event, measurements, metadata, config)
        catch
          kind, reason -> IO.inspect({kind, reason})
        end
      end

      :ok
    end
  end

  def run do
    if :telemetry in Enum.map(Application.started_applications(), &elem(&1, 0)) do
      IO.puts("`:telemetry` is started: these figures are those of handing over to it.")
    end

    Plain.start()
    IO.puts("ns a call, #{@calls} calls, best of #{@rounds} rounds\n")
    IO.puts(row(["", "Foundation", "plain ETS", "2 processes"]))

    report("nobody listens at all", "none", fn -> :ok end, fn -> :ok end)

    report(
      "20 handlers on other events",
      "others",
      fn -> for n <- 1..20, do: attach(n, [:bench, :"event#{n}"]) end,
      fn -> for n <- 1..20, do: detach(n) end
    )

    report("one handler", "one", fn -> attach(:one, @event) end, fn -> detach(:one) end)

    report("one handler, on another event", "another", fn -> attach(:one, @other) end, fn ->
      detach(:one)
    end)
  end

  defp report(text, name, before, afterwards) do
    before.()
    own = best(&own/1, 1)
    plain = best(&plain/1, 1)
    parallel = best(&own/1, 2)
    afterwards.()
    IO.puts(row([text, ns(own), ns(plain), ns(parallel)]))
    IO.puts("RATIO telemetry_#{name}_plain_ets_by_foundation #{Float.round(plain / own, 2)}")
    IO.puts("NS telemetry_#{name} #{Float.round(own, 1)}")
  end

  def handler(_event, _measurements, _metadata, _config), do: :ok

  defp attach(id, event) do
    :ok = Telemetry.attach(id, event, &__MODULE__.handler/4, nil)
    Plain.attach(id, event, &__MODULE__.handler/4, nil)
  end

  defp detach(id) do
    :ok = Telemetry.detach(id)
    Plain.detach(id)
  end

  defp best(loop, processes) do
    empty = Enum.min(for _ <- 1..@rounds, do: time(&empty/1, processes))
    Enum.min(for _ <- 1..@rounds, do: time(loop, processes)) - empty
  end

  defp time(loop, processes) do
    1..processes
    |> Enum.map(fn _ -> Task.async(fn -> elem(:timer.tc(fn -> loop.(@calls) end), 0) end) end)
    |> Task.await_many(:infinity)
    |> Enum.max()
    |> Kernel.*(1000 / @calls)
  end

  defp empty(0), do: :ok

  defp empty(n) do
    nothing(@event, %{count: n}, %{})
    empty(n - 1)
  end

  @compile {:no_inline, nothing: 3}
  def nothing(_event, _measurements, _metadata), do: :ok

  defp own(0), do: :ok

  defp own(n) do
    Dispatch.execute(@event, %{count: n}, %{})
    own(n - 1)
  end

  defp plain(0), do: :ok

  defp plain(n) do
    Plain.execute(@event, %{count: n}, %{})
    plain(n - 1)
  end

  defp ns(value), do: :erlang.float_to_binary(value, decimals: 1)

  defp row([first | rest]) do
    String.pad_trailing(first, 32) <> Enum.map_join(rest, &String.pad_leading(&1, 14))
  end
end

Bench.Telemetry.run()
