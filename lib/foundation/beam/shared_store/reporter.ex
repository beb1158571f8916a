defmodule Foundation.BEAM.SharedStore.Reporter do
  @moduledoc false

  # Tells how many entries the stores have lost since it last asked: one event a store and an
  # interval, however many entries there were. Where nothing was lost it only asks.

  use GenServer

  alias Foundation.Native
  alias Foundation.Telemetry.Dispatch

  @expired [:foundation, :shared_store, :expired]
  @evicted [:foundation, :shared_store, :evicted]

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    opts = Keyword.merge([interval: 1_000, name: __MODULE__], opts)
    GenServer.start_link(__MODULE__, opts[:interval], name: opts[:name])
  end

  @impl true
  def init(interval), do: {:ok, later(interval)}

  @impl true
  def handle_info(:report, interval) do
    Enum.each(Native.shared_store_reports(), &report/1)
    {:noreply, later(interval)}
  end

  def handle_info(_other, interval), do: {:noreply, interval}

  defp report({id, name, evicted, expired}) do
    metadata = %{store: name, id: id}
    if evicted > 0, do: Dispatch.execute(@evicted, %{count: evicted}, metadata)
    if expired > 0, do: Dispatch.execute(@expired, %{count: expired}, metadata)
  end

  defp later(interval) do
    Process.send_after(self(), :report, interval)
    interval
  end
end
