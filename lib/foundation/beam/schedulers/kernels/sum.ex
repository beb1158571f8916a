defmodule Foundation.BEAM.Schedulers.Kernels.Sum do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  alias Foundation.BEAM.Schedulers.Kernels.Fold

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      auto: "integers",
      summary: "the sum; of nothing 0",
      returns:
        "an integer, exact; of floats a float within 40 x 2^-53 of the sum of their magnitudes, " <>
          "while that is in the range of floats"
    }
  end

  @impl true
  def fold(list, acc, left) do
    with {:done, {_count, sum}} <- Fold.integers(list, acc, left), do: {:done, sum}
  end
end
