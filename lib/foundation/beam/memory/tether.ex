defmodule Foundation.BEAM.Memory.Tether do
  @moduledoc false

  # Has a worker end with whom it works for. Not a link: a caller that traps exits would see it, and the
  # worker's end would be the caller's. Not the worker itself: it may be where it cannot receive.

  @doc "Kills the calling process when `caller` ends."
  @spec to(pid()) :: pid()
  def to(caller) do
    worker = self()

    spawn(fn ->
      {calling, working} = {Process.monitor(caller), Process.monitor(worker)}

      receive do
        {:DOWN, ^calling, :process, _pid, _reason} -> Process.exit(worker, :kill)
        {:DOWN, ^working, :process, _pid, _reason} -> :ok
      end
    end)
  end
end
