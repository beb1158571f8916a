defmodule Foundation.BEAM.Schedulers.Kernels.Words do
  @moduledoc false

  @behaviour Foundation.BEAM.Schedulers.Kernel

  @impl true
  def about do
    %{
      takes: :bytes,
      splits: :always,
      pairs?: true,
      summary: "how often each word occurs; words are what `String.split/1` finds",
      returns: "`%{word => count}`; of a list that of all its binaries together"
    }
  end

  @impl true
  def options do
    [
      lowercase: [
        type: :boolean,
        default: false,
        doc: "Whether ASCII letters are made small before words are compared."
      ],
      max_words: [
        type: {:integer, 1, 0x1_0000_0000},
        default: 1_000_000,
        doc: "How many distinct words there may be. Each takes 40 to 90 bytes meanwhile."
      ]
    ]
  end
end
