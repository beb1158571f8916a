defmodule Foundation.BEAM.Memory.Atoms.WindowTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Memory.Atoms.Window

  defp filled(times, keep),
    do: Enum.reduce(times, Window.keep(Window.new(), keep), &Window.add(&2, &1))

  test "counts what lies within, the edge included" do
    window = filled([0, 0, 5, 10], 100)
    assert Window.count(window, 100, 100) == 4
    assert Window.count(window, 99, 100) == 2
    assert Window.count(window, 10, 10) == 4
    assert Window.count(window, 1, 10) == 1
    assert Window.count(window, 1, 1000) == 0
  end

  test "remembers as long as it is told to, and nothing when it is not" do
    assert Window.new() |> Window.add(1) |> Window.count(1000, 2) == 0
    assert 0..2 |> filled(10) |> Window.keep(5) |> Window.count(10, 10) == 3
    refute Window.past?(filled([0], 10), 10)
    assert Window.past?(filled([0], 10), 11)
    assert Window.past?(Window.new(), 0)
  end

  test "stays small, whatever happens in it" do
    window = filled(0..50_000, 1_000_000)
    assert length(window.buckets) < 700
    assert Window.count(window, 1_000_000, 50_000) == 50_001
    assert :erts_debug.flat_size(window) * 8 < 50_000
  end

  property "is never too low, and too high by what a sixteenth more time holds", runs: 300 do
    forall {gaps, keep, per} <-
             {list(oneof([0, 1, integer(0, 50), integer(0, 5000)])), integer(1, 20_000),
              integer(1, 20_000)} do
      times = Enum.scan(gaps, &+/2)
      now = List.last(times) || 0
      per = min(per, keep)
      counted = times |> filled(keep) |> Window.count(per, now)
      within = fn per -> Enum.count(times, &(&1 >= now - per)) end
      counted >= within.(per) and counted <= within.(per + div(per, 16) + 1)
    end
  end
end
