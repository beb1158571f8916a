defmodule Foundation.BEAM.MessagesTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.Error

  doctest Foundation.BEAM.Messages

  # Sizes in bytes: 16 a list element.
  @small [1, 2, 3]
  @medium List.duplicate(7, 200)
  @large List.duplicate(7, 2000)

  describe "the message and what the sender gets back" do
    test "small data is the message, {:ok, :sent}" do
      assert Messages.send_optimized(self(), @small) == {:ok, :sent}
      assert_received @small
    end

    test "large data is a handle, returned and sent" do
      assert {:ok, handle} = Messages.send_optimized(self(), @large)
      assert_received {:ets_ref, ^handle, :foundation_message_cache}
    end

    test "medium data is a binary, whose size is returned" do
      assert {:ok, size} = Messages.send_optimized(self(), @medium)
      assert_received {:shared_binary, binary}
      assert byte_size(binary) == size
    end

    test "data whose copy would never end is refused, not sent" do
      # Built here: sending it to another process would never end.
      endless = Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)
      assert {:error, %Error{error_type: :too_large}} = Messages.send_optimized(self(), endless)
      assert_raise Error, ~r/larger than 4294967296 bytes/, fn -> Messages.pack(endless) end

      for compression <- [:none, :low, :high] do
        opts = [strategy: :binary_sharing, compression: compression]
        assert {:error, error} = Messages.send_optimized(self(), endless, opts)
        assert error.error_type == :too_large
      end

      refute_received _
    end

    test "flow control sends the data itself" do
      assert Messages.send_optimized(self(), @small, flow_control: true) == {:ok, :sent}
      assert_received @small
    end

    test "a strategy that is named is taken for data of any size" do
      for data <- [@small, @medium, @large],
          {strategy, shape} <- [
            direct: &match?(^data, &1),
            flow_controlled: &match?(^data, &1),
            binary_sharing: &match?({:shared_binary, _}, &1),
            ets_reference: &match?({:ets_ref, _, :foundation_message_cache}, &1)
          ] do
        assert {:ok, _} = Messages.send_optimized(self(), data, strategy: strategy)
        assert_received message
        assert shape.(message)
        assert Messages.open(message) == {:ok, data}
      end
    end
  end

  describe "compression" do
    test ":high is zlib in the external term format, which binary_to_term reads as well" do
      {:shared_binary, binary} = pack(compression: :high)
      assert <<131, 80, _::binary>> = binary
      assert :erlang.binary_to_term(binary) == @large
    end

    test ":low and :default are LZ4, smaller than the plain format" do
      plain = byte_size(:erlang.term_to_binary(@large))

      for level <- [:low, :default] do
        {:shared_binary, binary} = pack(compression: level)
        assert byte_size(binary) < plain / 2
        assert Messages.open({:shared_binary, binary}) == {:ok, @large}
      end

      assert pack([]) == pack(compression: :default)
    end

    test ":none, and what LZ4 makes no smaller, is the plain format" do
      assert pack(compression: :none) == {:shared_binary, :erlang.term_to_binary(@large)}

      random = :crypto.strong_rand_bytes(2000)
      packed = Messages.pack(random, strategy: :binary_sharing)
      assert packed == {:shared_binary, :erlang.term_to_binary(random)}
    end

    defp pack(opts), do: Messages.pack(@large, [strategy: :binary_sharing] ++ opts)
  end

  describe "open/2" do
    test "leaves alone what is none of the shapes" do
      for message <- [
            :atom,
            {:ets_ref, make_ref(), :other_table},
            {:ets_ref, :no_reference, :foundation_message_cache},
            {:ets_ref, make_ref()},
            {:shared_binary, :no_binary},
            {:shared_binary, "a", "b"}
          ] do
        assert Messages.open(message) == {:ok, message}
      end
    end

    test "a reference that is no handle is an error" do
      message = {:ets_ref, make_ref(), :foundation_message_cache}
      assert {:error, %Error{error_type: :unknown_handle}} = Messages.open(message)
      assert_raise Error, fn -> Messages.open!(message) end
    end

    test "a binary that is none of ours is an error" do
      for binary <- ["", "x", <<131>>, <<131, 80, 0, 0, 0, 9, 1>>, <<4, 34, 77, 24, 0>>] do
        assert {:error, %Error{}} = Messages.open({:shared_binary, binary})
      end
    end

    test "max_size bounds what a binary unpacks to" do
      message = Messages.pack(List.duplicate(0, 50_000), strategy: :binary_sharing)
      assert {:error, %Error{}} = Messages.open(message, max_size: 1000)
      assert {:ok, _} = Messages.open(message, max_size: 1_000_000)
    end

    test "safe: true refuses an atom that this node does not know" do
      name = "not_an_atom_#{System.unique_integer([:positive])}"
      binary = <<131, 119, byte_size(name), name::binary>>
      assert {:error, %Error{}} = Messages.open({:shared_binary, binary}, safe: true)
      assert {:ok, atom} = Messages.open({:shared_binary, binary})
      assert Atom.to_string(atom) == name
    end
  end

  describe "the life of a reference" do
    test "after its ttl it is an error, and an event with the receiver" do
      Foundation.Events.listen([:foundation, :messages, :expired])
      message = Messages.pack(@large, ttl: 0)
      assert {:error, %Error{error_type: :expired}} = Messages.open(message)
      assert {:error, %Error{error_type: :expired}} = Messages.read(message, [0])

      me = self()
      event = [:foundation, :messages, :expired]
      assert_received {:event, ^event, %{count: 1}, %{destination: ^me, reason: :expired}}
      assert_received {:event, ^event, %{count: 1}, %{destination: ^me}}
    end

    test "release/1 ends it for all receivers, more than once, and leaves other messages alone" do
      message = Messages.pack(@large, strategy: :ets_reference)
      assert Messages.open!(message) == @large
      assert Messages.release(message) == :ok
      assert Messages.release(message) == :ok
      assert {:error, %Error{error_type: :released}} = Messages.open(message)

      for other <- [@small, Messages.pack(@medium), {:ets_ref, 1, :foundation_message_cache}] do
        assert Messages.release(other) == :ok
      end
    end
  end

  describe "read/3" do
    test "gives the same part whatever the strategy" do
      data = %{users: [%{name: "Ada"}, %{name: "Joe"}], pair: {1, [key: :value]}}

      for strategy <- [:direct, :ets_reference, :binary_sharing],
          message = Messages.pack(data, strategy: strategy) do
        assert Messages.read(message, [:users, 1, :name]) == {:ok, "Joe"}
        assert Messages.read(message, [:pair, 1, :key]) == {:ok, :value}
        assert Messages.read(message, []) == {:ok, data}
        assert {:error, %Error{error_type: type}} = Messages.read(message, [:users, 2])
        assert type == :path_not_found
        assert_raise Error, fn -> Messages.read!(message, [:nobody]) end
      end
    end
  end

  describe "receive_optimized/2" do
    test "opens the messages in the order in which they came" do
      for data <- [@small, @medium, @large], do: Messages.send_optimized(self(), data)

      for data <- [@small, @medium, @large],
          do: assert(Messages.receive_optimized() == {:ok, data})
    end

    test "is an error of its own where no message comes" do
      assert {:error, %Error{error_type: :timeout, context: %{timeout: 1}}} =
               Messages.receive_optimized(1)

      assert {:error, %Error{error_type: :timeout}} = Messages.receive_optimized(0)
    end
  end

  describe "the options of opening" do
    setup do
      {:ok, message: Messages.pack(List.duplicate(0, 50_000), strategy: :binary_sharing)}
    end

    test "hold for read/3 and receive_optimized/2", %{message: message} do
      assert {:error, %Error{error_type: :too_large}} =
               Messages.read(message, [0], max_size: 1000)

      assert Messages.read(message, [0], max_size: 1_000_000) == {:ok, 0}
      assert_raise Error, fn -> Messages.read!(message, [0], max_size: 1000) end
      assert Messages.read!(message, [0], max_size: 1_000_000) == 0

      for _ <- 1..2, do: send(self(), message)
      assert {:error, %Error{error_type: :too_large}} = Messages.receive_optimized(0, max_size: 9)
      assert {:ok, [0 | _]} = Messages.receive_optimized(0, max_size: 1_000_000)
    end

    test "a message that cannot be opened is in the error, not lost", %{message: message} do
      expired = Messages.pack(@large, ttl: 0)

      for {message, opts} <- [{message, [max_size: 9]}, {expired, []}] do
        send(self(), message)
        assert {:error, %Error{context: context}} = Messages.receive_optimized(0, opts)
        assert context.message == message
      end

      refute_received _
      assert Messages.open!(message) == List.duplicate(0, 50_000)
    end
  end

  describe "measure/2" do
    test "counts what a copy takes and what it shares, and stops past the limit" do
      assert %{heap_bytes: 48, binary_bytes: 0, complete?: true} = Messages.measure(@small)
      assert %{binary_bytes: 100} = Messages.measure({String.duplicate("x", 100)})
      assert %{complete?: false} = Messages.measure(@large, 1000)
      assert %{complete?: true} = Messages.measure(@large, 32_000)
      assert %{complete?: true} = Messages.measure(:immediate, 0)
    end
  end
end
