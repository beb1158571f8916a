defmodule Foundation.BEAM.Memory.PressureTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Memory.Pressure

  @thresholds %{medium: 0.75, high: 0.9, hysteresis: 0.05}

  defp limit(kind, limit, used), do: %{kind: kind, limit: limit, used: used}

  describe "the tightest limit" do
    test "is the fullest by its part, not the smallest nor the one with the most used" do
      limits = [
        limit(:machine, 1_000, 500),
        limit(:container, 100, 80),
        limit(:process, 10, 1)
      ]

      assert Pressure.tightest(limits) ==
               %{fraction: 0.8, kind: :container, limit: 100, used: 80}
    end

    test "may be passed, and one of nothing is full" do
      assert Pressure.tightest([limit(:container, 100, 150)]).fraction == 1.5
      assert Pressure.tightest([limit(:process, 0, 0)]).fraction == 1.0
    end

    test "of none is no pressure" do
      assert Pressure.tightest([]) == %{fraction: 0.0, kind: nil, limit: nil, used: nil}
    end
  end

  test "a level without a past begins at its threshold" do
    for {fraction, level} <- [
          {0.0, :low},
          {0.7499, :low},
          {0.75, :medium},
          {0.8999, :medium},
          {0.9, :high},
          {2.0, :high}
        ],
        do: assert(Pressure.level(fraction, @thresholds) == level)
  end

  test "rises at the threshold, falls below it by the hysteresis" do
    steps = [
      {0.74, :low},
      {0.75, :medium},
      {0.71, :medium},
      {0.70, :medium},
      {0.69, :low},
      {0.95, :high},
      {0.86, :high},
      {0.84, :medium},
      {0.90, :high},
      {0.10, :low}
    ]

    Enum.reduce(steps, :low, fn {fraction, expected}, level ->
      level = Pressure.next(level, fraction, @thresholds)
      assert {fraction, level} == {fraction, expected}
      level
    end)
  end

  describe "thresholds out of order" do
    defp message(change) do
      assert_raise(ArgumentError, fn ->
        Pressure.in_order!(Map.merge(@thresholds, change), "here")
      end).message
    end

    test "are refused by name" do
      assert message(%{medium: 0.95}) ==
               "invalid option :high in here: expected a number above :medium (0.95), got: 0.9"

      assert message(%{medium: 0.9}) =~ "option :high"
      assert message(%{medium: 0}) =~ "option :medium in here: expected a number above 0, got: 0"
      assert message(%{hysteresis: 0.75}) =~ "option :hysteresis in here: expected a number below"
    end

    test "those in order come back" do
      assert Pressure.in_order!(@thresholds, "here") == @thresholds
      assert Pressure.in_order!(%{medium: 0.1, high: 1}, "here") == %{medium: 0.1, high: 1}
    end
  end
end
