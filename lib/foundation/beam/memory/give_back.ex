defmodule Foundation.BEAM.Memory.GiveBack do
  @moduledoc false

  # Has the native allocator return what it keeps for reuse. Each thread keeps some: one call on a
  # dirty scheduler's returns what nobody's is, one on each normal scheduler's what that has. Those take
  # from a half to four milliseconds after a hundred megabytes were freed.

  alias Foundation.Native

  # A scheduler that a long native function keeps is not waited for any longer.
  @patience 100

  @doc "Returns what is kept; `false` where a scheduler was busy."
  @spec run() :: boolean()
  def run do
    :ok = Native.memory_collect()

    1..:erlang.system_info(:schedulers_online)
    |> Enum.map(&start/1)
    |> Enum.map(&await/1)
    |> Enum.all?()
  end

  # The flag is not in the documented types.
  @dialyzer {:nowarn_function, start: 1}
  defp start(scheduler) do
    spawn_monitor(fn ->
      :erlang.process_flag(:scheduler, scheduler)
      Native.memory_collect_here()
    end)
  end

  defp await({pid, monitor}) do
    receive do
      {:DOWN, ^monitor, :process, ^pid, reason} -> reason == :normal
    after
      @patience ->
        Process.demonitor(monitor, [:flush])
        Process.exit(pid, :kill)
        false
    end
  end
end
