defmodule Foundation.KernelsUnknownLayoutTest do
  use ExUnit.Case, async: false

  @moduletag :integration

  # A VM that the trial at load does not recognise: lists are read by the interface alone.
  setup do: Foundation.UnknownLayout.start()

  test "kernels find there what they find here", %{peer: peer} do
    plain = String.duplicate("inside ", 1000)
    <<_::3, inside::binary-size(7000), _::5>> = <<1::3, plain::binary, 0::5>>
    small = 2 ** 59

    for call <- [
          [:sort, :list, [3, -small - 1, small, 2 ** 63 - 1, -(2 ** 63), 1]],
          [:sort, :list, Enum.map(1..100_000, &(rem(&1 * 7919, 100_003) / 7))],
          [:sum, :list, [1, 2.0]],
          [:sum, :list, [2 ** 63]],
          [:sum, :list, [1 | 2]],
          [:sum, :list, [1.0, :a]],
          [:words, :bytes, inside],
          [:xxh3_64, :many, ["a", inside, String.duplicate("b", 100)]],
          [:xxh3_64, :many, ["a", 1]]
        ] do
      here = apply(Foundation.KernelJobs, :run, call)
      assert :peer.call(peer, Foundation.KernelJobs, :run, call, 30_000) == here
      now = :peer.call(peer, Foundation.Native, :kernels_now, call ++ [[]], 30_000)
      assert now == :large or now == here
    end
  end
end
