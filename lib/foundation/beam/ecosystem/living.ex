defmodule Foundation.BEAM.Ecosystem.Living do
  @moduledoc false

  # Which processes live, without waiting for any of them. `Process.alive?/1` waits for one that is inside
  # a native function and has been sent another signal before, as everybody does who asks for its
  # figures. A monitor of a process that is gone is answered at once, and of any other not at all.

  @doc "Those of the processes that have not ended, in their order."
  @spec of([pid()]) :: [pid()]
  def of([]), do: []

  def of(pids) do
    monitors = Enum.map(pids, &{&1, Process.monitor(&1)})
    # The VM keeps back what was sent last, to send it along with more to the same process.
    more = Process.monitor(List.last(pids))
    arrived()
    Process.demonitor(more, [:flush])
    # Who monitors itself does not.
    for {pid, monitor} <- monitors, still?(monitor) or pid == self(), do: pid
  end

  defp still?(monitor), do: Process.demonitor(monitor, [:flush, :info])

  @spec living?(pid()) :: boolean()
  def living?(pid), do: of([pid]) != []

  # What has been sent to this process before a message of its own is there when that is.
  defp arrived do
    mark = make_ref()
    send(self(), mark)

    receive do
      ^mark -> :ok
    end
  end
end
