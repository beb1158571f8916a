defmodule Foundation.UnknownLayoutTest do
  use ExUnit.Case, async: false

  @moduletag :integration

  # A VM that the trial at load does not recognise: sizes come from the interface alone.
  setup do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

    {:ok, peer, _node} =
      :peer.start_link(%{
        connection: :standard_io,
        env: [{~c"FOUNDATION_NIF_LAYOUT", ~c"unknown"}],
        args: paths
      })

    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:foundation])
    %{peer: peer}
  end

  test "numbers, containers and bitstrings have their true size there too", %{peer: peer} do
    large = :binary.copy("x", 1000)
    <<_::3, inside::binary-size(80), _::5, _::binary>> = large

    for term <- [
          [1, 2.5, 2 ** 70, -(2 ** 700) | :tail],
          {1, {}, [{[]}]},
          Map.new(1..32, &{&1, {&1}}),
          [large, binary_part(large, 3, 100), "small"],
          [<<1::3>>, <<1::300>>, <<1::1000>>, inside]
        ] do
      # Both in one call: what is sent there is laid out anew.
      {mine, vm} =
        eval(peer, "{Size.measure(term).heap_bytes, :erts_debug.flat_size(term) * 8}", term)

      assert mine == vm
    end
  end

  test "and terms can be shared", %{peer: peer} do
    term = %{a: [<<1::3>>, make_ref()]}
    read = "term |> SharedTerm.new() |> SharedTerm.fetch_in([:a, 0])"
    assert eval(peer, read, term) == {:ok, <<1::3>>}
  end

  defp eval(peer, code, term) do
    code = "alias Foundation.BEAM.{SharedTerm, Term.Size}; " <> code
    {result, _binding} = :peer.call(peer, Code, :eval_string, [code, [term: term]])
    result
  end
end
