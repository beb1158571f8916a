defmodule Foundation.BEAM.Messages.Strategy.Binary do
  @moduledoc false

  # The data is encoded once; receivers share the binary and each decodes it. For data that goes
  # to other nodes or is sent on several times. On one node a reference costs less to read.

  @behaviour Foundation.BEAM.Messages.Strategy

  alias Foundation.BEAM.{Compression, Messages.Shape, Messages.Strategy}

  @impl true
  def message(data, _scope, compression, size, _opts) do
    case encode(data, compression, size) do
      {:error, error} -> {:error, error}
      binary -> {:ok, Shape.binary(binary), byte_size(binary)}
    end
  end

  @impl true
  def deliver(receivers, message, opts), do: Strategy.send_each(receivers, message, opts)

  defp encode(data, :high, size) do
    with {:ok, _bytes} <- Compression.bounded(data, hint(size)),
         do: :erlang.term_to_binary(data, compressed: 9)
  end

  defp encode(data, level, size), do: Compression.pack_term(data, level, hint(size))

  # What is known to be small is worked on without a change of scheduler.
  defp hint(%{complete?: true} = size), do: size.heap_bytes + size.binary_bytes
  defp hint(_unknown), do: :unknown
end
