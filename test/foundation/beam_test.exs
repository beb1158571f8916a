defmodule Foundation.BEAMTest do
  use ExUnit.Case, async: true
  doctest Foundation.BEAM
end
