defmodule Foundation.MemoryPressurePropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Memory.Pressure

  # Thousandths, so that fractions meet the thresholds exactly, too.
  defp part(least, most), do: bind(integer(least, most), &(&1 / 1_000))

  defp thresholds do
    bind({integer(1, 999), integer(1, 1_000), integer(0, 1_000)}, fn {medium, above, band} ->
      %{
        medium: medium / 1_000,
        high: min(1_000, medium + above) / 1_000,
        hysteresis: rem(band, medium) / 1_000
      }
    end)
  end

  defp level, do: oneof([:low, :medium, :high])
  defp fractions, do: list(part(0, 1_200))

  defp walk(fractions, level, thresholds) do
    Enum.scan(fractions, level, &Pressure.next(&2, &1, thresholds))
  end

  property "what is generated as thresholds is in order", runs: 300 do
    forall values <- thresholds() do
      Pressure.in_order!(values, "the test") == values
    end
  end

  property "a higher fraction never gives a lower level, a higher past never either", runs: 500 do
    forall {one, other, past, present, values} <-
             {part(0, 1_200), part(0, 1_200), level(), level(), thresholds()} do
      rank = fn past, fraction -> Pressure.rank(Pressure.next(past, fraction, values)) end
      [less, more] = Enum.sort([one, other])
      [lower, higher] = Enum.sort_by([past, present], &Pressure.rank/1)
      rank.(past, less) <= rank.(past, more) and rank.(lower, less) <= rank.(higher, less)
    end
  end

  property "the same fraction again changes nothing", runs: 500 do
    forall {fraction, past, values} <- {part(0, 1_200), level(), thresholds()} do
      level = Pressure.next(past, fraction, values)
      Pressure.next(level, fraction, values) == level
    end
  end

  property "never below the level without a past, and that exactly where it rises", runs: 500 do
    forall {fraction, past, values} <- {part(0, 1_200), level(), thresholds()} do
      level = Pressure.rank(Pressure.next(past, fraction, values))
      plain = Pressure.rank(Pressure.level(fraction, values))
      level >= plain and (level <= Pressure.rank(past) or level == plain)
    end
  end

  property "fractions that stay within one band change the level once at most", runs: 500 do
    forall {steps, past, values, which} <-
             {fractions(), level(), thresholds(), oneof([:medium, :high])} do
      # Somewhere from the hysteresis below the threshold to just under it.
      near = for step <- steps, do: values[which] - values.hysteresis * (step / 1_200)
      within = Enum.filter(near, &(&1 < values[which]))
      # Where the bands of both thresholds meet, a fraction crosses the other's.
      apart? = values.high - values.hysteresis >= values.medium
      not apart? or changes([past | walk(within, past, values)]) <= 1
    end
  end

  property "what rises at a threshold falls only the whole hysteresis further down", runs: 500 do
    forall {steps, past, values} <- {fractions(), level(), thresholds()} do
      levels = walk(steps, past, values)

      # Every threshold that a change passes was reached on the way up, and left behind on the way down.
      [[past | levels], levels, steps]
      |> Enum.zip()
      |> Enum.all?(fn {from, to, fraction} ->
        Enum.all?([medium: 1, high: 2], fn {name, rank} ->
          above? = Pressure.rank(from) >= rank

          case Pressure.rank(to) >= rank do
            ^above? -> true
            true -> fraction >= values[name]
            false -> fraction < values[name] - values.hysteresis
          end
        end)
      end)
    end
  end

  defp changes(levels) do
    levels |> Enum.zip(Enum.drop(levels, 1)) |> Enum.count(fn {from, to} -> from != to end)
  end
end
