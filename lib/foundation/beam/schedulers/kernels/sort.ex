defmodule Foundation.BEAM.Schedulers.Kernels.Sort do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      summary:
        "the numbers in order; floats in the total order of IEEE 754: -0.0 below 0.0, NaNs at " <>
          "the end that their sign says",
      returns: "a list, or packed numbers, as the data is"
    }
  end

  @impl true
  def options do
    [order: [type: {:in, [:asc, :desc]}, default: :asc, doc: "Rising or falling."]]
  end
end
