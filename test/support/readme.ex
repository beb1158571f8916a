defmodule Foundation.Readme do
  # The README's session as documentation of this module, so that a doctest can run it.
  @external_resource "README.md"

  [_, session] = Regex.run(~r/## A session.*?```elixir\n(.*?)```/s, File.read!("README.md"))

  # One session, in which names stay bound: no blank lines, which would begin another.
  @moduledoc session
             |> String.split("\n", trim: true)
             |> Enum.reject(&String.starts_with?(&1, "# "))
             |> Enum.map_join("\n", fn
               "#=> " <> expected -> expected
               code -> "iex> " <> code
             end)
end
