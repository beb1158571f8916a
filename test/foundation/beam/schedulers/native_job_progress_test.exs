defmodule Foundation.BEAM.Schedulers.NativeJobProgressTest do
  # What native jobs tell on their way. Has the slots of this VM for itself.
  use ExUnit.Case

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Progress

  # Some hundred slices, on any machine.
  defp long do
    :rand.seed(:exsss, {1, 2, 3})
    block = for _ <- 1..10_000, into: <<>>, do: <<:rand.uniform()::float-native>>
    {:f64, :binary.copy(block, 300)}
  end

  defp sort(data, opts), do: Schedulers.cpu_intensive(data, {:native, :sort}, opts)

  test "whoever may take a while to be told has that while the job has no slot" do
    data = long()

    for {to, waits?} <- [{elsewhere(), true}, {self(), false}, {fn _ -> :ok end, true}] do
      assert Progress.waits?(Progress.new(to, 0, :unknown)) == waits?
      refute Progress.waits?(Progress.new(to, 3_600_000, :unknown))
      test = self()

      pid =
        spawn_link(fn ->
          receive do: (:go -> :ok)
          sort(data, progress: to, progress_interval: 0)
          send(test, {:sorted, self()})
        end)

      :erlang.trace(pid, true, [:send])
      send(pid, :go)
      assert_receive {:trace, ^pid, :send, {:sorted, ^pid}, _to}, 10_000
      # Once at the end in any case.
      assert dropped(pid) > 1 == waits?
    end
  end

  # A process of a node that there is not.
  defp elsewhere, do: :erlang.binary_to_term(<<131, 88, 119, 3, "a@b", 1::32, 1::32, 1::32>>)

  defp dropped(pid) do
    receive do
      {:trace, ^pid, :send, {:"$gen_cast", {:drop, _id}}, _to} -> 1 + dropped(pid)
      {:trace, ^pid, :send, _message, _to} -> dropped(pid)
    after
      0 -> 0
    end
  end
end
