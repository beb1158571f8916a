defmodule Foundation.CpuGuideTest do
  # Beside nothing else: one of its blocks waits for a slice.
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  @moduletag :integration

  # What the guide shows is what happens, pasted from its beginning to its end.
  doctest Foundation.CpuGuide

  test "the blocks are there" do
    {:docs_v1, _, _, _, %{"en" => session}, _, _} = Code.fetch_docs(Foundation.CpuGuide)
    assert length(String.split(session, "iex>")) > 25
  end
end
