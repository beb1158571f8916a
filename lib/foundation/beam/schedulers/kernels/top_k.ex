defmodule Foundation.BEAM.Schedulers.Kernels.TopK do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :numbers,
      splits: :always,
      summary: "the `:k` greatest numbers, falling; all where there are fewer",
      returns: "a list, or packed numbers, as the data is"
    }
  end

  @impl true
  def options do
    [
      k: [
        type: {:integer, 1, 0x7FFF_FFFF_FFFF_FFFF},
        required: true,
        doc: "How many. For more than 4096 the data is sorted."
      ],
      order: [
        type: {:in, [:largest, :smallest]},
        default: :largest,
        doc: "`:smallest` finds the least numbers, rising."
      ]
    ]
  end
end
