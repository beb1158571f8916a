defmodule Foundation.BEAM.Term.IodataTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Term.{Iodata, Size}
  alias Foundation.Error

  test "a binary stays the same, an iolist becomes one" do
    data = :binary.copy("x", 100)
    assert {:ok, same} = Iodata.binary(data, "here/1")
    assert :erts_debug.same(same, data)
    assert Iodata.binary([?a, ["b" | "c"], [[]], [[[100]]]], "here/1") == {:ok, "abcd"}
    assert Iodata.binary([], "here/1") == {:ok, ""}
  end

  test "the limit counts list cells and binaries, on both of its sides" do
    binary = :binary.copy("x", 1000)
    data = [binary, [?a, binary]]
    %{heap_bytes: heap, binary_bytes: 2000} = Size.measure(data)
    assert heap > 4 * 16
    assert {:ok, <<_::binary-size(2001)>>} = Iodata.binary(data, "here/1", heap + 2000)

    assert {:error, %Error{error_type: :too_large} = error} =
             Iodata.binary(data, "here/1", heap + 1999)

    assert error.context == %{max_size: heap + 1999}
    assert error.message =~ "more than #{heap + 1999} bytes of list cells"
  end

  test "a list that holds what is no iodata is named, however large it is" do
    for data <- [
          :atom,
          1,
          nil,
          <<1::3>>,
          [<<1::3>>],
          [256],
          [-1],
          [2 ** 100],
          [self()],
          ["a" | :b],
          [fn -> 1 end]
        ] do
      error = assert_raise ArgumentError, fn -> Iodata.binary(data, "here/1") end
      assert error.message =~ "expected a binary or an iolist as data in here/1, got: "
      assert byte_size(error.message) < 300
    end
  end
end
