# How late a process is that wants to run every millisecond, while others work: what the users of a
# busy system feel.

Code.require_file("../../test/support/ticker.ex", __DIR__)

defmodule Bench.Schedulers.Lateness do
  alias Foundation.Ticker

  @doc "The heading of the lines that `of/4` prints."
  def heading(text), do: IO.puts("\nlateness of a 1 ms ticker, #{text} (p50, p99, worst)")

  @doc """
  The 99th percentile in microseconds, of a second in which so many processes call the function over and over.
  Prints it as `US <name>`, and the worst tick as `US <name>_worst`.
  """
  def of(name, title, callers, fun) do
    {_, late} =
      Ticker.during(fn ->
        stop = System.monotonic_time(:millisecond) + 1_000

        1..callers
        |> Enum.map(fn _ -> Task.async(fn -> until(stop, fun) end) end)
        |> Task.await_many(:infinity)
      end)

    [median, p99] = for share <- [0.5, 0.99], do: Ticker.percentile(late, share)
    worst = Ticker.worst(late)

    figures =
      Enum.map_join([median, p99, worst], &String.pad_leading(Bench.duration(&1 * 1_000), 12))

    IO.puts("  #{String.pad_trailing(title, 34)}#{figures}  #{length(late)} ticks")
    IO.puts("US #{name} #{p99}")
    IO.puts("US #{name}_worst #{worst}")
    p99
  end

  defp until(stop, fun) do
    fun.()
    if System.monotonic_time(:millisecond) < stop, do: until(stop, fun)
  end
end
