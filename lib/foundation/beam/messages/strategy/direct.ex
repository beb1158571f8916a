defmodule Foundation.BEAM.Messages.Strategy.Direct do
  @moduledoc false

  # The data is the message: it is copied to each receiver, except for its large binaries.
  # For small data, and for data that is little more than a large binary.

  @behaviour Foundation.BEAM.Messages.Strategy

  alias Foundation.BEAM.Messages.Strategy

  @impl true
  def message(data, _scope, _compression, _size, _opts), do: {:ok, data, :sent}

  @impl true
  def deliver(receivers, message, opts), do: Strategy.send_each(receivers, message, opts)
end
