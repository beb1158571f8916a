defmodule Foundation.EcosystemGuide do
  # The Elixir of the guide "Ecosystems", as `Foundation.CpuGuide` has that of another.
  @path "guides/ecosystems.md"
  @external_resource @path
  @moduledoc Foundation.Guide.session(@path)
end
