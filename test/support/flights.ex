defmodule Foundation.FlightProcesses do
  @moduledoc "Processes that compute, wait and are killed, for the tests of single flight."

  import ExUnit.Assertions

  alias Foundation.BEAM.SharedStore
  alias Foundation.BEAM.SharedStore.Coordinator

  @partitions Foundation.BEAM.SharedStore.Coordinator.Partitions

  defp coordinators,
    do: for({_, pid, _, _} <- PartitionSupervisor.which_children(@partitions), do: pid)

  @doc "Whether every flight, seat and monitor is gone from every coordinator."
  def nothing_left? do
    Enum.all?(coordinators(), fn pid ->
      :sys.get_state(pid) == %{flights: %{}, monitors: %{}, serving: %{}} and
        Process.info(pid, :monitors) == {:monitors, []}
    end)
  end

  @doc "The seats of the flight that its coordinator knows."
  def waiting(flight) do
    case :sys.get_state(Coordinator.whereis(flight)).flights do
      %{^flight => %{seats: seats}} -> map_size(seats)
      _none -> 0
    end
  end

  @doc "What a computation is known by."
  def flight(store, key), do: {id(store), key}
  defp id(store), do: with({:ok, %{id: id}} <- SharedStore.info(store), do: id)

  @doc "A process that asks for a value and tells what it got, and what its mailbox holds then."
  def asker(fun) do
    test = self()

    spawn_monitor(fn ->
      result = fun.()
      # Whatever is sent after the result has come by then: all who could send have answered.
      for pid <- coordinators(), do: :sys.get_state(pid)
      {:messages, messages} = Process.info(self(), :messages)
      send(test, {:result, self(), result, messages})
    end)
  end

  @doc "Several of them."
  def askers(count, fun), do: for(_ <- 1..count, do: asker(fun))

  @doc "What they got, each with an empty mailbox."
  def results(askers) do
    for {pid, monitor} <- askers do
      assert_receive {:result, ^pid, result, []}, 60_000
      assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, 60_000
      result
    end
  end

  @doc "A process that leads; it computes what it is told to: `{:compute, fun}`."
  def leader(store, key, opts \\ []) do
    test = self()

    started =
      spawn_monitor(fn ->
        result =
          try do
            SharedStore.get_or_store(store, key, fn -> obey(test) end, opts)
          catch
            kind, reason -> {:caught, kind, reason}
          end

        send(test, {:result, self(), result, []})
      end)

    {pid, _} = started
    assert_receive {:computing, ^pid}
    started
  end

  defp obey(test) do
    send(test, {:computing, self()})

    receive do
      {:compute, fun} -> fun.()
    end
  end
end
