defmodule Foundation.ReadmeTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  @moduletag :integration

  # The session as one doctest (see test/support/readme.ex): what the README shows is what happens.
  doctest Foundation.Readme

  test "the session is there" do
    {:docs_v1, _, _, _, %{"en" => session}, _, _} = Code.fetch_docs(Foundation.Readme)
    assert length(String.split(session, "iex>")) > 15
  end
end
