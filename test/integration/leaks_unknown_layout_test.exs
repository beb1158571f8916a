defmodule Foundation.LeaksUnknownLayoutTest do
  use ExUnit.Case, async: false

  @moduletag :integration

  # Where terms do not lie as the trial at load expects, nobody is looked into: lists are read by the
  # interface, what they prove counts, and a collection is measured.
  setup do: Foundation.UnknownLayout.start()

  test "a VM that is not recognised is searched without looking into processes", %{peer: peer} do
    text = """
    alias Foundation.BEAM.Memory
    alias Foundation.Keeper
    part = Keeper.start(fn -> Keeper.part(2_000_000) end)
    garbage = Keeper.start(fn -> nil end)
    Keeper.pass_through(garbage, 3, 1_000_000)
    seen = Memory.binary_leaks(pids: [part, garbage], look: false)
    asked = Memory.binary_leaks(pids: [part])
    freed = Memory.binary_leaks(pids: [part, garbage], collect: true)
    improper = try do
      Foundation.Native.leaks_list(elem(Foundation.Native.leaks_new(), 0), part, [{1, 2, 3} | 4], 0, 0)
    rescue
      ArgumentError -> :refused
    end
    {seen, asked, freed, improper}
    """

    {{seen, asked, freed, improper}, _binding} =
      :peer.call(peer, Code, :eval_string, [text], 30_000)

    assert %{looked_into: 0, searched: 2, held_bytes: 5_000_000, wasted_bytes: 0} = seen
    assert %{looked_into: 0, wasted_bytes: 0} = asked
    assert %{looked_into: 0, freed_bytes: 3_000_000} = freed
    assert improper == :refused
    :peer.stop(peer)
  end
end
