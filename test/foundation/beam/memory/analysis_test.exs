defmodule Foundation.BEAM.Memory.AnalysisTest do
  use ExUnit.Case, async: false

  import Foundation.Eventually

  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.Pressure
  alias Foundation.BEAM.SharedTerm
  alias Foundation.Stuck

  @documented ~w(total_memory process_memory atom_memory binary_memory code_memory ets_memory
    process_memory_percentage binary_memory_percentage atom_count atom_limit process_count
    process_limit recommendations)a

  @more ~w(native_memory os limits pressure allocators binaries top_processes long_queues advice
    skipped)a

  defp holder(words) do
    to = self()

    start_supervised!(
      {Task,
       fn ->
         kept = Enum.to_list(1..div(words, 2))
         Process.register(self(), :memory_analysis_holder)
         send(to, :ready)

         receive do
           :never -> kept
         end
       end}
    )

    assert_receive :ready
    Process.whereis(:memory_analysis_holder)
  end

  test "every documented key, and no other than these" do
    analysis = Memory.analyze_memory_usage()
    assert analysis |> Map.keys() |> Enum.sort() == Enum.sort(@documented ++ @more)
  end

  # What time limits let it leave out is not looked for: the first that the machine did not hold up,
  # of those of half a minute.
  defp analyze(opts \\ []), do: analyze(opts, System.monotonic_time(:millisecond) + 30_000)

  defp analyze(opts, deadline) do
    analysis = Memory.analyze_memory_usage([max_ms: 5_000] ++ opts)

    if whole?(analysis) or System.monotonic_time(:millisecond) > deadline,
      do: analysis,
      else: analyze(opts, deadline)
  end

  defp whole?(analysis) do
    analysis.total_memory != nil and analysis.os.resident != nil and
      analysis.skipped.unanswered == 0 and analysis.skipped.old_generations == 0 and
      Enum.all?(analysis.top_processes, & &1.initial_call)
  end

  test "the documented figures are the VM's" do
    before = :erlang.memory(:total)
    analysis = analyze()
    memory = :erlang.memory()
    # What others left is freed at any moment.
    {least, most} = Enum.min_max([before, memory[:total]])
    assert analysis.total_memory >= 0.75 * least
    assert analysis.total_memory <= 1.25 * most
    assert analysis.code_memory == memory[:code] or analysis.code_memory > 1_000_000
    assert analysis.atom_limit == :erlang.system_info(:atom_limit)
    assert analysis.process_limit == :erlang.system_info(:process_limit)

    assert_in_delta analysis.process_memory_percentage,
                    analysis.process_memory / analysis.total_memory * 100,
                    1.0e-6

    assert_in_delta analysis.binary_memory_percentage,
                    analysis.binary_memory / analysis.total_memory * 100,
                    1.0e-6
  end

  test "the largest process, by what it is called" do
    pid = holder(4_000_000)
    analysis = analyze(top: 2)
    assert [first, _second] = analysis.top_processes
    assert %{pid: ^pid, name: :memory_analysis_holder, message_queue_len: 0} = first
    assert first.heap_bytes >= 32_000_000
    assert {_module, _function, _arity} = first.current_function
    assert {_module, _function, _arity} = first.initial_call
    assert analysis.skipped.unexplained_bytes < analysis.process_memory
  end

  test "what native code holds, what the system counts" do
    handle = SharedTerm.new(Enum.to_list(1..100_000))
    analysis = Memory.analyze_memory_usage()
    assert analysis.native_memory.shared_terms > 1_600_000
    assert Map.keys(analysis.native_memory) == Map.keys(Memory.native_memory())
    SharedTerm.release(handle)
  end

  test "limits, the fullest first, decide on the pressure" do
    analysis = analyze()
    fractions = Enum.map(analysis.limits, & &1.fraction)
    assert fractions == Enum.sort(fractions, :desc)
    # Of one reading: the next may lie on the other side of a threshold.
    %{fraction: fraction} = Pressure.tightest(analysis.limits)
    assert analysis.pressure == Pressure.level(fraction, %{medium: 0.75, high: 0.9})
    assert eventually?(fn -> Memory.analyze_memory_usage().pressure == Memory.pressure() end)

    if analysis.os.container,
      do: assert(analysis.os.container == Enum.find(analysis.limits, &(&1.kind == :container)))
  end

  test "a long queue is told by name and by advice" do
    pid = holder(10)
    for n <- 1..10_001, do: send(pid, n)
    analysis = analyze()

    assert %{pid: pid, name: :memory_analysis_holder, message_queue_len: 10_001} in analysis.long_queues

    assert analysis.skipped.queues >= 1
    assert Enum.any?(analysis.advice, &(&1.area == :message_queues and &1.message =~ "10001"))
  end

  test "much binary memory brings the documented sentence, in both forms" do
    kept = :binary.copy("x", :erlang.memory(:total) + 10_000_000)
    analysis = analyze()
    percent = trunc(analysis.binary_memory_percentage)
    sentence = "Binary memory high (#{percent}%) - consider binary optimization"
    assert sentence in analysis.recommendations

    assert %{area: :binaries, message: ^sentence} =
             Enum.find(analysis.advice, &(&1.area == :binaries))

    assert byte_size(kept) > 0
  end

  @tag :two_schedulers
  test "nobody waits for a process that does not answer" do
    analysis = Stuck.beside(fn _stuck -> Memory.analyze_memory_usage() end, 1_000)
    assert analysis.skipped.unanswered >= 1
  end

  test "leaves nothing in the mailbox" do
    Memory.analyze_memory_usage(max_ms: 1)
    refute_receive _anything, 50
  end

  test "refuses other options by name" do
    message = fn opts ->
      assert_raise(ArgumentError, fn -> Memory.analyze_memory_usage(opts) end).message
    end

    assert message.(top: 0) =~ "option :top in Memory.analyze_memory_usage/1"
    assert message.(max_ms: :infinity) =~ "option :max_ms"
    assert message.(bottom: 1) =~ "unknown option :bottom"
  end
end
