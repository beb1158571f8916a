defmodule Foundation.EcosystemGuideTest do
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  @moduletag :integration
  @moduletag :capture_log

  # What the guide shows is what happens, pasted from its beginning to its end.
  doctest Foundation.EcosystemGuide

  test "all of its blocks are there" do
    {:docs_v1, _, _, _, %{"en" => session}, _, _} = Code.fetch_docs(Foundation.EcosystemGuide)
    assert length(String.split(session, "iex>")) > 30
    # Code that is only indented would not be run.
    text = Regex.replace(~r/^```elixir\n.*?^```/ms, File.read!("guides/ecosystems.md"), "")
    refute text =~ ~r/^(    |```)/m
  end
end
