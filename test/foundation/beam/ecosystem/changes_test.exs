defmodule Foundation.BEAM.Ecosystem.ChangesTest do
  # What is told of a coordinator while it is replaced by another.
  use ExUnit.Case, async: false

  alias Foundation.BEAM.Ecosystem.{Changes, Config, Roster}
  alias Foundation.Talker

  defp teller(table, told) do
    Changes.tell_who_began_before(table)
    :counters.add(told, 1, 1)
    teller(table, told)
  end

  # That it has begun and ended once more.
  defp again(told), do: until(told, :counters.get(told, 1) + 2)

  defp until(told, count), do: if(:counters.get(told, 1) < count, do: until(told, count))

  # Whom a worker is told of that has begun when that coordinator was there.
  defp heard(table, told, coordinator) do
    test = self()

    worker =
      spawn_link(fn ->
        receive do: (:end -> send(test, {:heard, Process.info(self(), :messages)}))
      end)

    :ets.insert(table, {0, coordinator, 0, 1, :up, Talker})
    :ets.insert(table, {1, worker, System.monotonic_time(), 0, :up, Talker})
    again(told)
    :ets.delete(table, 1)
    again(told)
    send(worker, :end)
    receive do: ({:heard, {:messages, messages}} -> Enum.uniq(messages))
  end

  # Without the order in which it reads the clock and the roster, it happens some times in ten thousand.
  @tag :two_schedulers
  @tag :capture_log
  test "a worker that has found the new one is not told of the one before" do
    {:ok, plan} = Config.new(%{coordinator: Talker, workers: {Talker, count: 1}})
    table = Roster.new(plan)
    told = :counters.new(1, [])
    coordinators = for _ <- 1..2, do: spawn_link(fn -> receive(do: (:never -> :ok)) end)
    {teller, monitor} = spawn_monitor(fn -> teller(table, told) end)

    for coordinator <- coordinators |> Stream.cycle() |> Enum.take(30_000),
        do: assert(heard(table, told, coordinator) in [[], [{:coordinator_changed, coordinator}]])

    # Before the table goes.
    Process.exit(teller, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^teller, :killed}
  end
end
