defmodule Foundation.BEAM.Schedulers.Kernels.Mean do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  alias Foundation.BEAM.Schedulers.Kernels.Fold

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      auto: "integers",
      summary: "the arithmetic mean",
      returns:
        "a float within 2 units in the last place; of floats within 42 x 2^-53 of the mean of " <>
          "their magnitudes, while these have a sum in the range of floats"
    }
  end

  @impl true
  def fold(list, acc, left) do
    with {:done, {count, sum}} <- Fold.integers(list, acc, left), do: {:done, sum / count}
  rescue
    # The sum is beyond floats.
    ArithmeticError -> :native
  end
end
