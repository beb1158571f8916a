defmodule Foundation.BEAM.Memory.BinariesTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.{Compression, Memory}
  alias Foundation.Error

  @strategies [:automatic, :sharing, :storage, :transmission]
  @tags [:heap_binary, :refc_binary, :compressed_binary, :transmission_ready]

  defp text(size), do: "abcdefgh" |> :binary.copy(div(size, 8) + 1) |> binary_part(0, size)
  defp noise(size), do: :rand.bytes(size)

  # The first bytes of a binary of that many.
  defp part(size, whole), do: whole |> text() |> :binary.copy() |> binary_part(0, size)
  defp referenced(binary), do: :binary.referenced_byte_size(binary)

  describe "optimize_binary/2 with :automatic" do
    test "takes the documented form on either side of each cut-off" do
      assert {:heap_binary, ""} = Memory.optimize_binary("")

      for {size, tag} <- [
            {1, :heap_binary},
            {63, :heap_binary},
            {64, :refc_binary},
            {65_535, :refc_binary},
            {65_536, :compressed_binary},
            {1_000_000, :compressed_binary}
          ] do
        data = text(size)
        assert {^tag, _} = tagged = Memory.optimize_binary(data)
        assert Memory.optimize_binary(data, :automatic) == tagged
        assert Memory.restore_binary(tagged) == {:ok, data}
      end
    end

    test "what does not compress stays as it is" do
      data = noise(70_000)
      assert {:refc_binary, same} = Memory.optimize_binary(data)
      assert :erts_debug.same(same, data)
    end

    test "a short one lies on the heap, whatever it was a part of" do
      # Appended to, it is off the heap from its first byte.
      appended = Enum.reduce(1..40, <<>>, fn byte, all -> <<all::binary, byte>> end)
      assert referenced(appended) > 64
      assert {:heap_binary, data} = Memory.optimize_binary(appended)
      assert data == appended
      # OTP 27 answers in bits for what lies on the heap.
      assert referenced(data) in [40, 320]
    end
  end

  describe "optimize_binary/2 with :sharing" do
    test "copies a part from twice its size on" do
      for {size, whole, copied?} <- [
            {1000, 1999, false},
            {1000, 2000, true},
            {100_000, 199_999, false},
            {100_000, 200_000, true},
            {65, 100_000_000, true}
          ] do
        data = part(size, whole)
        assert referenced(data) == whole
        assert {:refc_binary, ^data = result} = Memory.optimize_binary(data, :sharing)
        assert referenced(result) == if(copied?, do: size, else: whole)
      end
    end

    test "and where it keeps 256 bytes more" do
      for {size, whole, copied?} <- [{100, 355, false}, {100, 356, true}] do
        data = part(size, whole)
        assert {:refc_binary, ^data = result} = Memory.optimize_binary(data, :sharing)
        assert referenced(result) == if(copied?, do: size, else: whole)
      end
    end

    test "a whole binary is the same afterwards, of any size" do
      for size <- [0, 1, 63, 64, 65, 1000, 65_536, 1_000_000] do
        data = :binary.copy(text(size))
        assert {:refc_binary, result} = Memory.optimize_binary(data, :sharing)
        assert :erts_debug.same(result, data)
      end
    end

    test "a part that travelled is copied" do
      data = part(70, 10_000)
      test = self()
      spawn_link(fn -> send(test, {:result, Memory.optimize_binary(data, :sharing)}) end)
      assert_receive {:result, {:refc_binary, ^data = result}}
      assert referenced(result) == 70
    end

    test "the whole can then be freed" do
      # In a process of its own, with nothing else on its heap.
      held = fn work ->
        Task.async(fn ->
          result = 100 |> part(1_000_000) |> work.()
          :erlang.garbage_collect()
          {:binary, binaries} = Process.info(self(), :binary)
          {byte_size(result), binaries |> Enum.map(&elem(&1, 1)) |> Enum.sum()}
        end)
        |> Task.await()
      end

      assert {100, bytes} = held.(& &1)
      assert bytes >= 1_000_000

      assert {100, bytes} =
               held.(fn data -> data |> Memory.optimize_binary(:sharing) |> elem(1) end)

      assert bytes < 1_000
    end
  end

  describe "optimize_binary/2 with :storage and :transmission" do
    test "a frame is kept under 0.9 of the input, never at it or above" do
      # The bytes that compress are few enough that the sizes come close to 0.9 from both sides.
      for plain <- 0..20_000//500 do
        data = noise(100_000) <> :binary.copy("x", plain)
        frame = Compression.compress!(data)

        if byte_size(frame) < 0.9 * byte_size(data),
          do: assert({:compressed_binary, ^frame} = Memory.optimize_binary(data, :storage)),
          else: assert({:refc_binary, ^data} = Memory.optimize_binary(data, :storage))
      end

      assert {:refc_binary, ""} = Memory.optimize_binary("", :storage)
      assert {:refc_binary, "x"} = Memory.optimize_binary("x", :storage)
    end

    test "what is not worth a frame is treated as :sharing" do
      data = binary_part(noise(100_000), 0, 1000)
      assert {:refc_binary, ^data = result} = Memory.optimize_binary(data, :storage)
      assert referenced(result) == 1000
    end

    test ":transmission always gives a frame" do
      for data <- ["", "x", noise(1000), text(100_000)] do
        assert {:transmission_ready, <<0x184D2204::little-32, _::binary>> = frame} =
                 Memory.optimize_binary(data, :transmission)

        assert Compression.decompress(frame) == {:ok, data}
      end
    end

    test "iolists" do
      data = ["one", [?,, [" two" | ", three"]], text(100_000)]
      flat = IO.iodata_to_binary(data)

      for strategy <- [:storage, :transmission],
          do:
            assert(
              data
              |> Memory.optimize_binary(strategy)
              |> Memory.restore_binary() == {:ok, flat}
            )

      assert Memory.optimize_binary(["a" | "b"], :storage) == {:refc_binary, "ab"}
      assert {:transmission_ready, _} = Memory.optimize_binary([], :transmission)
    end

    test "iolists that would fill the memory are refused" do
      for strategy <- [:storage, :transmission], held <- [[], ?x, :binary.copy("x", 1_048_576)] do
        # Made where it is used: a fun or a message would copy all of it.
        task =
          Task.async(fn ->
            data = Enum.reduce(1..60, [held], fn _, part -> [part | part] end)
            Memory.optimize_binary(data, strategy)
          end)

        assert {:ok, {:error, %Error{error_type: :too_large, context: %{max_size: _}}}} =
                 Task.yield(task, 20_000) || Task.shutdown(task, :brutal_kill)
      end
    end
  end

  describe "restore_binary/2" do
    test "without max_size takes back what was never compressed, of any size" do
      data = :binary.copy(<<0>>, 268_435_457)

      for tag <- [:heap_binary, :refc_binary],
          do: assert({:ok, ^data} = Memory.restore_binary({tag, data}))

      packed = Memory.optimize_binary(data, :transmission)
      assert {:error, %Error{error_type: :too_large}} = Memory.restore_binary(packed)
      assert {:ok, ^data} = Memory.restore_binary(packed, max_size: 268_435_457)
    end

    test "max_size bounds every tag, on both of its sides" do
      data = text(1000)

      for tagged <- [
            {:heap_binary, data},
            {:refc_binary, data},
            {:compressed_binary, Compression.compress!(data)},
            {:transmission_ready, Compression.compress!(data)}
          ] do
        assert Memory.restore_binary(tagged, max_size: 1000) == {:ok, data}
        assert Memory.restore_binary!(tagged, max_size: 1000) == data

        assert {:error, %Error{error_type: :too_large} = error} =
                 Memory.restore_binary(tagged, max_size: 999)

        assert error.message == "the result exceeds the limit of 999 bytes"
        assert error.context == %{size: 1000, max_size: 999}
        assert_raise Error, error.message, fn -> Memory.restore_binary!(tagged, max_size: 999) end
      end
    end

    test "a frame that lies, ends early or is none is an error" do
      bomb = Compression.compress!(:binary.copy(<<0>>, 300_000_000))

      for {frame, type} <- [
            {"", :not_lz4},
            {"plain", :not_lz4},
            {:zlib.compress("text"), :not_lz4},
            {"plain" |> Compression.compress!() |> binary_part(0, 10), :truncated},
            {bomb <> "x", :too_large},
            {bomb, :too_large}
          ],
          tag <- [:compressed_binary, :transmission_ready] do
        assert {:error, %Error{error_type: ^type}} = Memory.restore_binary({tag, frame})
      end
    end
  end

  describe "mistakes in the call" do
    test "data of a wrong type is named, with what was expected" do
      for strategy <- @strategies,
          data <- [:atom, 1, nil, %{}, {}, <<1::3>>, [:a], [256], [<<1::3>>]] do
        error = assert_raise ArgumentError, fn -> Memory.optimize_binary(data, strategy) end
        assert error.message =~ ~r/^expected a binary .*Memory.optimize_binary\/2.*, got: /
      end

      for strategy <- [:automatic, :sharing] do
        assert_raise ArgumentError, ~r/:storage and :transmission take iolists/, fn ->
          Memory.optimize_binary(["iolist"], strategy)
        end
      end
    end

    test "an unknown strategy is named" do
      for strategy <- [:zlib, nil, "storage", 1, []] do
        assert_raise ArgumentError,
                     ~r/^expected :automatic, :sharing, :storage or :transmission as strategy/,
                     fn -> Memory.optimize_binary("data", strategy) end
      end
    end

    test "what is no tagged binary is named" do
      wrong =
        ["data", nil, {}, {:heap_binary}, {:heap_binary, "a", 1}, {:unknown, "a"}, {:ok, "a"}] ++
          for tag <- @tags,
              payload <- [nil, 1, ["a"], <<1::3>>, {:heap_binary, "a"}],
              do: {tag, payload}

      for tagged <- wrong, function <- [&Memory.restore_binary/2, &Memory.restore_binary!/2] do
        error = assert_raise ArgumentError, fn -> function.(tagged, []) end
        assert error.message =~ ~r/^expected {tag, binary} in Memory.restore_binary\/2/
      end
    end

    test "options are checked, whatever the tag" do
      for tag <- @tags, max <- [-1, 1.0, :infinity, nil, 2 ** 64] do
        assert_raise ArgumentError, ~r/invalid option :max_size in Memory.restore_binary/, fn ->
          Memory.restore_binary({tag, ""}, max_size: max)
        end
      end

      assert_raise ArgumentError, ~r/unknown option :size/, fn ->
        Memory.restore_binary({:heap_binary, ""}, size: 1)
      end
    end
  end
end
