defmodule Foundation.BEAM.Schedulers.Kernels.Quantiles do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :never,
      summary: "quantiles, linear between two numbers (type 7, as NumPy has them)",
      returns: "a list of floats, in the order of `:q`"
    }
  end

  @impl true
  def options do
    [
      q: [
        type: {:custom, "a list of 1 to 1000 numbers from 0.0 to 1.0", &__MODULE__.valid?/1},
        required: true,
        doc: "Which quantiles: `[0.5]` is the median."
      ]
    ]
  end

  @doc "Whether these can be asked for."
  @spec valid?(term()) :: boolean()
  def valid?(q) do
    is_list(q) and List.improper?(q) == false and length(q) in 1..1000 and
      Enum.all?(q, &(is_number(&1) and &1 >= 0 and &1 <= 1))
  end
end
