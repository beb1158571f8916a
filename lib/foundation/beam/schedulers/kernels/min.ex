defmodule Foundation.BEAM.Schedulers.Kernels.Min do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  alias Foundation.BEAM.Schedulers.Kernels.Fold

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      auto: "integers",
      summary: "the least number; -0.0 is below 0.0",
      returns: "an integer, or of floats a float"
    }
  end

  @impl true
  def fold(list, acc, left), do: Fold.min(list, acc, left)
end
