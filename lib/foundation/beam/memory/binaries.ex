defmodule Foundation.BEAM.Memory.Binaries do
  @moduledoc false

  # Binaries in the form that suits what is done with them next, each under a tag that says which.

  alias Foundation.BEAM.Compression
  alias Foundation.BEAM.Term.Iodata
  alias Foundation.{Error, Options}

  @optimize "Memory.optimize_binary/2"
  @restore "Memory.restore_binary/2"

  # Where the documented cut-offs of `:automatic` lie.
  @heap 64
  @storage 65_536

  # The VM keeps binaries up to this size on the heap of a process.
  @on_heap 64

  # What a part must keep alive beside itself to be copied. Below, the copy is hardly smaller than
  # what it frees; and a binary that is being appended to has 256 bytes from its first on.
  @kept 256

  # The share of the input that a compressed result must stay under.
  @worth 0.9

  # What a frame may bring where nothing is said: its few bytes may stand for any number.
  @frame 268_435_456

  @schema Options.schema!(
            max_size: [
              type: {:integer, 0, 0xFFFF_FFFF_FFFF_FFFF},
              doc:
                "The most bytes that the result may have; nothing larger is ever allocated. Default: " <>
                  "268435456 for frames, none for binaries that are there as they are."
            ]
          )

  @type tag :: :heap_binary | :refc_binary | :compressed_binary | :transmission_ready
  @type strategy :: :automatic | :sharing | :storage | :transmission

  @spec restore_schema() :: Options.schema()
  def restore_schema, do: @schema

  @spec optimize(iodata(), strategy()) :: {tag(), binary()} | {:error, Error.t()}
  def optimize(data, :automatic) when is_binary(data) do
    cond do
      byte_size(data) < @heap -> {:heap_binary, on_heap(data)}
      byte_size(data) < @storage -> share(data)
      true -> store(data)
    end
  end

  def optimize(data, :sharing) when is_binary(data), do: share(data)
  def optimize(data, :storage), do: with({:ok, data} <- flat(data), do: store(data))

  def optimize(data, :transmission) do
    with {:ok, data} <- flat(data),
         {:ok, frame} <- Compression.compress(data),
         do: {:transmission_ready, frame}
  end

  def optimize(data, strategy) when strategy in [:automatic, :sharing] do
    raise ArgumentError,
          "expected a binary as data in #{@optimize} for #{inspect(strategy)} " <>
            "(:storage and :transmission take iolists too), got: #{Options.given(data)}"
  end

  def optimize(_data, strategy) do
    raise ArgumentError,
          "expected :automatic, :sharing, :storage or :transmission as strategy in #{@optimize}, " <>
            "got: #{Options.given(strategy)}"
  end

  @spec restore({tag(), binary()}, keyword()) :: {:ok, binary()} | {:error, Error.t()}
  def restore(tagged, opts) do
    %{max_size: max} = Options.validate!(opts, @schema, @restore)

    case tagged do
      {plain, data} when plain in [:heap_binary, :refc_binary] and is_binary(data) ->
        within(data, max || :infinity)

      {packed, frame}
      when packed in [:compressed_binary, :transmission_ready] and is_binary(frame) ->
        Compression.decompress(frame, max_size: max || @frame)

      other ->
        raise ArgumentError,
              "expected {tag, binary} in #{@restore}, where the tag is :heap_binary, :refc_binary, " <>
                ":compressed_binary or :transmission_ready, got: #{Options.given(other)}"
    end
  end

  defp flat(data), do: Iodata.binary(data, @optimize)

  # So short a part of something larger is cheaper to copy than to keep, whatever it keeps.
  defp on_heap(data) do
    if :binary.referenced_byte_size(data) > @on_heap, do: :binary.copy(data), else: data
  end

  defp share(data) do
    size = byte_size(data)
    whole = referenced(data)

    if whole >= 2 * size and whole - size >= @kept,
      do: {:refc_binary, :binary.copy(data)},
      else: {:refc_binary, data}
  end

  # OTP 27 answers in bits for what lies on the heap.
  defp referenced(data) do
    case :binary.referenced_byte_size(data) do
      bits when byte_size(data) <= @on_heap and bits == bit_size(data) -> byte_size(data)
      bytes -> bytes
    end
  end

  defp store(data) do
    with {:ok, frame} <- Compression.compress(data) do
      if byte_size(frame) < @worth * byte_size(data),
        do: {:compressed_binary, frame},
        else: share(data)
    end
  end

  defp within(data, max) when byte_size(data) <= max, do: {:ok, data}

  # The sentence of compressed data that is too large.
  defp within(data, max) do
    text = "the result exceeds the limit of #{max} bytes"
    {:error, Error.new(:too_large, text, %{size: byte_size(data), max_size: max})}
  end
end
