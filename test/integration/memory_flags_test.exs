defmodule Foundation.Integration.MemoryFlagsTest do
  use ExUnit.Case, async: true

  # VMs with emulator flags that take away what an analysis is made of.

  alias Foundation.BEAM.Memory

  defp vm(flags) do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    args = Enum.map(flags, &to_charlist/1) ++ paths
    options = %{connection: :standard_io, args: args, wait_boot: 60_000}
    {:ok, peer, _node} = :peer.start(options)
    on_exit(fn -> stop(peer) end)
    {:ok, _started} = call(peer, Application, :ensure_all_started, [:foundation])
    peer
  end

  defp stop(peer) do
    :peer.stop(peer)
  catch
    :exit, _stopped -> :ok
  end

  defp call(peer, module, function, args),
    do: :peer.call(peer, module, function, args, 30_000)

  test "without books of the VM the rest is there, and nothing is judged" do
    peer = vm(["+MBe", "false"])
    analysis = call(peer, Memory, :analyze_memory_usage, [])
    assert analysis.total_memory == nil
    assert analysis.process_memory_percentage == nil
    assert analysis.skipped.unexplained_bytes == nil
    assert analysis.binaries == %{normal: nil, dirty_and_other: nil}
    refute Map.has_key?(analysis.allocators, :binary_alloc)
    assert analysis.allocators.total.carriers > 0
    assert length(analysis.top_processes) == 10
    assert analysis.recommendations == []
  end

  test "without its own allocators" do
    peer = vm(["+Mea", "min"])
    analysis = call(peer, Memory, :analyze_memory_usage, [])
    assert analysis.total_memory == nil
    # What literals lie in cannot be turned off.
    assert Map.has_key?(analysis.allocators, :literal_alloc)
    for name <- [:eheap_alloc, :ets_alloc], do: refute(Map.has_key?(analysis.allocators, name))
    assert analysis.process_count > 10
  end

  test "every strategy works without books" do
    peer = vm(["+MBe", "false"])

    for strategy <- [:stores, :binaries, :collect, :automatic] do
      assert {:ok, report} = call(peer, Memory, :optimize_memory, [strategy])
      assert report.before.total == nil
      assert is_integer(report.freed_bytes)
    end
  end
end
