# What the benches share: timing that takes turns, so that a change of the machine's pace hits every
# candidate alike, and lines that a script can read.
#
#     Code.require_file("support/bench.exs", __DIR__)

defmodule Bench do
  @moduledoc false

  # Long enough that the clock and the call of the function do not show.
  @round_ns 5_000_000
  @rounds 15

  @doc "Nanoseconds that a call of the function takes, from as many calls as fill a few milliseconds."
  def time(fun), do: time(fun, repetitions(fun))

  @doc "The same from that many calls."
  def time(fun, repetitions) do
    start = System.monotonic_time(:nanosecond)
    repeat(fun, repetitions)
    (System.monotonic_time(:nanosecond) - start) / repetitions
  end

  defp repeat(_fun, 0), do: :ok

  defp repeat(fun, left) do
    fun.()
    repeat(fun, left - 1)
  end

  # The first call also warms up.
  defp repetitions(fun) do
    fun.()
    max(1, div(@round_ns, max(1, round(time(fun, 3)))))
  end

  @doc """
  Times the candidates, `[{name, fun}]`, in turns, prints a table and returns the median of each in
  nanoseconds, `%{name => ns}`.

  Options: `rounds:` (#{@rounds}), `bytes:` (what one call works on: adds a column in MB/s), `note:`
  (`%{name => text}`, printed beside each), `before:` (a function that runs before each round, untimed).
  """
  def compare(title, candidates, opts \\ []) do
    counted = for {name, fun} <- candidates, do: {name, fun, repetitions(fun)}
    prepare = Keyword.get(opts, :before, fn -> :ok end)

    times =
      for _round <- 1..Keyword.get(opts, :rounds, @rounds), {name, fun, count} <- counted do
        prepare.()
        {name, time(fun, count)}
      end

    medians =
      times
      |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
      |> Map.new(fn {name, values} -> {name, median(values)} end)

    IO.puts("\n#{title}")
    for {name, _fun} <- candidates, do: IO.puts(row(name, medians[name], opts))
    medians
  end

  @doc "The line `RATIO name value`."
  def ratio(name, value),
    do: IO.puts("RATIO #{name} #{:erlang.float_to_binary(value / 1, decimals: 3)}")

  @doc """
  A nested term without large binaries, about 272 bytes of heap a row: atoms, integers, floats, short
  binaries, tuples, lists and maps.
  """
  def nested(rows) do
    rows =
      for n <- 1..rows do
        %{id: n, name: "name #{n}", at: {2024, 1, n}, tags: [:a, "tag #{n}", n * 1.5], sum: n * n}
      end

    %{rows: rows, total: length(rows)}
  end

  @doc "The middle one."
  def median(values), do: values |> Enum.sort() |> Enum.at(div(length(values), 2))

  @doc "Nanoseconds in the unit that people read."
  def duration(ns) when ns < 1_000, do: "#{round(ns)} ns"
  def duration(ns) when ns < 1_000_000, do: "#{Float.round(ns / 1_000, 1)} us"
  def duration(ns) when ns < 1_000_000_000, do: "#{Float.round(ns / 1_000_000, 2)} ms"
  def duration(ns), do: "#{Float.round(ns / 1_000_000_000, 2)} s"

  defp row(name, ns, opts) do
    speed = if bytes = opts[:bytes], do: "#{round(bytes * 1_000 / ns)} MB/s", else: ""
    note = get_in(opts, [:note, name]) || ""

    String.trim_trailing(
      "  #{String.pad_trailing("#{name}", 34)}#{String.pad_leading(duration(ns), 12)}" <>
        "#{String.pad_leading(speed, 12)}  #{note}"
    )
  end
end
