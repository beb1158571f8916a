# Measures the constants of the adaptive policy and prints them as
# `lib/foundation/beam/messages/cost_model.ex` holds them.
#
#     MIX_ENV=prod mix run bench/calibrate.exs
#
# Everything runs on one scheduler, so that what is measured is work, not waiting: messages go to a
# process beside this one, and each term that arrives is walked once, as a reader would do, so that
# the reader's collections count; the walk itself is then taken off. What a whole copy costs a byte is
# measured with new receivers, whose heaps have no room for it yet. A cost a byte is the slope
# between two sizes; the best of several rounds counts. Take it on a machine that does nothing else.

Code.require_file("support/bench.exs", __DIR__)

defmodule Bench.Calibrate do
  alias Foundation.BEAM.{Compression, SharedTerm}
  alias Foundation.BEAM.Messages

  @rounds 9
  @small 16
  @large 256
  @batch 20
  # New receivers at a time, and the rows of what they get: 24 KB and 240 KB of heap.
  @receivers 100
  @rows {88, 880}

  def run do
    :erlang.process_flag(:scheduler, 1)
    sink = sink()
    through = &through(sink, &1)
    {small, large} = {Bench.nested(@small), Bench.nested(@large)}
    {small_heap, large_heap} = {heap(small), heap(large)}
    heap = large_heap - small_heap
    {plain, handle} = {SharedTerm.new({:a, 1}), SharedTerm.new(large)}
    {one, other} = {Compression.pack_term(small, :none), Compression.pack_term(large, :none)}
    encoded = byte_size(other) - byte_size(one)
    slope = fn fun, a, b, bytes -> (ns(fn -> fun.(b) end) - ns(fn -> fun.(a) end)) / bytes end
    fixed = fn fun, a, bytes, each -> max(ns(fn -> fun.(a) end) - bytes * each, 1) end

    walk = slope.(&walk/1, small, large, heap)
    {copy, thaw} = whole(walk)
    freeze = slope.(&freeze/1, small, large, heap)
    encode = slope.(&encode/1, small, large, heap)
    decode = slope.(&decode/1, one, other, heap) - walk

    {z_one, z_other} = {lz4(small), lz4(large)}
    hop = dirty_hop()
    # The small one is compressed at once, the large one on a dirty scheduler.
    lz4 = slope.(&lz4/1, small, large, encoded) - (encode * heap + hop) / encoded
    unlz4 = slope.(&decode/1, z_one, z_other, encoded) - (decode + walk) * heap / encoded
    {high_one, high_other} = {zlib(small), zlib(large)}
    zlib = slope.(&zlib/1, small, large, encoded) - encode * heap / encoded
    unzlib = slope.(&decode/1, high_one, high_other, encoded) - (decode + walk) * heap / encoded

    {blob, large_blob} = {payload(10_000), payload(500_000)}
    packed = {Compression.pack_term(blob, :none), Compression.pack_term(large_blob, :none)}
    encode_payload = slope.(&encode/1, blob, large_blob, 490_000)
    decode_payload = slope.(&decode/1, elem(packed, 0), elem(packed, 1), 490_000)

    message = ns(fn -> through.(:a) end) / @batch

    print(
      message: message,
      copy_byte: copy,
      new: fixed.(&freeze/1, small, small_heap, freeze),
      freeze_byte: freeze,
      handle: ns(fn -> through.({:ets_ref, plain, :foundation_message_cache}) end) / @batch,
      fetch: ns(fn -> SharedTerm.fetch(plain) end),
      thaw_byte: thaw,
      fetch_part: ns(fn -> SharedTerm.fetch_in(handle, [:rows, 7, :tags, 1]) end),
      encode: fixed.(&encode/1, small, small_heap, encode),
      encode_byte: encode,
      decode: fixed.(&decode/1, one, small_heap, decode + walk),
      decode_byte: decode,
      payload_byte: (encode_payload + decode_payload) / 2,
      lz4: max(ns(fn -> lz4(small) end) - ns(fn -> encode(small) end) - lz4 * byte_size(one), 1),
      lz4_byte: lz4,
      unlz4_byte: unlz4,
      zlib_byte: zlib,
      unzlib_byte: unzlib,
      dirty_hop: hop,
      encoded_ratio: encoded / heap
    )
  end

  # A byte's cost as a message, and as a read of a shared term, to receivers that are new.
  defp whole(walk) do
    {small, large} = {Bench.nested(elem(@rows, 0)), Bench.nested(elem(@rows, 1))}
    bytes = (heap(large) - heap(small)) * @receivers
    slope = fn a, b -> (ns(fn -> to_new(b) end) - ns(fn -> to_new(a) end)) / bytes - walk end
    refer = &{:ets_ref, SharedTerm.new(&1), :foundation_message_cache}
    online = :erlang.system_flag(:schedulers_online, 1)
    costs = {slope.(small, large), slope.(refer.(small), refer.(large))}
    :erlang.system_flag(:schedulers_online, online)
    costs
  end

  defp to_new(message) do
    owner = self()

    receivers =
      for _ <- 1..@receivers do
        spawn(fn ->
          receive do
            message -> message |> Messages.open!() |> walk()
          end

          send(owner, :read)
        end)
      end

    Enum.each(receivers, &send(&1, message))

    for _ <- receivers do
      receive do
        :read -> :ok
      end
    end
  end

  defp payload(bytes), do: :rand.bytes(bytes)
  defp heap(term), do: Messages.measure(term).heap_bytes

  # A process does not copy what it sends to itself: another one takes the messages.
  defp sink do
    spawn_link(fn ->
      :erlang.process_flag(:scheduler, 1)
      drain()
    end)
  end

  defp drain do
    receive do
      {:done?, from} -> send(from, :done)
      term -> walk(term)
    end

    drain()
  end

  defp through(sink, term) do
    for _ <- 1..@batch, do: send(sink, term)
    send(sink, {:done?, self()})

    receive do
      :done -> :ok
    end
  end

  # Touches all of it and allocates nothing.
  defp walk(term), do: :erlang.phash2(term)

  defp freeze(term), do: term |> SharedTerm.new() |> SharedTerm.release()

  defp encode(term), do: Compression.pack_term(term, :none)
  defp lz4(term), do: Compression.pack_term(term, :low, heap(term))
  defp zlib(term), do: :erlang.term_to_binary(term, compressed: 9)

  defp decode(binary) do
    {:ok, term} = Compression.unpack_term(binary, max_size: 1_000_000_000, safe: false)
    walk(term)
  end

  # A dirty call on next to nothing.
  defp dirty_hop, do: ns(fn -> Foundation.Native.measure_term_dirty(:a, 1) end)

  # The best of the rounds: what is slower is the machine's doing.
  defp ns(fun) do
    Enum.min(
      for _ <- 1..@rounds do
        :erlang.garbage_collect()
        Bench.time(fun)
      end
    )
  end

  defp print(constants) do
    IO.puts("  @ns %{")
    for {name, value} <- constants, do: IO.puts("    #{name}: #{number(name, value)},")

    IO.puts("""
        # Assumed: how far encoded data shrinks, a link of 1 Gbit/s, what a message costs its two ends.
        lz4_ratio: 0.5,
        zlib_ratio: 0.3,
        remote_message: 3000,
        wire_byte: 8.0
      }\
    """)
  end

  defp number(name, value) do
    if String.ends_with?(to_string(name), ["_byte", "_ratio"]),
      do: Float.round(value / 1, 2),
      else: round(value)
  end
end

Bench.Calibrate.run()
