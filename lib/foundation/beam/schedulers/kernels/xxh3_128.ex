defmodule Foundation.BEAM.Schedulers.Kernels.Xxh3128 do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :bytes,
      splits: :many,
      summary: "the XXH3 hash of 128 bits, which is not cryptographic",
      returns: "an integer; of a list a list, one hash for each binary"
    }
  end

  @impl true
  defdelegate options, to: Foundation.BEAM.Schedulers.Kernels.Xxh364
end
