defmodule Foundation.BEAM.Schedulers.Kernels.Mean do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  import Bitwise

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
    with {:done, {count, sum}} <- Fold.integers(list, acc, left), do: {:done, float(sum) / count}
  rescue
    # The sum is beyond floats.
    ArithmeticError -> :native
  end

  # The nearest float, of two that are as near the even one: that is what the native side divides.
  # The VM rounds so where an integer is one machine word; a longer one it adds up word by word, which
  # may end one float beside. Of that, 58 bits go in, the last of which stands for all that are left out.
  defp float(sum) when sum > -0x800_0000_0000_0000 and sum < 0x800_0000_0000_0000, do: sum * 1.0
  defp float(sum) when sum < 0, do: -float(-sum)

  defp float(sum) do
    out = bits(sum) - 58
    rest = if (sum &&& (1 <<< out) - 1) == 0, do: 0, else: 1
    (sum >>> out ||| rest) * :math.pow(2.0, out)
  end

  defp bits(sum) do
    <<first, rest::binary>> = :binary.encode_unsigned(sum)
    length(Integer.digits(first, 2)) + bit_size(rest)
  end
end
