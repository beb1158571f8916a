defmodule Foundation.CpuGuide do
  # The Elixir of the guide "CPU work on the BEAM" as documentation of this module, so that a doctest
  # can run it.
  @path "guides/cpu-work-on-the-beam.md"
  @external_resource @path
  @moduledoc Foundation.Guide.session(@path)
end
