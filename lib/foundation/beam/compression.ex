defmodule Foundation.BEAM.Compression do
  alias Foundation.BEAM.Compression.Encoder
  alias Foundation.BEAM.Term.Iodata
  alias Foundation.{Error, Native, Options}

  @max_size 268_435_456
  @max_term 1_073_741_824

  @format [
    type: {:in, [:frame, :block]},
    default: :frame,
    doc:
      "`:frame` is the LZ4 frame format, which the `lz4` command reads and writes. `:block` is " <>
        "one LZ4 block behind its size, a little-endian 32-bit number."
  ]
  @checksum [
    type: {:in, [:auto, true, false]},
    default: :auto,
    doc:
      "Whether a frame has checksums; without, a changed byte can go unnoticed. `:auto` leaves " <>
        "them out where nothing compresses: there they cost more than the copy. Blocks have none: " <>
        "with `:block`, `true` raises."
  ]
  @limit [
    type: {:integer, 0, 0xFFFF_FFFF_FFFF_FFFF},
    default: @max_size,
    doc: "The most bytes that the result may have. Nothing larger is ever allocated."
  ]
  @safe [
    type: :boolean,
    default: false,
    doc:
      "Refuses terms that would create atoms, as the option of `:erlang.binary_to_term/2`: for " <>
        "data from outside, because atoms are never freed."
  ]

  @term_limit [
    type: :pos_integer,
    default: @max_term,
    doc:
      "The most bytes of heap and binaries that the term may have, parts met twice counted twice."
  ]

  @compress Options.schema!(format: @format, checksum: @checksum)
  @compress_term Options.schema!(format: @format, checksum: @checksum, max_size: @term_limit)
  @decompress Options.schema!(format: @format, max_size: @limit)
  @decompress_term Options.schema!(format: @format, max_size: @limit, safe: @safe)
  @unpack Options.schema!(max_size: @limit, safe: @safe)

  @moduledoc """
  LZ4 for binaries and terms.

  Beside `:zlib` at its default, on JSON and terms of 64 KiB and more, it takes about a tenth of the
  time to compress and an eighth to decompress, and the result is about 1.6 times as large
  (`mix run bench/compression.exs` prints your machine's figures). Where size matters most, take
  `:zlib`.

      iex> text = String.duplicate("to be or not to be, ", 100)
      iex> {:ok, packed} = Foundation.BEAM.Compression.compress(text)
      iex> byte_size(packed) < 100
      true
      iex> Foundation.BEAM.Compression.decompress(packed)
      {:ok, text}

  ## What is guaranteed

    * No input makes a result larger than `max_size` bytes be allocated, whatever sizes it claims.
      Terms take more than their external format: up to 16 times.
    * Frames store what does not get smaller, at 19 bytes and 8 for every 256 KiB. Blocks cannot
      store: there it costs up to 0.4 % and 20 bytes.
    * Small data (16 KiB to compress, 96 KiB to decompress to at most 256 KiB) is worked on at once;
      larger data, and terms above 8 KiB, on a dirty CPU scheduler, which other processes do not wait
      for. If the caller dies, work on frames stops within a millisecond; one `:block`, and the
      writing of a term's external format, are finished first.
    * Terms are measured before they are encoded; above `max_size` nothing is. Long atoms take up
      to 128 times as much in the external format.
    * Iolists are measured before they are flattened.
    * Nothing but the result stays allocated after a call. The external format of a term that is
      read is a binary of the VM's, freed with the caller's next garbage.

  ## Errors

  Functions return `{:error, %Foundation.Error{}}` with one of these as its `error_type`:

    * `:not_lz4` - the data does not start with an LZ4 frame
    * `:truncated` - the data ends too early
    * `:corrupt` - the data contradicts itself or a checksum, or something follows its end
    * `:too_large` - the result or the term would exceed `max_size`, or the data the 2,113,929,216 bytes that
      one LZ4 block holds, or an iolist 1,073,741,824 bytes of list cells (16 each) and binaries, parts
      met twice counted twice; the context has `:max_size` and, where known, `:size`
    * `:unsupported` - LZ4, but in the legacy format, of another version, or with a dictionary
    * `:not_a_term` - the content is no term, or `safe: true` forbids it
    * `:out_of_memory` - the VM has no memory for the result

  Functions that end in `!` raise it. Arguments and options of a wrong type raise `ArgumentError`.
  """

  @typep level :: :none | :low | :default

  @doc """
  Compresses a binary or an iolist.

  ## Options

  #{Options.docs(@compress)}

  ## Example

      iex> alias Foundation.BEAM.Compression
      iex> {:ok, <<0x184D2204::little-32, _::binary>>} = Compression.compress(["io", ?l, "ist"])
      iex> {:ok, <<6::little-32, _::binary>>} = Compression.compress("iolist", format: :block)
  """
  @spec compress(iodata(), keyword()) :: {:ok, binary()} | {:error, Error.t()}
  def compress(data, opts \\ []) do
    opts = Options.validate!(opts, @compress, "Compression.compress/2")
    checksum = checksum(opts, "Compression.compress/2")

    with {:ok, data} <- Iodata.binary(data, "Compression.compress/2") do
      case Native.compression_compress(data, opts.format, checksum) do
        :dirty -> Error.wrap(Native.compression_compress_dirty(data, opts.format, checksum))
        {:store, parts} -> {:ok, IO.iodata_to_binary(parts)}
        result -> Error.wrap(result)
      end
    end
  end

  @doc """
  `compress/2` that raises.

      iex> packed = Foundation.BEAM.Compression.compress!("data")
      iex> Foundation.BEAM.Compression.decompress!(packed)
      "data"
  """
  @spec compress!(iodata(), keyword()) :: binary()
  def compress!(data, opts \\ []), do: data |> compress(opts) |> Error.unwrap!()

  @doc """
  Decompresses what `compress/2` or the `lz4` command has made.

  Frames one after the other give their contents one after the other; skippable frames are passed
  over. All checksums that a frame carries are checked.

  ## Options

  #{Options.docs(@decompress)}

  ## Example

      iex> packed = Foundation.BEAM.Compression.compress!(String.duplicate("a", 1_000_000))
      iex> {:error, error} = Foundation.BEAM.Compression.decompress(packed, max_size: 1000)
      iex> {error.error_type, error.context}
      {:too_large, %{size: 1_000_000, max_size: 1000}}
  """
  @spec decompress(iodata(), keyword()) :: {:ok, binary()} | {:error, Error.t()}
  def decompress(data, opts \\ []) do
    opts = Options.validate!(opts, @decompress, "Compression.decompress/2")

    with {:ok, data} <- Iodata.binary(data, "Compression.decompress/2"),
         do: decode(data, opts.format, opts.max_size)
  end

  @doc """
  `decompress/2` that raises.

      iex> Foundation.BEAM.Compression.decompress!("no LZ4")
      ** (Foundation.Error) the data does not start with an LZ4 frame
  """
  @spec decompress!(iodata(), keyword()) :: binary()
  def decompress!(data, opts \\ []), do: data |> decompress(opts) |> Error.unwrap!()

  @doc """
  Compresses a term: its external format, written and compressed in one native step.

  The result is LZ4 whose content any Erlang node can read with `:erlang.binary_to_term/1`.

  ## Options

  #{Options.docs(@compress_term)}

  ## Example

      iex> {:ok, packed} = Foundation.BEAM.Compression.compress_term(Enum.to_list(1..1000))
      iex> Foundation.BEAM.Compression.decompress_term(packed)
      {:ok, Enum.to_list(1..1000)}
  """
  @spec compress_term(term(), keyword()) :: {:ok, binary()} | {:error, Error.t()}
  def compress_term(term, opts \\ []) do
    opts = Options.validate!(opts, @compress_term, "Compression.compress_term/2")
    checksum = checksum(opts, "Compression.compress_term/2")
    Encoder.encode(term, opts.format, checksum, :unknown, opts.max_size)
  end

  @doc """
  `compress_term/2` that raises.

      iex> packed = Foundation.BEAM.Compression.compress_term!({:a, "term"})
      iex> Foundation.BEAM.Compression.decompress_term!(packed)
      {:a, "term"}
  """
  @spec compress_term!(term(), keyword()) :: binary()
  def compress_term!(term, opts \\ []), do: term |> compress_term(opts) |> Error.unwrap!()

  @doc """
  Reads a term that `compress_term/2` has made.

  `max_size` bounds the external format, also one that `:erlang.term_to_binary/2` has compressed.

  ## Options

  #{Options.docs(@decompress_term)}

  ## Example

      iex> packed = Foundation.BEAM.Compression.compress!("no term")
      iex> {:error, error} = Foundation.BEAM.Compression.decompress_term(packed)
      iex> error.error_type
      :not_a_term
  """
  @spec decompress_term(iodata(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def decompress_term(data, opts \\ []) do
    opts = Options.validate!(opts, @decompress_term, "Compression.decompress_term/2")

    with {:ok, data} <- Iodata.binary(data, "Compression.decompress_term/2"),
         {:ok, content} <- decode(data, opts.format, opts.max_size),
         do: external(content, opts.max_size, opts.safe)
  end

  @doc """
  `decompress_term/2` that raises.

      iex> Foundation.BEAM.Compression.decompress_term!(<<0x184D2204::little-32>>)
      ** (Foundation.Error) the data ends in the middle of the frame's header
  """
  @spec decompress_term!(iodata(), keyword()) :: term()
  def decompress_term!(data, opts \\ []), do: data |> decompress_term(opts) |> Error.unwrap!()

  # A term as a binary that says itself what it is: its external format for `:none` and where LZ4
  # saves under a tenth, else an LZ4 frame (without checksums: messages do not change on their way).
  # `size` is heap and binaries in bytes, only ever from a complete walk; without it, one is made.
  @doc false
  @spec pack_term(term(), level(), Encoder.size()) :: binary() | {:error, Error.t()}
  def pack_term(term, level, size \\ :unknown)

  def pack_term(term, :none, size),
    do: with({:ok, _} <- bounded(term, size), do: :erlang.term_to_binary(term))

  def pack_term(term, level, size) when level in [:low, :default],
    do: with({:ok, it} <- Encoder.encode(term, :adaptive, :never, size, @max_term), do: it)

  # Whether a term is one that is encoded at all, by `pack_term/3` or by the caller.
  @doc false
  @spec bounded(term(), Encoder.size()) :: {:ok, non_neg_integer()} | {:error, Error.t()}
  def bounded(term, size), do: Encoder.bounded(term, size, @max_term)

  # Reads what `pack_term/3` has made; options `max_size` and `safe` as in `decompress_term/2`.
  @doc false
  @spec unpack_term(binary(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def unpack_term(data, opts \\ []) when is_binary(data) do
    %{max_size: max, safe: safe} = Options.validate!(opts, @unpack, "Compression.unpack_term/2")

    case data do
      <<131, _::binary>> -> external(data, max, safe)
      _ -> with {:ok, content} <- decode(data, :frame, max), do: external(content, max, safe)
    end
  end

  # The VM's own function builds the term: it gives way to others, reads what zlib has compressed
  # (`enif_binary_to_term` does not), and takes a sixth less time than that on a dirty scheduler.
  defp external(data, max, safe) do
    with :ok <- Error.wrap(Native.compression_check_external(data, max)) do
      case :erlang.binary_to_term(data, if(safe, do: [:used, :safe], else: [:used])) do
        {term, used} when used == byte_size(data) -> {:ok, term}
        _ -> {:error, Error.new(:corrupt, "the data is corrupt: there are bytes after the term")}
      end
    end
  rescue
    ArgumentError ->
      {:error, Error.new(:not_a_term, "the content is not a term, or not one that is allowed")}
  end

  defp decode(data, format, max) do
    with :dirty <- Native.compression_decompress(data, format, max) do
      Native.compression_decompress_dirty(data, format, max)
    end
    |> Error.wrap()
  end

  defp checksum(%{checksum: true, format: :block}, where) do
    raise ArgumentError,
          "invalid option :checksum in #{where}: expected :auto or false with format: :block, " <>
            "which has no checksums, got: true"
  end

  defp checksum(%{checksum: sums}, _where),
    do: Map.fetch!(%{auto: :auto, true: :always, false: :never}, sums)
end
