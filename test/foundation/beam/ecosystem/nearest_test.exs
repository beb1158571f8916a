defmodule Foundation.BEAM.Ecosystem.NearestTest do
  # Who comes next in a ring, and what it costs to find out, in reductions: these do not depend on the
  # machine.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Ecosystem.{Changes, Config, Nearest, RingToken, Roster}

  # The table of a ring of that many workers, of which none is a process of its own.
  defp table(count) do
    {:ok, plan} = Config.new(coordinator: Agent, workers: {Agent, count: count}, topology: :ring)
    table = Roster.new(plan)
    for number <- 0..count, do: Roster.started(table, number, self(), Agent, 0)
    table
  end

  defp reductions(fun) do
    {:reductions, before} = Process.info(self(), :reductions)
    fun.()
    {:reductions, later} = Process.info(self(), :reductions)
    later - before
  end

  defp near(table, number), do: for({role, _pid} <- Nearest.near(table, number), do: role)

  test "it is oneself and the next that is up, after the last one the first" do
    table = table(4)
    assert near(table, 0) == [:coordinator, {:worker, 1}]
    assert near(table, 4) == [:coordinator, {:worker, 4}]
    Roster.down(table, 0, self())
    assert near(table, 4) == [{:worker, 1}, {:worker, 4}]
    assert near(table, 0) == [{:worker, 1}]
    for number <- [2, 3], do: Roster.forget(table, number, self())
    assert near(table, 1) == [{:worker, 1}, {:worker, 4}]
    for number <- [1, 4], do: Roster.down(table, number, self())
    assert near(table, 1) == []
  end

  test "it is the same where millions of workers have been added and removed" do
    table = table(3)
    Roster.put(table, :next, 2_000_000)
    assert near(table, 1) == [{:worker, 1}, {:worker, 2}]
    assert near(table, 3) == [:coordinator, {:worker, 3}]
    Roster.started(table, 1_500_000, self(), Agent, 0)
    assert near(table, 3) == [{:worker, 3}, {:worker, 1_500_000}]
    assert near(table, 1_500_000) == [:coordinator, {:worker, 1_500_000}]
    for number <- [0, 1, 2, 3], do: Roster.down(table, number, self())
    assert near(table, 3) == [{:worker, 1_500_000}]
    assert near(table, 1_500_000) == [{:worker, 1_500_000}]
  end

  test "numbers that are never used again cost nothing" do
    table = table(3)
    few = reductions(fn -> Nearest.near(table, 3) end)
    Roster.put(table, :next, 2_000_000)
    assert reductions(fn -> Nearest.near(table, 3) end) < few + 2_000
  end

  # As with a restart of all: each end is healed, and the holder may be the last to end.
  test "the ends of all members, one after the other, cost as much for each as those of few" do
    ends = fn count ->
      table = table(count)
      {:ok, _token} = RingToken.start(table, Changes.members(table), {:worker, count})

      reductions(fn ->
        for number <- 0..count do
          Roster.down(table, number, self())
          Changes.heal(table, [{Roster.role(number), self()}])
        end
      end) / count
    end

    assert ends.(2_000) < 3 * ends.(100)
  end
end
