defmodule Foundation.BEAM.Schedulers.TurnsTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Turns

  # How often a process that works through 200 chunks leaves its scheduler between them.
  defp yields(work) do
    test = self()

    pid =
      spawn_link(fn ->
        receive do:
                  (:begin -> Schedulers.cpu_intensive(Enum.to_list(1..200), work, chunk_size: 1))

        send(test, :done)
        receive do: (:never -> :ok)
      end)

    :erlang.trace(pid, true, [:running])
    send(pid, :begin)
    assert_receive :done
    delivered = :erlang.trace_delivered(pid)
    assert_receive {:trace_delivered, ^pid, ^delivered}
    {:messages, messages} = Process.info(self(), :messages)
    Enum.count(messages, &match?({:trace, ^pid, :out, {Turns, _, _}}, &1))
  end

  test "others run after every chunk that costs the limit, and seldom after cheap ones" do
    assert yields(fn [n] -> Enum.reduce(1..2_000, n, &(&1 + &2)) end) >= 200
    assert yields(fn [n] -> n + 1 end) < 20
  end
end
