defmodule Foundation.UnknownLayoutTest do
  use ExUnit.Case, async: false

  @moduletag :integration

  # A VM that the trial at load does not recognise: sizes come from the interface alone.
  setup do: Foundation.UnknownLayout.start()

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

  describe "a store" do
    test "keeps any term there, in an environment of its own", %{peer: peer} do
      large = :binary.copy("x", 100_000)

      for term <- [
            1,
            -0.0,
            2 ** 300,
            [1 | 2],
            %{a: %{b: [1, 2]}},
            Map.new(1..100, &{&1, &1}),
            [<<1::3>>, binary_part(large, 3, 100), large],
            {make_ref(), self(), &Enum.map/2},
            Enum.to_list(1..50_000)
          ] do
        code = """
        store = SharedStore.new()
        :ok = SharedStore.put(store, :key, term)
        :ok = SharedStore.put(store, term, :found)
        {:ok, %{live_bytes: bytes}} = SharedStore.stats(store)
        {:ok, again} = SharedStore.fetch(store, :key)
        {again === term, SharedStore.take(store, term), SharedStore.fetch_in(store, :key, []) === {:ok, term}, bytes}
        """

        assert {true, {:ok, :found}, true, bytes} = eval(peer, code, term)
        assert bytes >= 2 * (864 + 1_600)
      end
    end

    test "reads parts and counts, alone and at once", %{peer: peer} do
      code = """
      store = SharedStore.new()
      SharedStore.put(store, :key, %{rows: [{:a, "b"}]})
      count = fn -> for _ <- 1..500, do: {:ok, _} = SharedStore.increment(store, :n, 2) end
      1..4 |> Enum.map(fn _ -> Task.async(count) end) |> Task.await_many()
      {SharedStore.fetch_in(store, :key, [:rows, 0, 1]), SharedStore.increment(store, :n, 0.5),
       SharedStore.increment(store, :big, term), SharedStore.increment(store, :big, term)}
      """

      assert eval(peer, code, 2 ** 62) ==
               {{:ok, "b"}, {:ok, 4000.5}, {:ok, 2 ** 62}, {:ok, 2 ** 63}}
    end

    test "expires, holds its limits and leaves nothing behind", %{peer: peer} do
      code = """
      store = SharedStore.new(max_entries: 100)
      for n <- 1..1_000, do: :ok = SharedStore.put(store, n, [n])
      held? = SharedStore.size(store) <= 100
      SharedStore.clear(store)
      for n <- 1..50, do: SharedStore.put(store, n, %{term => n}, ttl: 0)
      met = SharedStore.fetch_many(store, Enum.to_list(1..50))
      freed? = Eventually.eventually?(fn -> SharedStore.size(store) == 0 end)
      {:ok, %{expirations: expired}} = SharedStore.stats(store)
      SharedStore.close(store)
      none? = fn -> NativeBytes.settle().shared_stores < 10_000 end
      {held?, met, freed?, expired, Eventually.eventually?(none?)}
      """

      assert eval(peer, code, :key) == {true, {:ok, []}, true, 50, true}
    end
  end

  defp eval(peer, code, term) do
    code = """
    alias Foundation.BEAM.{SharedStore, SharedTerm, Term.Size}
    alias Foundation.{Eventually, NativeBytes}
    #{code}
    """

    {result, _binding} = :peer.call(peer, Code, :eval_string, [code, [term: term]], 30_000)
    result
  end
end
