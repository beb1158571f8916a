defmodule Foundation.BEAM.Schedulers.ItemsTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers.Items

  test "are counted where that takes no walk, and no code of the user's" do
    for {items, count} <- [
          {[], 0},
          {[1, 2], 2},
          {1..10//3, 4},
          {1..1_000_000_000_000, 1_000_000_000_000},
          {%{a: 1}, 1},
          {MapSet.new([1, 2, 3]), 3},
          {Stream.map(1..3, & &1), :unknown},
          {&Enumerable.reduce(1..3, &1, &2), :unknown},
          {File.stream!("no such file"), :unknown},
          {Date.range(~D[2024-01-01], ~D[2024-01-02]), :unknown}
        ] do
      assert Items.count!(items, "f/1") == count
    end
  end

  test "what is no enumerable is refused, a function of another arity and an improper list too" do
    for items <- [:a, {1, 2}, "text", 7, fn -> 1 end, & &1, &{&1, &2, &3}, ~D[2024-01-01]] do
      error = assert_raise ArgumentError, fn -> Items.count!(items, "f/1") end
      assert error.message =~ "expected an enumerable in f/1, got: "
      error = assert_raise ArgumentError, fn -> Items.count!(items, "f/1", "a stream") end
      assert error.message =~ "expected a stream in f/1, got: "
    end

    assert_raise ArgumentError, "expected a proper list in f/1, got: [1 | 2]", fn ->
      Items.count!([1 | 2], "f/1")
    end
  end
end
