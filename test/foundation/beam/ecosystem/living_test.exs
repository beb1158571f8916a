defmodule Foundation.BEAM.Ecosystem.LivingTest do
  use ExUnit.Case, async: false

  alias Foundation.BEAM.Ecosystem.Living

  defp living,
    do: start_supervised!({Task, fn -> receive(do: (:never -> :ok)) end}, id: make_ref())

  defp dead do
    {pid, monitor} = spawn_monitor(fn -> :ok end)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
    pid
  end

  test "one, dead or alive, and the process that asks" do
    for _ <- 1..100 do
      refute Living.living?(dead())
    end

    assert Living.living?(living())
    assert Living.living?(self())
    refute_received _anything
  end

  test "many, in their order, wherever the dead are" do
    [a, b, c] = for _ <- 1..3, do: living()
    [x, y] = for _ <- 1..2, do: dead()
    assert Living.of([]) == []
    assert Living.of([x, a, b, y, c]) == [a, b, c]
    assert Living.of([a, x, y]) == [a]
    assert Living.of([x, y]) == []
    assert Living.of([a, self(), a]) == [a, self(), a]
    refute_received _anything
  end

  @tag :two_schedulers
  test "a process inside one instruction is not waited for" do
    pid = Foundation.Stuck.start!()
    # Another signal to it, as those send who ask for its figures.
    spawn(fn -> Process.info(pid, :memory) end)
    assert Living.living?(pid)
    assert Foundation.Stuck.still?(pid)
  end
end
