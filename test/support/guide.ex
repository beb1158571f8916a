defmodule Foundation.Guide do
  @moduledoc """
  The Elixir of a document as one session for a doctest: every block from its beginning to its end, with
  `#=>` before what a line gives.
  """

  @doc "The session; names stay bound in it, as no blank line begins another."
  def session(path) do
    ~r/^```elixir\n(.*?)^```/ms
    |> Regex.scan(File.read!(path), capture: :all_but_first)
    |> Enum.join()
    |> String.split("\n", trim: true)
    |> Enum.map_join("\n", &line/1)
  end

  defp line("#=> " <> expected), do: expected

  defp line(code),
    do: if(code =~ ~r/^( |end|[\])}])/, do: "...> " <> code, else: "iex> " <> code)
end
