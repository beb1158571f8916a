defmodule Foundation.BEAM.Ecosystem.StrategiesRunTest do
  # What members of a running ecosystem have of its strategies.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Eventually

  alias Foundation.BEAM.SharedStore
  alias Foundation.Members

  # The VM's own sizes of heaps, next to what was asked for.
  defp heap(words), do: elem(:erlang.process_info(spawn_with(words), :garbage_collection), 1)

  defp spawn_with(words) do
    pid = :erlang.spawn_opt(fn -> receive(do: (:end -> :ok)) end, min_heap_size: words)
    on_exit(fn -> send(pid, :end) end)
    pid
  end

  defp gc(pid), do: pid |> Process.info(:garbage_collection) |> elem(1)

  # A member that has not come to it in time has them later.
  defp swept?(pid, sweep), do: eventually?(fn -> gc(pid)[:fullsweep_after] == sweep end)

  defp both(ecosystem), do: {gc(ecosystem.coordinator), gc(hd(ecosystem.workers))}

  test "without any, members have what the VM gives" do
    {coordinator, worker} = both(Member.ecosystem!())
    plain = gc(spawn_with(233))
    assert coordinator == Keyword.replace(plain, :minor_gcs, coordinator[:minor_gcs])
    assert worker == Keyword.replace(plain, :minor_gcs, worker[:minor_gcs])
  end

  for {strategy, coordinator, worker, sweep} <- [
        {:isolated_heaps, 1000, 500, 10},
        {:low_latency, 2000, 2000, 20},
        {:frequent_gc, 100, 100, 5}
      ] do
    test "#{strategy} is in coordinator and workers, and in those that come back" do
      ecosystem =
        Member.ecosystem!(memory_strategy: unquote(strategy), fault_tolerance: :self_healing)

      kill(ecosystem, hd(ecosystem.workers))
      again = worker(ecosystem, 1)
      for pid <- [ecosystem.coordinator, again], do: assert(swept?(pid, unquote(sweep)))
      {coordinator, worker} = both(ecosystem |> Processes.current() |> elem(1))

      assert coordinator[:min_heap_size] == heap(unquote(coordinator))[:min_heap_size]
      assert worker[:min_heap_size] == heap(unquote(worker))[:min_heap_size]

      assert gc(again) |> Keyword.take([:min_heap_size, :fullsweep_after]) ==
               worker |> Keyword.take([:min_heap_size, :fullsweep_after])

      assert {coordinator[:fullsweep_after], worker[:fullsweep_after]} ==
               {unquote(sweep), unquote(sweep)}
    end
  end

  test "shared_binaries sets the binary heap" do
    {coordinator, worker} = both(Member.ecosystem!(memory_strategy: :shared_binaries))
    assert coordinator[:min_bin_vheap_size] >= 46_368
    assert worker[:min_bin_vheap_size] >= 46_368
  end

  test "the GC strategy counts, whatever the memory strategy says" do
    strategies = [memory_strategy: :frequent_gc, gc_strategy: :frequent_minor]
    ecosystem = Member.ecosystem!(strategies)
    assert swept?(hd(ecosystem.workers), 10)

    strategies = [memory_strategy: :frequent_gc, gc_strategy: :standard]
    ecosystem = Member.ecosystem!(strategies)
    assert swept?(hd(ecosystem.workers), gc(self())[:fullsweep_after])
  end

  test "start_link/2 gets them where the member says so, added workers too" do
    ecosystem =
      Member.ecosystem!(
        coordinator: {Members.Server, spawn_opt: true},
        workers: {Members.Server, spawn_opt: true, count: 1},
        memory_strategy: :low_latency
      )

    {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Members.Server, spawn_opt: true)

    for pid <- [ecosystem.coordinator, added | ecosystem.workers] do
      assert gc(pid)[:min_heap_size] == heap(2000)[:min_heap_size]
      refute Keyword.has_key?(GenServer.call(pid, :state), :spawn_opt)
    end
  end

  test "a module that does not take them is a fault, or an error of the caller's" do
    assert {:error, error} = Member.ecosystem(coordinator: {Member, spawn_opt: true})
    assert [%{key: :coordinator, message: message}] = error.context.faults
    assert message =~ "start_link/2"
    assert {:error, error} = Member.ecosystem(workers: {Member, spawn_opt: :yes})
    assert error.message =~ "expected true or false, got: :yes"

    ecosystem = Member.ecosystem!()

    assert_raise ArgumentError, ~r"start_link/2", fn ->
      EcosystemSupervisor.add_worker(ecosystem, Member, spawn_opt: true)
    end
  end

  test "where they cannot be set, the log says it once, and members run without" do
    log =
      capture_log(fn ->
        ecosystem =
          Member.ecosystem!(
            workers: {Members.Plain, count: 5, test: self()},
            memory_strategy: :low_latency
          )

        assert gc(hd(ecosystem.workers))[:min_heap_size] == gc(self())[:min_heap_size]
        refute_received {:got, _pid, _message}
      end)

    assert log |> String.split("run without the spawn options") |> length() == 2
  end

  describe "shared_heap" do
    test "gives members one store, which ends with the ecosystem" do
      ecosystem = Member.ecosystem!([memory_strategy: :shared_heap, count: 2], test: self())
      assert {:ok, store} = Processes.share(ecosystem, %{1 => :one, :map => %{a: [1, 2]}})
      assert {:ok, ^store} = Processes.share(ecosystem.id, [])
      drop_ups(3)

      for pid <- [ecosystem.coordinator | ecosystem.workers],
          do: assert(GenServer.call(pid, :opts)[:shared_store] == store)

      assert SharedStore.fetch_in(store, :map, [:a, 1]) == {:ok, 2}
      assert :ok = Processes.shutdown_ecosystem(ecosystem)
      assert type(SharedStore.fetch(store, 1)) == :noproc
    end

    test "comes with workers that are added or come back" do
      ecosystem = Member.ecosystem!(memory_strategy: :shared_heap, fault_tolerance: :self_healing)

      {:ok, store} = Processes.share(ecosystem, %{})
      kill(ecosystem, hd(ecosystem.workers))
      {:ok, added} = EcosystemSupervisor.add_worker(ecosystem, Member, test: self())

      for pid <- [worker(ecosystem, 1), added],
          do: assert(GenServer.call(pid, :opts)[:shared_store] == store)
    end

    test "alone gives one" do
      ecosystem = Member.ecosystem!()
      assert type(Processes.share(ecosystem, %{a: 1})) == :not_shared
      refute Keyword.has_key?(GenServer.call(ecosystem.coordinator, :opts), :shared_store)
    end
  end
end
