defmodule Foundation.JanitorTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Eventually

  alias Foundation.BEAM.{Memory, SharedTerm}
  alias Foundation.{Janitor, Native, NativeBytes}

  # Copied on a dirty scheduler, for milliseconds.
  defp large, do: Map.new(1..50_000, &{&1, {&1, [a: &1]}})

  # The VM lets no process send that is killed while it is in a native function.
  test "a process that is killed as it wakes the janitor does not send it away" do
    term = large()
    first = NativeBytes.settle().shared_terms
    for round <- 1..20, do: kill_in_native_code(term, 100_000 - round * 1_000)

    # A process that is down may still be in its native function, and then has a copy to let go of.
    assert eventually?(fn -> NativeBytes.settle().shared_terms <= first end)
    before = held()

    janitor = Process.whereis(Janitor)
    :sys.suspend(janitor)
    on_exit(fn -> :sys.resume(janitor) end)
    SharedTerm.release(SharedTerm.new(term))
    # It waits for the janitor: nobody frees what is large where it is dropped.
    assert held() - before > 4_000_000
    :sys.resume(janitor)
    assert eventually?(fn -> held() <= before end)
  end

  # Each is planned earlier than all before it, so that the janitor is to be told.
  defp kill_in_native_code(term, ttl) do
    {pid, monitor} = spawn_monitor(fn -> freeze(term, ttl) end)
    until_in(pid, {Native, :shared_term_new_dirty, 4})
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}, 5_000
  end

  defp freeze(term, ttl) do
    SharedTerm.new(term, ttl: ttl)
    freeze(term, ttl - 40)
  end

  defp until_in(pid, function) do
    if Process.info(pid, :current_function) != {:current_function, function},
      do: until_in(pid, function)
  end

  defp held, do: Memory.native_memory().shared_terms
end
