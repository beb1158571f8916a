defmodule Foundation.CpuGuide do
  # The Elixir of the guide "CPU work on the BEAM" as documentation of this module, so that a doctest
  # can run it.
  @path "guides/cpu-work-on-the-beam.md"
  @external_resource @path

  # One session, in which names stay bound: no blank lines, which would begin another.
  @moduledoc ~r/^```elixir\n(.*?)^```/ms
             |> Regex.scan(File.read!(@path), capture: :all_but_first)
             |> Enum.join()
             |> String.split("\n", trim: true)
             |> Enum.map_join("\n", fn
               "#=> " <> expected -> expected
               " " <> _ = code -> "...> " <> code
               "end" <> _ = code -> "...> " <> code
               code -> "iex> " <> code
             end)
end
