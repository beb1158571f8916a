defmodule Foundation.BEAM.Messages.CostModel do
  @moduledoc false

  # The adaptive policy: the strategy with the least total cost, the sender's and all receivers'
  # CPU time together, for one term that goes to `receivers` processes.
  #
  #     direct, local     receivers * (message + heap * copy)
  #     reference, local  new + heap * freeze + receivers * (handle + read)
  #                       read: the part alone, or heap * thaw
  #     binary            encode + compress + receivers * (message + wire + decompress + decode)
  #     direct, remote    receivers * (message + encode + wire + decode)
  #
  # Binaries over 64 bytes are shared, not copied, by direct messages and references on one node;
  # an encoded term holds them.

  alias Foundation.BEAM.Messages.Strategy

  # Nanoseconds, or nanoseconds a byte (`_byte`: of heap; of lz4 and zlib, of encoded data), printed
  # in this form by
  #
  #     MIX_ENV=prod mix run bench/calibrate.exs
  #
  # Here on two cores, Debian 12, OTP 25.2.3: the middle one of three runs.
  @ns %{
    message: 97,
    copy_byte: 0.25,
    new: 764,
    freeze_byte: 0.35,
    handle: 137,
    fetch: 130,
    thaw_byte: 0.33,
    fetch_part: 173,
    encode: 166,
    encode_byte: 0.39,
    decode: 717,
    decode_byte: 1.64,
    payload_byte: 0.22,
    lz4: 758,
    lz4_byte: 0.82,
    unlz4_byte: 0.08,
    zlib_byte: 58.5,
    unzlib_byte: 0.91,
    dirty_hop: 970,
    encoded_ratio: 0.35,
    # Assumed: how far encoded data shrinks, a link of 1 Gbit/s, what a message costs its two ends.
    lz4_ratio: 0.5,
    zlib_ratio: 0.3,
    remote_message: 3000,
    wire_byte: 8.0
  }

  # From here on the fixed costs are lost in the rest: what has been seen of the term decides.
  @limit 1_048_576

  # LZ4 is done on a dirty scheduler above these (`ENCODE_TERM_BYTES` and `DECOMPRESS_BYTES` of
  # `foundation_core::cutoffs`).
  @dirty_compress 8_192
  @dirty_decompress 98_304

  @type size :: %{heap_bytes: non_neg_integer(), binary_bytes: non_neg_integer()}
  @type audience :: %{
          scope: :local | :remote,
          receivers: pos_integer(),
          reads: :whole | :part,
          compression: Strategy.compression() | nil
        }
  @type costs :: %{Strategy.name() => non_neg_integer() | :none}

  @doc "How far a term is measured."
  @spec limit() :: pos_integer()
  def limit, do: @limit

  @doc "The constants."
  @spec constants() :: %{atom() => number()}
  def constants, do: @ns

  @doc "The cheapest strategy, the compression to use with it, and what each strategy would cost in ns."
  @spec cheapest(size(), audience()) :: {Strategy.name(), Strategy.compression(), costs()}
  def cheapest(size, audience) do
    {level, binary} = binary(size, audience)
    costs = Map.put(plain(size, audience), :binary_sharing, binary)
    # At equal cost the simpler one: `:direct` comes before the others.
    strategy = Enum.min_by([:direct, :ets_reference, :binary_sharing], &Map.get(costs, &1))
    {strategy, level, Map.new(costs, fn {name, ns} -> {name, round_ns(ns)} end)}
  end

  defp round_ns(:none), do: :none
  defp round_ns(ns), do: round(ns)

  defp plain(size, %{scope: :local} = audience) do
    %{heap_bytes: heap} = size
    n = audience.receivers
    read = read(heap, audience.reads)

    %{
      direct: n * (@ns.message + heap * @ns.copy_byte),
      ets_reference: @ns.new + heap * @ns.freeze_byte + n * (@ns.handle + read)
    }
  end

  # A handle means nothing on another node. Any atom is greater than any number: never cheapest.
  defp plain(size, %{scope: :remote, receivers: n}) do
    each = encode(size) + encoded(size) * @ns.wire_byte + decode(size)
    %{direct: n * (@ns.remote_message + each), ets_reference: :none}
  end

  defp read(_heap, :part), do: @ns.fetch_part
  defp read(heap, :whole), do: @ns.fetch + heap * @ns.thaw_byte

  defp binary(size, %{compression: nil} = audience) do
    [:none, :low]
    |> Enum.map(&{&1, binary(size, audience, &1)})
    |> Enum.min_by(&elem(&1, 1))
  end

  defp binary(size, %{compression: level} = audience), do: {level, binary(size, audience, level)}

  defp binary(size, %{receivers: n} = audience, level) do
    {pack, ratio, unpack} = level(size, level)
    encode(size) + pack + n * (carry(size, ratio, audience.scope) + unpack + decode(size))
  end

  defp carry(_size, _ratio, :local), do: @ns.message

  defp carry(size, ratio, :remote) do
    compressed = size.heap_bytes * @ns.encoded_ratio * ratio
    # What a payload would give is not known: it may be compressed already.
    @ns.remote_message + (compressed + size.binary_bytes) * @ns.wire_byte
  end

  defp level(_size, :none), do: {0, 1.0, 0}

  defp level(size, :high) do
    bytes = encoded(size)
    {bytes * @ns.zlib_byte, @ns.zlib_ratio, bytes * @ns.unzlib_byte}
  end

  defp level(size, _lz4) do
    bytes = encoded(size)

    {@ns.lz4 + hop(bytes, @dirty_compress) + bytes * @ns.lz4_byte, @ns.lz4_ratio,
     hop(bytes, @dirty_decompress) + bytes * @ns.unlz4_byte}
  end

  defp hop(bytes, cut) when bytes > cut, do: @ns.dirty_hop
  defp hop(_bytes, _cut), do: 0

  defp encode(size) do
    @ns.encode + size.heap_bytes * @ns.encode_byte + size.binary_bytes * @ns.payload_byte
  end

  defp decode(size) do
    @ns.decode + size.heap_bytes * @ns.decode_byte + size.binary_bytes * @ns.payload_byte
  end

  defp encoded(size), do: size.heap_bytes * @ns.encoded_ratio + size.binary_bytes
end
