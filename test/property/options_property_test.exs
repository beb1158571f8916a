defmodule Foundation.OptionsPropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.Options

  @schema Options.schema!(
            limit: [type: :pos_integer, default: 1, doc: "a limit"],
            mode: [type: {:in, [:a, :b]}, doc: "a mode"]
          )

  property "any term as options gives a map or an ArgumentError, never another exception" do
    forall opts <- oneof([any(), list({oneof([:limit, :mode, atom()]), any()})]) do
      try do
        %{limit: limit, mode: mode} = Options.validate!(opts, @schema, "here")
        is_integer(limit) and limit > 0 and mode in [nil, :a, :b]
      rescue
        error in ArgumentError -> error.message =~ "here"
      end
    end
  end
end
