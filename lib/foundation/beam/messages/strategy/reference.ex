defmodule Foundation.BEAM.Messages.Strategy.Reference do
  @moduledoc false

  # One frozen copy for all receivers of this node, who get a handle to it. For large data that goes
  # to many, or of which each receiver reads a part. A handle means nothing on another node: there
  # the data goes as a binary.

  @behaviour Foundation.BEAM.Messages.Strategy

  alias Foundation.BEAM.Messages.{Shape, Strategy}
  alias Foundation.BEAM.SharedTerm

  # `send/2` would try any size; a copy past this one is a mistake, or a term that shares its parts
  # without end.
  @most 4 * 1024 * 1024 * 1024

  @impl true
  def message(data, :local, _compression, _size, opts) do
    case SharedTerm.new(data, ttl: opts.ttl, max_size: @most) do
      {:error, error} -> {:error, error}
      handle -> {:ok, Shape.reference(handle), handle}
    end
  end

  def message(data, :remote, compression, size, opts),
    do: Strategy.Binary.message(data, :remote, compression, size, opts)

  @impl true
  def deliver(receivers, message, opts), do: Strategy.send_each(receivers, message, opts)
end
