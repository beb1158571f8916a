defmodule Foundation.BEAM.Memory.AdviceTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Memory.Advice

  @calm %{
    process_memory_percentage: 60.0,
    binary_memory_percentage: 40.0,
    atom_count: 80,
    atom_limit: 100,
    process_count: 80,
    process_limit: 100,
    pressure: :low,
    limits: [%{kind: :machine, limit: 100, used: 10, fraction: 0.1}],
    allocators: %{total: %{carriers: 1_000, blocks: 10, fragmentation: 0.99}},
    long_queues: []
  }

  defp only(facts) do
    [advice] = Advice.advice(Map.merge(@calm, facts))
    advice
  end

  test "at the thresholds there is nothing to say" do
    assert Advice.advice(@calm) == []
    assert Advice.recommendations(@calm) == []
  end

  test "past them the documented sentences, word for word, in the documented order" do
    facts =
      Map.merge(@calm, %{
        process_memory_percentage: 61.9,
        binary_memory_percentage: 40.1,
        atom_count: 809,
        atom_limit: 1000
      })

    sentences = [
      "Process memory high (61%) - review process count and heap sizes",
      "Binary memory high (40%) - consider binary optimization",
      "Atom table usage high (80%) - review dynamic atom creation"
    ]

    assert Advice.recommendations(facts) == sentences
    assert Enum.map(Advice.advice(facts), & &1.message) == sentences
    assert Enum.map(Advice.advice(facts), & &1.area) == [:processes, :binaries, :atoms]
  end

  test "the thresholds are the documented ones" do
    assert Advice.thresholds() == %{atoms: 80, binaries: 40, processes: 60}
  end

  test "a share is as urgent as memory is scarce" do
    for {level, severity} <- [low: :info, medium: :warning, high: :critical] do
      facts = Map.merge(@calm, %{binary_memory_percentage: 50, pressure: level})
      assert [%{area: :binaries, severity: ^severity} | _] = Advice.advice(facts)
    end
  end

  test "the atom table is as urgent as it is full" do
    assert %{severity: :warning} = only(%{atom_count: 94})
    assert %{severity: :critical} = only(%{atom_count: 95})
  end

  test "pressure names the fullest limit, and is not among the documented sentences" do
    limits = [%{kind: :machine, fraction: 0.2}, %{kind: :container, fraction: 0.93}]
    facts = Map.merge(@calm, %{pressure: :high, limits: limits})
    assert [%{severity: :critical, area: :pressure, message: message}] = Advice.advice(facts)
    assert message == "Memory pressure high (93% of the limit of the container)"
    assert Advice.recommendations(facts) == []
  end

  test "the process table" do
    assert %{area: :process_table, severity: :warning} = only(%{process_count: 81})
    assert %{area: :process_table, severity: :critical} = only(%{process_count: 96})
  end

  test "each long queue" do
    advice = only(%{long_queues: [%{pid: self(), message_queue_len: 20_000}]})
    assert %{area: :message_queues, severity: :warning} = advice
    assert advice.message =~ "20000 messages wait for #{inspect(self())}"
  end

  test "what allocators keep, when it is much and a large part" do
    mib = 1_048_576
    total = fn carriers, blocks -> %{total: figures(carriers * mib, blocks * mib)} end
    assert %{area: :allocators} = advice = only(%{allocators: total.(200, 100)})
    assert advice.message =~ "100 MiB (50%)"
    assert Advice.advice(%{@calm | allocators: total.(100, 50)}) == []
    assert Advice.advice(%{@calm | allocators: total.(1_000, 700)}) == []
  end

  defp figures(carriers, blocks),
    do: %{carriers: carriers, blocks: blocks, fragmentation: 1 - blocks / carriers}

  test "what is not known is not judged" do
    facts = %{@calm | process_memory_percentage: nil, binary_memory_percentage: nil}
    assert Advice.advice(facts) == []
  end

  test "every advice has its four keys" do
    facts =
      Map.merge(@calm, %{
        process_memory_percentage: 70,
        atom_count: 99,
        process_count: 99,
        pressure: :medium,
        long_queues: [%{pid: self(), message_queue_len: 11_000}]
      })

    for advice <- Advice.advice(facts) do
      assert [:action, :area, :message, :severity] == advice |> Map.keys() |> Enum.sort()
    end
  end
end
