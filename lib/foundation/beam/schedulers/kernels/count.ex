defmodule Foundation.BEAM.Schedulers.Kernels.Count do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :bytes,
      splits: :always,
      summary: "how often a pattern occurs, as `:binary.matches/2` finds it: without overlaps",
      returns: "an integer; of a list that of all its binaries together"
    }
  end

  @impl true
  def options do
    [
      pattern: [
        type: {:custom, "a binary of 1 to 65536 bytes", &__MODULE__.valid?/1},
        required: true,
        doc: "What is counted."
      ]
    ]
  end

  @doc "Whether it can be searched for."
  @spec valid?(term()) :: boolean()
  def valid?(pattern), do: is_binary(pattern) and byte_size(pattern) in 1..65_536
end
