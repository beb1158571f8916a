defmodule Foundation.BEAM.Compression.Encoder do
  @moduledoc false

  # `enif_term_to_binary` neither gives way nor stops when its caller dies, and a term that shares
  # its parts expands without bound. So every term is walked first, within a limit, by a walk that
  # does stop; only what has a known size is encoded.

  alias Foundation.BEAM.Term.Size
  alias Foundation.{Error, Native}

  @type size :: non_neg_integer() | :unknown

  @doc "Encodes and compresses; `size` is heap and binaries in bytes, from a complete walk."
  @spec encode(term(), atom(), atom(), size(), pos_integer()) ::
          {:ok, binary()} | {:error, Error.t()}
  def encode(term, packing, checksum, size, max) do
    with {:ok, size} <- bounded(term, size, max) do
      with :dirty <- Native.compression_encode(term, packing, checksum, size) do
        Native.compression_encode_dirty(term, packing, checksum)
      end
      |> Error.wrap()
    end
  end

  @doc "The size of a term, if it is within `max`."
  @spec bounded(term(), size(), pos_integer()) ::
          {:ok, non_neg_integer()} | {:error, Error.t()}
  def bounded(_term, size, max) when is_integer(size) and size <= max, do: {:ok, size}

  def bounded(_term, size, max) when is_integer(size), do: too_large(max, true)

  def bounded(term, :unknown, max) do
    %{complete?: complete?} = size = Size.measure(term, max)
    bytes = size.heap_bytes + size.binary_bytes
    if complete? and bytes <= max, do: {:ok, bytes}, else: too_large(max, bytes > max)
  end

  defp too_large(max, passed?) do
    text = if passed?, do: "is larger than #{max} bytes", else: "cannot be measured to its end"
    {:error, Error.new(:too_large, "the term " <> text, %{max_size: max})}
  end
end
