defmodule Foundation.Events do
  @moduledoc "Telemetry events as messages to the test: `{:event, name, measurements, metadata}`."

  @doc "Sends the caller every event of the name until the test ends."
  def listen(event) do
    id = {__MODULE__, make_ref()}
    :ok = Foundation.Telemetry.attach(id, event, &__MODULE__.forward/4, self())
    ExUnit.Callbacks.on_exit(fn -> Foundation.Telemetry.detach(id) end)
  end

  @doc false
  def forward(event, measurements, metadata, to) do
    send(to, {:event, event, measurements, metadata})
  end
end
