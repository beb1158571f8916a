defmodule Foundation.BEAM.Memory.OptimizerTest do
  use ExUnit.Case, async: false

  import Foundation.Eventually

  alias Foundation.BEAM
  alias Foundation.BEAM.{Memory, SharedStore, SharedTerm}
  alias Foundation.BEAM.Memory.Optimizer
  alias Foundation.{Janitor, NativeBytes}

  # Nobody else frees what waits or has expired.
  defp without_janitor do
    :ok = :sys.suspend(Janitor)
    on_exit(fn -> :sys.resume(Janitor) end)
  end

  defp await_expiry(store, key) do
    case SharedStore.fetch(store, key) do
      {:ok, _value} -> await_expiry(store, key)
      _gone -> :ok
    end
  end

  describe ":stores" do
    test "frees what has expired and what was released, and says how much" do
      without_janitor()
      NativeBytes.settle()
      store = SharedStore.new()
      for n <- 1..50_000, do: :ok = SharedStore.put(store, n, {n, "value", [n]}, ttl: 1)
      :ok = SharedStore.put(store, :stays, 1)
      await_expiry(store, 50_000)
      SharedTerm.release(SharedTerm.new(Map.new(1..50_000, &{&1, {&1, [a: &1]}})))
      before = Memory.native_memory().total

      assert {:ok, %{steps: [step]} = report} = Memory.optimize_memory(:stores)
      freed = before - Memory.native_memory().total
      assert step.step == :stores
      # A scheduler may be held up for longer than it is waited for: then the next call is.
      assert step.complete? or eventually?(&stores_complete?/0)
      assert step.freed_bytes > 8_000_000
      assert_in_delta step.freed_bytes, freed, 10_000
      assert report.freed_bytes == step.freed_bytes
      assert report.before.native - report.after.native > 8_000_000
      assert SharedStore.fetch(store, :stays) == {:ok, 1}
      SharedStore.close(store)
    end

    defp stores_complete? do
      {:ok, %{steps: [step]}} = Memory.optimize_memory(:stores)
      step.complete?
    end

    test "with nothing to free nothing is freed" do
      NativeBytes.settle()
      assert {:ok, %{steps: [step]}} = Memory.optimize_memory(:stores)
      assert_in_delta step.freed_bytes, 0, 10_000
    end
  end

  # Time enough for each process, and for all.
  @patient [max_ms: 60_000, timeout: 30_000]

  # The VM's books are in the report where no scheduler kept them from answering in time.
  defp with_books(reports), do: Enum.find(reports, &(&1.before.total && &1.after.total))

  test ":binaries collects who keeps binaries that it has dropped" do
    assert with_books(Stream.repeatedly(&drop_binaries/0) |> Stream.take(5))
  end

  defp drop_binaries do
    to = self()

    pid =
      spawn_link(fn ->
        total =
          Enum.reduce(1..10, 0, fn n, sum -> sum + byte_size(:binary.copy(<<n>>, 5_000_000)) end)

        send(to, {self(), total})
        receive(do: (:end -> :ok))
      end)

    assert_receive {^pid, 50_000_000}, 30_000
    assert {:ok, %{steps: [step]} = report} = Memory.optimize_memory(:binaries, @patient)
    assert %{step: :binaries, searched: searched} = step
    assert searched > 10
    assert {:binary, kept} = Process.info(pid, :binary)
    assert Enum.sum(for({_, size, _} <- kept, do: size)) < 5_000_000
    assert step.freed_bytes >= 5_000_000

    # What one scheduler frees of another's, that one takes out of its books when it gets to it; what
    # others hold may have become more.
    less? = fn -> report.before.binary - :erlang.memory(:binary) >= 4_000_000 end
    assert report.before.binary == nil or eventually?(less?)
    report
  end

  test ":collect says what it gave back" do
    assert report = with_books(Stream.repeatedly(&collect/0) |> Stream.take(5))
    assert report.before.processes - report.after.processes > 20_000_000
  end

  defp collect do
    to = self()

    pid =
      spawn_link(fn ->
        send(to, {self(), length(Enum.to_list(1..5_000_000))})
        receive(do: (:end -> :ok))
      end)

    assert_receive {^pid, 5_000_000}, 30_000

    assert {:ok, %{steps: [step]} = report} =
             Memory.optimize_memory(:collect, [min_bytes: 20_000_000] ++ @patient)

    assert %{step: :collect, collected: collected} = step
    assert collected >= 1
    assert step.freed_bytes > 20_000_000
    assert step.duration_us <= report.duration_us
    report
  end

  test "the more memory is wanted, the more is done for it" do
    assert Optimizer.plan(:automatic, :low) == [:stores]
    assert Optimizer.plan(:automatic, :medium) == [:stores, :binaries]
    assert Optimizer.plan(:automatic, :high) == [:stores, :binaries, :collect]
    assert Optimizer.plan(:collect, :low) == [:collect]
  end

  test "without a strategy the pressure decides, and the facade does the same" do
    assert {:ok, report} = Memory.optimize_memory()
    assert report.strategy == :automatic
    assert Enum.map(report.steps, & &1.step) == Optimizer.plan(:automatic, report.pressure)
    assert report.freed_bytes == report.steps |> Enum.map(& &1.freed_bytes) |> Enum.sum()
    assert {:ok, %{strategy: :automatic}} = BEAM.optimize_memory()
    assert {:ok, %{strategy: :stores}} = BEAM.optimize_memory(:stores, max_ms: 10)
  end

  test "refuses other strategies and options by name" do
    message = fn strategy, opts ->
      assert_raise(ArgumentError, fn -> Memory.optimize_memory(strategy, opts) end).message
    end

    assert message.(:all, []) ==
             "invalid strategy in Memory.optimize_memory/2: " <>
               "expected one of :automatic, :collect, :binaries, :stores, got: :all"

    assert message.(:stores, max_ms: 0) =~ "option :max_ms in Memory.optimize_memory/2"
    assert message.(:stores, limit: 1) =~ "unknown option :limit"
  end
end
