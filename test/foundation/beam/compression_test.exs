defmodule Foundation.BEAM.CompressionTest do
  use ExUnit.Case
  use Foundation.NativeBytes
  doctest Foundation.BEAM.Compression

  alias Foundation.BEAM.Compression
  alias Foundation.Error

  @mib 1_048_576
  @frame <<0x184D2204::little-32>>

  defp text(size),
    do: "{\"id\": 1234, \"at\": \"12:34\"}\n" |> String.duplicate(div(size, 28) + 1) |> part(size)

  defp part(binary, size), do: binary_part(binary, 0, size)
  defp reason({:error, %Error{error_type: type}}), do: type

  describe "compress/2 and decompress/2" do
    test "give the data back, of any size on either side of a cut-off" do
      for format <- [:frame, :block],
          size <- [0, 1, 64, 65, 16_384, 16_385, 65_536, 131_072, 131_073, 262_144, 3_000_000],
          data <- [text(size), :crypto.strong_rand_bytes(size)] do
        assert {:ok, packed} = Compression.compress(data, format: format)
        assert Compression.decompress(packed, format: format) == {:ok, data}
      end
    end

    test "take iolists" do
      data = ["one", [?,, [" two" | ", three"]], text(100_000)]
      packed = Compression.compress!(data)

      assert Compression.decompress!([
               part(packed, 7),
               binary_part(packed, 7, byte_size(packed) - 7)
             ]) ==
               IO.iodata_to_binary(data)
    end

    test "store what does not compress, at 19 bytes and 8 a block" do
      for size <- [100, 20_000, 300_000, 9 * @mib], checksum <- [:auto, true, false] do
        noise = :crypto.strong_rand_bytes(size)
        packed = Compression.compress!(noise, checksum: checksum)
        assert byte_size(packed) <= size + 19 + 8 * (div(size, 262_144) + 1)
        assert Compression.decompress!(packed) == noise
      end
    end

    test "a block grows by up to 0.4 % where it does not compress" do
      noise = :crypto.strong_rand_bytes(@mib)
      assert byte_size(Compression.compress!(noise, format: :block)) <= @mib * 1.004 + 20
    end

    test "a frame has the content size and checksums, unless it is told otherwise" do
      block_checksums = fn packed -> :binary.at(packed, 4) |> Bitwise.band(0b0001_0000) end
      packed = Compression.compress!(text(10_000))
      assert <<@frame, 0b0111_1000, 0x40, 10_000::little-64, _::binary>> = packed
      assert block_checksums.(Compression.compress!(text(10_000), checksum: false)) == 0
      assert block_checksums.(Compression.compress!(:crypto.strong_rand_bytes(100))) == 0
      noise = :crypto.strong_rand_bytes(300_000)
      assert block_checksums.(Compression.compress!(noise)) == 0
      assert block_checksums.(Compression.compress!(noise, checksum: true)) != 0
    end

    test "results up to 64 bytes lie on the heap, larger ones are not copied" do
      # On OTP 27 what is referred to is all that came with it, not this binary alone.
      assert Compression.decompress!(Compression.compress!("small"))
             |> :binary.referenced_byte_size() <= 64

      large = text(200_000)
      unpacked = large |> Compression.compress!() |> Compression.decompress!()
      assert :binary.referenced_byte_size(unpacked) == 200_000
    end
  end

  describe "hostile input" do
    setup do
      %{packed: Compression.compress!(text(50_000)), size: 50_000}
    end

    test "cut short", %{packed: packed} do
      # Where little is left, the content size is more than could come of it.
      for size <- 1..(byte_size(packed) - 1),
          do: assert(reason(Compression.decompress(part(packed, size))) in [:truncated, :corrupt])

      assert reason(Compression.decompress("")) == :not_lz4
    end

    test "one bit changed", %{packed: packed} do
      size = byte_size(packed)

      for bit <- 0..(size * 8 - 1) do
        <<before::bitstring-size(bit), old::1, rest::bitstring>> = packed
        damaged = <<before::bitstring, 1 - old::1, rest::bitstring>>
        assert {:error, %Error{}} = Compression.decompress(damaged)
      end
    end

    test "sizes that lie" do
      for claim <- [9_000_000_000, Bitwise.bsl(1, 63), Bitwise.bsl(1, 64) - 1] do
        fields = <<0x68, 0x70, claim::little-64>>
        # The header's checksum is one of 256: whichever it is, nothing is allocated.
        for check <- 0..255 do
          input = @frame <> fields <> <<check, 0::32>>
          assert reason(Compression.decompress(input)) in [:corrupt, :too_large]
          assert {:error, _} = Compression.decompress(input, max_size: 0xFFFF_FFFF_FFFF_FFFF)
        end
      end
    end

    test "a block that claims 4 GB" do
      claim = <<0xFFFFFFFF::little-32, 0, 0, 0>>

      assert {:error, %Error{error_type: :too_large, context: context}} =
               Compression.decompress(claim, format: :block)

      assert context == %{size: 0xFFFFFFFF, max_size: 268_435_456}
      all = [format: :block, max_size: 0xFFFF_FFFF_FFFF]
      assert reason(Compression.decompress(claim, all)) == :corrupt
      assert reason(Compression.decompress(<<1, 2, 3>>, format: :block)) == :truncated
    end

    test "64 MiB of zeros in a small frame" do
      bomb = Compression.compress!(:binary.copy(<<0>>, 64 * @mib))
      assert byte_size(bomb) < 270_000

      assert {:error, %Error{error_type: :too_large, context: context}} =
               Compression.decompress(bomb, max_size: 10 * @mib)

      assert context == %{size: 64 * @mib, max_size: 10 * @mib}
      assert byte_size(Compression.decompress!(bomb)) == 64 * @mib
    end

    test "frames one after the other count as one" do
      frame = Compression.compress!(:binary.copy(<<0>>, @mib))
      bomb = :binary.copy(frame, 100)
      assert reason(Compression.decompress(bomb, max_size: 50 * @mib)) == :too_large
      assert byte_size(Compression.decompress!(bomb, max_size: 100 * @mib)) == 100 * @mib
      assert reason(Compression.decompress(frame <> "x")) == :corrupt
    end

    test "what is not LZ4, and what is another LZ4" do
      assert reason(Compression.decompress("plain text")) == :not_lz4
      assert reason(Compression.decompress(:zlib.gzip("text"))) == :not_lz4
      assert reason(Compression.decompress(<<0x184C2102::little-32, 0::32>>)) == :unsupported
      assert reason(Compression.decompress(@frame <> <<0x61, 0x40, 0::64>>)) == :unsupported
    end

    test "never takes more memory than the limit" do
      bomb = Compression.compress!(:binary.copy(<<0>>, 64 * @mib))
      before = :erlang.memory(:binary)
      # Every one is refused before its result is allocated: nothing is left to collect.
      for _ <- 1..100, do: {:error, _} = Compression.decompress(bomb, max_size: 64 * @mib - 1)
      assert :erlang.memory(:binary) - before < 8 * @mib
    end
  end

  describe "terms" do
    @terms [
      nil,
      0,
      -1.5,
      "text",
      ~c"charlist",
      {:a, %{b: [1, 2 | 3]}},
      [],
      <<1::3>>,
      Bitwise.bsl(1, 1000)
    ]

    test "come back" do
      for term <- [make_ref(), self(), (&String.length/1) | @terms], format <- [:frame, :block] do
        packed = Compression.compress_term!(term, format: format)
        assert Compression.decompress_term(packed, format: format) == {:ok, term}
      end

      large = Enum.map(1..50_000, &{&1, Integer.to_string(&1)})
      assert large |> Compression.compress_term!() |> Compression.decompress_term!() == large
    end

    test "the content is the external format" do
      packed = Compression.compress_term!(%{a: 1})
      assert packed |> Compression.decompress!() |> :erlang.binary_to_term() == %{a: 1}
    end

    test "what is not one term is refused" do
      refused = fn content, opts ->
        content |> Compression.compress!() |> Compression.decompress_term(opts) |> reason()
      end

      assert refused.("", []) == :not_a_term
      assert refused.(<<131>>, []) == :not_a_term
      assert refused.(<<131, 255>>, []) == :not_a_term
      assert refused.(:erlang.term_to_binary(:a) <> "x", []) == :corrupt

      assert refused.(:erlang.term_to_binary(String.duplicate("a", 100)), max_size: 99) ==
               :too_large

      assert reason(Compression.decompress_term(:erlang.term_to_binary(:plain))) == :not_lz4
    end

    test "safe: true makes no atoms" do
      name = "foundation_unknown_#{System.unique_integer([:positive])}"
      packed = Compression.compress!(<<131, 119, byte_size(name), name::binary>>)
      assert reason(Compression.decompress_term(packed, safe: true)) == :not_a_term
      assert_raise ArgumentError, fn -> String.to_existing_atom(name) end
      assert {:ok, atom} = Compression.decompress_term(packed)
      assert Atom.to_string(atom) == name
      assert Compression.decompress_term(packed, safe: true) == {:ok, atom}
    end

    test "zlib inside is bounded by the size that it announces" do
      zlib = :erlang.term_to_binary(:binary.copy(<<0>>, @mib), [:compressed])
      packed = Compression.compress!(zlib)
      assert {:ok, <<0, _::binary>>} = Compression.decompress_term(packed)
      assert reason(Compression.decompress_term(packed, max_size: @mib)) == :too_large
      liar = <<131, 80, 0xFFFFFFFF::32, 120, 156, 3, 0>>
      assert reason(Compression.unpack_term(liar)) == :too_large
      assert reason(Compression.unpack_term(liar, max_size: 0xFFFF_FFFF_FFFF)) == :corrupt
    end
  end

  describe "pack_term/3 and unpack_term/2" do
    test "a pack says itself what it is" do
      term = List.duplicate(%{name: "name", value: 1}, 1000)
      assert <<131, tag, _::binary>> = plain = Compression.pack_term(term, :none)
      assert tag != 80
      assert <<@frame, _::binary>> = low = Compression.pack_term(term, :low)
      assert Compression.pack_term(term, :default) == low
      for packed <- [plain, low], do: assert(Compression.unpack_term(packed) == {:ok, term})
    end

    test "LZ4 is used where it saves a tenth" do
      noise = :crypto.strong_rand_bytes(10_000)
      assert <<131, 109, _::binary>> = Compression.pack_term(noise, :default)
      half = noise <> text(10_000)
      assert <<@frame, _::binary>> = Compression.pack_term(half, :default)
      # 8 % of it compresses.
      little = noise <> text(800)
      assert <<131, 109, _::binary>> = Compression.pack_term(little, :default)

      for term <- [noise, half, little] do
        assert Compression.unpack_term(Compression.pack_term(term, :low)) == {:ok, term}
      end
    end

    test "what is too large is refused" do
      for level <- [:none, :low, :default] do
        assert reason(within(fn -> Compression.pack_term(exploding(), level) end)) == :too_large
        assert reason(Compression.pack_term(:a, level, 1_073_741_825)) == :too_large
      end
    end

    test "the hint only says where the work is done" do
      for term <- [:small, Enum.to_list(1..20_000)], hint <- [0, 1_000_000, :unknown] do
        packed = Compression.pack_term(term, :low, hint)
        assert packed == Compression.pack_term(term, :low)
        assert Compression.unpack_term(packed) == {:ok, term}
      end
    end

    test "bytes after the term, too large a term and no term are errors" do
      for level <- [:none, :low] do
        packed = Compression.pack_term(Enum.to_list(1..1000), level)
        assert reason(Compression.unpack_term(packed <> "x")) == :corrupt
        assert reason(Compression.unpack_term(packed, max_size: 500)) == :too_large
      end

      assert reason(Compression.unpack_term("")) == :not_lz4
      assert reason(Compression.unpack_term(<<131>>)) == :not_a_term
      assert reason(Compression.unpack_term(<<131, 80, 1, 2, 3>>)) == :not_a_term
    end
  end

  describe "terms that expand" do
    test "are refused before they are encoded" do
      for opts <- [[max_size: 100_000], [max_size: 10, format: :block], []] do
        call = fn -> Compression.compress_term(exploding(), opts) end
        assert reason(within(call)) == :too_large
      end

      assert {:ok, _} = Compression.compress_term([1, 2], max_size: 32)
      assert reason(Compression.compress_term([1, 2], max_size: 31)) == :too_large
    end

    test "leave the dirty schedulers free when their callers are killed" do
      for _ <- 1..:erlang.system_info(:dirty_cpu_schedulers) do
        test = self()

        {pid, monitor} =
          spawn_monitor(fn ->
            term = exploding()
            send(test, {:ready, self()})
            Compression.compress_term(term)
          end)

        assert_receive {:ready, ^pid}
        Process.exit(pid, :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}
      end

      assert {:ok, _} = within(fn -> Compression.compress(text(300_000)) end)
    end

    test "for which there is no memory are an error" do
      # 512 TiB: more than a process can address.
      binary = :binary.copy(<<0>>, 64 * @mib)
      term = Enum.reduce(1..23, binary, fn _, part -> {part, part} end)
      encoded = Foundation.Native.compression_encode_dirty(term, :frame, :never)
      assert {:error, {:out_of_memory, _, _}} = encoded
    end
  end

  # Made where it is used: a message or a fun would copy all of it.
  defp exploding, do: Enum.reduce(1..60, [], fn _, part -> [part | part] end)

  defp within(fun) do
    task = Task.async(fun)
    assert {:ok, result} = Task.yield(task, 20_000) || Task.shutdown(task, :brutal_kill)
    result
  end

  describe "iolists that expand" do
    @functions [
      &Compression.compress/2,
      &Compression.decompress/2,
      &Compression.decompress_term/2
    ]

    test "are refused before they are flattened, whatever they hold" do
      for function <- @functions, held <- [[], "x", ?x, :binary.copy("x", @mib)] do
        call = fn ->
          data = Enum.reduce(1..60, [held], fn _, part -> [part | part] end)
          function.(data, [])
        end

        assert {:error, %Error{error_type: :too_large, context: context}} = within(call)
        assert context == %{max_size: 1_073_741_824}
      end
    end

    test "leave no work behind when their callers are killed" do
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          data = Enum.reduce(1..60, [], fn _, part -> [part | part] end)
          send(test, {:ready, self()})
          Compression.compress(data)
        end)

      assert_receive {:ready, ^pid}
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, _, _, _}
    end
  end

  describe "mistakes in the call" do
    test "a block has no checksum" do
      for function <- [&Compression.compress/2, &Compression.compress_term/2] do
        assert_raise ArgumentError, ~r/invalid option :checksum/, fn ->
          function.("a", format: :block, checksum: true)
        end
      end
    end

    test "data of a wrong type is named" do
      for data <- [:atom, 1, %{}, <<1::3>>, [1, :two], ["a" | :b], [256], nil, {}],
          {name, function} <- [
            {"compress/2", &Compression.compress/2},
            {"compress/2", &Compression.compress!/2},
            {"decompress/2", &Compression.decompress/2},
            {"decompress_term/2", &Compression.decompress_term/2}
          ] do
        error = assert_raise ArgumentError, fn -> function.(data, []) end

        assert Exception.message(error) =~
                 "expected a binary or an iolist as data in Compression.#{name}, got: "
      end
    end

    test "an option of a wrong type or out of bounds is named" do
      wrong = [
        {&Compression.compress/2, format: :gzip},
        {&Compression.compress/2, checksum: nil},
        {&Compression.compress_term/2, format: "frame"},
        {&Compression.decompress/2, max_size: -1},
        {&Compression.decompress/2, max_size: 1.0},
        {&Compression.decompress/2, max_size: Bitwise.bsl(1, 64)},
        {&Compression.decompress_term/2, safe: 1},
        {&Compression.decompress_term/2, max_size: :infinity}
      ]

      for {function, [{name, _}] = opts} <- wrong do
        error = assert_raise ArgumentError, fn -> function.("", opts) end
        assert Exception.message(error) =~ "invalid option #{inspect(name)} in Compression."
      end

      assert_raise ArgumentError, ~r/unknown option :safe/, fn ->
        Compression.compress("", safe: true)
      end

      assert_raise ArgumentError, ~r/unknown option :level/, fn ->
        Compression.decompress("", level: 1)
      end

      assert_raise ArgumentError, ~r/keyword list/, fn -> Compression.compress("", :frame) end
    end

    test "functions with ! raise the error that the others return" do
      {:error, error} = Compression.decompress("no LZ4")
      assert_raise Error, error.message, fn -> Compression.decompress!("no LZ4") end
      assert_raise Error, error.message, fn -> Compression.decompress_term!("no LZ4") end
    end
  end
end
