defmodule Foundation.BEAM.Memory.Atoms.NamespacesTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Memory.Atoms.Namespaces

  defp full(rate, now) do
    Enum.reduce(1..Namespaces.most(), %{}, fn n, namespaces ->
      {:ok, namespaces} = Namespaces.admit(namespaces, "n#{n}", rate, now + n)
      namespaces
    end)
  end

  test "each is counted apart" do
    {:ok, one} = Namespaces.admit(%{}, "a", {1, 1000}, 0)
    assert Namespaces.admit(one, "a", {1, 1000}, 1000) == :refused
    assert {:ok, two} = Namespaces.admit(one, "b", {1, 1000}, 1000)
    assert {:ok, three} = Namespaces.admit(two, "a", {1, 1000}, 1001)
    assert Namespaces.made(three) == %{"a" => 2, "b" => 1}
  end

  test "what is made without a rate counts for those that have one" do
    {:ok, namespaces} = Namespaces.admit(%{}, "a", {5, 1000}, 0)
    {:ok, namespaces} = Namespaces.admit(namespaces, "a", nil, 1)
    assert Namespaces.admit(namespaces, "a", {2, 1000}, 2) == :refused
    assert {:ok, _} = Namespaces.admit(namespaces, "a", {3, 1000}, 2)
  end

  test "no atom at all" do
    assert Namespaces.admit(%{}, "a", {0, 1}, 0) == :refused
  end

  test "where all are taken, the one idle longest is forgotten" do
    for rate <- [nil, {1, 1}] do
      namespaces = full(rate, 0)
      assert {:ok, more} = Namespaces.admit(namespaces, "new", rate, 5000)
      assert map_size(more) == Namespaces.most()
      assert Map.keys(namespaces) -- Map.keys(more) == ["n1"]
    end
  end

  test "but none that still counts: a new one is refused a rate, or is not counted" do
    namespaces = full({1, 1_000_000}, 0)
    assert Namespaces.admit(namespaces, "new", {10, 10}, 5000) == :refused
    assert Namespaces.admit(namespaces, "new", nil, 5000) == {:ok, namespaces}
    assert Namespaces.admit(namespaces, "n1", {1, 1_000_000}, 5000) == :refused
  end

  property "in no window are there more than the rate allows", runs: 200 do
    forall {gaps, most, per} <- {list(integer(0, 40)), integer(0, 8), integer(1, 300)} do
      {_, _, made} =
        Enum.reduce(gaps, {%{}, 0, []}, fn gap, {namespaces, now, made} ->
          now = now + gap

          case Namespaces.admit(namespaces, "a", {most, per}, now) do
            {:ok, namespaces} -> {namespaces, now, [now | made]}
            :refused -> {namespaces, now, made}
          end
        end)

      Enum.all?(made, fn at -> Enum.count(made, &(&1 in at..(at + per))) <= most end)
    end
  end
end
