defmodule Foundation.MemoryBusyTest do
  # A scheduler that is inside one instruction for seconds: what is told of memory's pressure goes on.
  use ExUnit.Case, async: false

  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.Monitor
  alias Foundation.Stuck

  @moduletag :two_schedulers

  # One of ten: the machine may do something else in between.
  defp within?(limit, fun) do
    Enum.any?(1..10, fn _ ->
      {time, _result} = :timer.tc(fun)
      time < limit
    end)
  end

  test "the VM's own books wait for it" do
    stuck = Stuck.start!()
    {time, _} = :timer.tc(fn -> Memory.OS.mapped() end)
    refute Stuck.still?(stuck)
    assert time > 200_000
  end

  test "the pressure does not" do
    Memory.pressure()
    stuck = Stuck.start!()
    assert within?(100_000, &Memory.pressure/0)
    assert Stuck.still?(stuck), "the process came out before that was asked"
  end

  test "a monitor reads on" do
    monitor = start_supervised!({Monitor, name: nil, interval: 86_400_000})

    read = fn ->
      send(monitor, {:timeout, :sys.get_state(monitor).timer, :read})
      Monitor.info(monitor).readings
    end

    first = read.()
    stuck = Stuck.start!()
    # It reads the files, as the books do not answer in time.
    assert within?(300_000, fn -> assert read.() > first end)
    assert Stuck.still?(stuck), "the process came out before it was read"
  end
end
