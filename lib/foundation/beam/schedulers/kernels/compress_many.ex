defmodule Foundation.BEAM.Schedulers.Kernels.CompressMany do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :many,
      splits: :always,
      summary: "each binary compressed, as an LZ4 frame",
      returns: "a list of binaries, which `Foundation.BEAM.Compression` and `lz4` read"
    }
  end
end
