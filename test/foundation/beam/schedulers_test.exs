defmodule Foundation.BEAM.SchedulersTest do
  use ExUnit.Case, async: false

  doctest Foundation.BEAM.Schedulers
end
