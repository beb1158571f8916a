defmodule Foundation.BEAM.Schedulers.Balance.ReadingTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers.Balance.Reading
  alias Foundation.BEAM.Schedulers.Ends

  defp ends(timeout), do: Ends.new(%{timeout: timeout, cancel: nil})

  # A stream that tells how far it was read, and that it was closed.
  defp told(count) do
    test = self()

    Stream.resource(
      fn -> 1 end,
      fn n -> if n > count, do: {:halt, n}, else: {[send(test, n)], n + 1} end,
      fn _ -> send(test, :closed) end
    )
  end

  test "gives every item, in order, and the count" do
    for {items, known} <- [
          {1..5_000, 5_000},
          {[], 0},
          {%{a: 1}, 1},
          {told(3), :unknown},
          {Stream.take(1..10, 3), :unknown},
          {Stream.take_while(1..10, &(&1 < 4)), :unknown}
        ],
        timeout <- [:infinity, 60_000] do
      list = Enum.to_list(items)
      assert Reading.list(items, known, 5_000, ends(timeout)) == {list, length(list)}
    end
  end

  test "takes no more than the most, and closes what it leaves" do
    assert Reading.list(told(5), :unknown, 5, ends(:infinity)) == {[1, 2, 3, 4, 5], 5}
    assert_received :closed
    assert Reading.list(told(1_000), :unknown, 5, ends(:infinity)) == :too_many
    assert_received :closed
    refute_received 7
  end

  test "begins nothing that is known to be too much" do
    assert Reading.list(told(10), 10, 9, ends(:infinity)) == :too_many
    refute_received _anything
  end

  test "looks at the clock before it keeps an item" do
    assert Reading.list(told(10), :unknown, 100, ends(0)) == :timeout
    assert_received :closed
    refute_received 2
    assert Reading.list(1..10, 10, 100, ends(0)) == :timeout
  end
end
