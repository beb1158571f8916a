defmodule Foundation.BEAM.Topology.TokenTest do
  use ExUnit.Case, async: true

  doctest Foundation.BEAM.Topology.Token

  alias Foundation.BEAM.Topology.Token

  # Lives stand for pids: what tells the second worker 1 from the first.
  @a {:coordinator, 1}
  @b {{:worker, 1}, 2}
  @c {{:worker, 2}, 3}
  @members [@a, @b, @c]

  test "it goes round once in the order of the ring, and counts" do
    {:ok, token} = Token.new(@members)

    {holders, last} =
      Enum.map_reduce(1..4, token, fn _, token ->
        {:ok, next} = Token.pass(token, token, @members)
        {next.holder, next}
      end)

    assert holders == [@b, @c, @a, @b]
    assert {last.seq, last.epoch} == {4, 1}
  end

  test "only the current token is passed, and once" do
    {:ok, first} = Token.new(@members)
    {:ok, second} = Token.pass(first, first, @members)

    for stale <- [
          first,
          %{second | seq: 9},
          %{second | epoch: 2},
          %{second | holder: @c},
          nil,
          :x
        ] do
      assert Token.pass(second, stale, @members) == {:error, :stale}
      refute Token.valid?(second, stale)
    end

    assert Token.valid?(second, second)
  end

  test "the death of another changes nothing, that of the holder begins an epoch" do
    {:ok, token} = Token.new(@members)
    assert Token.heal(token, [@a, @c]) == {:ok, token}

    assert {:ok, %Token{epoch: 2, seq: 1, holder: @b} = healed} = Token.heal(token, [@b, @c])
    assert Token.pass(healed, token, [@b, @c]) == {:error, :stale}
    assert Token.heal(healed, [@b, @c]) == {:ok, healed}
  end

  test "who is back under its role has lost the token to its successor" do
    {:ok, token} = Token.new(@members)
    back = {:coordinator, 4}
    assert {:ok, %Token{epoch: 2, holder: @b}} = Token.heal(token, [back, @b, @c])
    # Alone, it is its own successor: with a new token, since it does not know the old one.
    assert {:ok, %Token{epoch: 2, holder: ^back}} = Token.heal(token, [back])
  end

  test "the last one's successor is the first" do
    token = %Token{epoch: 1, seq: 5, holder: @c}
    assert {:ok, %Token{epoch: 2, holder: @a}} = Token.heal(token, [@a, @b])
  end

  test "one that joins is passed the token in its turn" do
    {:ok, token} = Token.new([@a, @c])
    assert {:ok, %Token{holder: @b, epoch: 1}} = Token.pass(token, token, @members)
  end

  test "without members there is nobody to hold it" do
    {:ok, token} = Token.new(@members)
    assert Token.new([]) == :error
    assert Token.heal(token, []) == :error
    assert Token.pass(token, token, []) == :error
  end
end
