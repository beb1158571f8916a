defmodule Foundation.BEAM.Schedulers.Kernels.Variance do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      summary: "the variance",
      returns:
        "a float within 10^-12 of itself, while the squares of the distances from the mean have a " <>
          "sum in the range of floats"
    }
  end

  @impl true
  def options do
    [
      sample: [
        type: :boolean,
        default: false,
        doc: "Whether the data is a sample of what the variance is asked of: divides by n - 1."
      ]
    ]
  end
end
