defmodule Foundation.BEAM.Schedulers.ChunksTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers.Chunks

  defp source(data, size \\ 2) do
    {:chunks, source, _total} = Chunks.plan(data, size, "here")
    source
  end

  defp all(source, size) do
    case Chunks.take(source, size) do
      {chunk, count, rest} ->
        assert length(chunk) == count
        [chunk | all(rest, size)]

      :done ->
        []
    end
  end

  test "lists and enumerables give the same chunks" do
    for count <- 0..7, data = Enum.to_list(1..count//1), size <- 1..8 do
      expected = Enum.chunk_every(data, size)
      assert all(source(data), size) == expected
      assert all(source(MapSet.new(data)), size) == expected
      assert all(source(1..count//1), size) == expected
      assert all(source(Stream.map(data, & &1)), size) == expected
      # A stream that halts by itself.
      assert all(source(Stream.take(Stream.iterate(1, &(&1 + 1)), count)), size) == expected
    end
  end

  test "totals are known where they cost nothing" do
    total = fn data -> data |> Chunks.plan(2, "here") |> elem(2) end
    assert total.([1, 2]) == 2
    assert total.(1..10) == 10
    assert total.(%{a: 1}) == 1
    assert total.(MapSet.new([1, 2, 3])) == 3
    assert total.(10..1//-3) == 4
    assert total.(1..0//1) == 0
    assert total.(Stream.map([1], & &1)) == :unknown
    # Its answer would be a walk through the file, in the caller.
    assert total.(File.stream!(__ENV__.file)) == :unknown
  end

  test "ranges give their items whatever their step" do
    for range <- [1..10, 10..1//-1, 10..1//-3, -5..5//4, 7..7, 1..0//1], size <- [1, 3, 100] do
      assert all(source(range), size) == Enum.chunk_every(range, size)
    end
  end

  test "what is split off is a source of its own, of which items can be dropped" do
    for data <- [Enum.to_list(1..10), 1..10, 10..1//-1, Stream.map(1..10, & &1)] do
      {part, 7, rest} = Chunks.split(source(data), 7)
      items = Enum.to_list(data)
      assert all(part, 10) == [Enum.take(items, 7)]
      assert all(rest, 10) == [Enum.drop(items, 7)]
      assert Chunks.left(part) == 7
      for n <- 0..6, do: assert(all(Chunks.drop(part, n), 10) == [Enum.slice(items, n..6)])
      assert Chunks.drop(part, 7) == :done
    end

    for data <- [[], 1..0//1, Stream.map([], & &1)],
        do: assert(Chunks.split(source(data), 7) == :done)
  end

  test "a stream is not read beyond what was taken" do
    me = self()
    stream = Stream.map(1..100, &send(me, &1))
    assert {[1, 2, 3], 3, _rest} = Chunks.take(source(stream), 3)
    assert_received 3
    refute_received 4
  end

  test "closing lets a stream clean up" do
    me = self()
    resource = Stream.resource(fn -> 0 end, &{[&1], &1 + 1}, fn n -> send(me, {:closed, n}) end)
    {[0, 1], 2, rest} = Chunks.take(source(resource), 2)
    refute_received {:closed, _}
    assert :ok = Chunks.close(rest)
    assert_received {:closed, _}
    assert :ok = Chunks.close(source([1]))
  end

  test "results are joined by one level, in order" do
    results = [[1, [2]], :three, [], {4}, [[5 | 6]]]
    joined = results |> Enum.reduce([], &Chunks.join/2) |> Chunks.concat()
    assert joined == [1, [2], :three, {4}, [5 | 6]]
  end

  test "an improper list is neither data nor a result" do
    assert_raise ArgumentError, "expected a proper list in here, got: [1 | 2]", fn ->
      Chunks.plan([1 | 2], :auto, "here")
    end

    message =
      "expected the function to return a proper list, or what is no list, for a chunk, got: [1 | 2]"

    assert_raise ArgumentError, message, fn -> Chunks.join([1 | 2], []) end
  end

  test "with a size, data must be enumerable" do
    for data <- [:atom, {1, 2}, "text", fn _ -> :ok end] do
      assert {:whole, ^data} = Chunks.plan(data, :auto, "here")

      assert_raise ArgumentError, ~r/^expected data that is enumerable, .* in here, got: /, fn ->
        Chunks.plan(data, 2, "here")
      end
    end
  end
end
