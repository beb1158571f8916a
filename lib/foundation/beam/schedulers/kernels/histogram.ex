defmodule Foundation.BEAM.Schedulers.Kernels.Histogram do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  alias Foundation.Options

  @most 65_536
  @where "Schedulers.cpu_intensive/3"

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      summary: "how many numbers lie in each bin, below, above, and how many are NaN",
      returns: "`%{counts: [n], below: n, above: n, nan: n}`, exact"
    }
  end

  @impl true
  def options do
    number = {:custom, "a number that a float can be", &__MODULE__.number?/1}

    [
      edges: [
        type:
          {:custom, "a list of 2 to 65537 numbers, each above the one before",
           &__MODULE__.edges?/1},
        doc: "Where bins begin. The last one ends the last bin, and is in it."
      ],
      bins: [
        type: {:integer, 1, @most},
        doc: "Instead of `:edges`: so many bins of the same width, with `:min` and `:max`."
      ],
      min: [type: number, doc: "Where the first bin begins."],
      max: [type: number, doc: "Where the last bin ends."]
    ]
  end

  @impl true
  def args(%{edges: nil, bins: bins, min: min, max: max} = options) do
    for name <- [:bins, :min, :max], options[name] == nil do
      invalid!("option #{inspect(name)}, or :edges, is required for :histogram")
    end

    if min >= max, do: invalid!("invalid option :max: expected more than :min", max)
    [bins: bins, min: min * 1.0, max: max * 1.0]
  end

  def args(%{edges: edges} = options) do
    for name <- [:bins, :min, :max], options[name] != nil do
      invalid!("invalid option #{inspect(name)}: expected none beside :edges", options[name])
    end

    # Integers of any size are compared as floats.
    [edges: for(edge <- edges, do: edge * 1.0)]
  end

  @doc "Whether these can be edges."
  @spec edges?(term()) :: boolean()
  def edges?([first | rest] = edges) do
    List.improper?(edges) == false and length(edges) in 2..(@most + 1) and number?(first) and
      rising?(rest, first)
  end

  def edges?(_other), do: false

  @doc "Whether it is a number, and not beyond floats."
  @spec number?(term()) :: boolean()
  def number?(number) do
    is_number(number) and is_float(number * 1.0)
  rescue
    ArithmeticError -> false
  end

  # Integers that are the same float are not apart.
  defp rising?([next | rest], before),
    do: number?(next) and next * 1.0 > before * 1.0 and rising?(rest, next)

  defp rising?([], _before), do: true

  @spec invalid!(String.t(), term()) :: no_return()
  defp invalid!(text, value), do: invalid!("#{text}, got: #{Options.given(value)}")

  @spec invalid!(String.t()) :: no_return()
  defp invalid!(text), do: raise(ArgumentError, "#{text} in #{@where}")
end
