defmodule Foundation.BEAM.Schedulers.Balance.Guard do
  @moduledoc false

  # Kills the workers of a caller that ends during its call. Their links alone would not do: the
  # user's function may trap exits, and then a worker lives on, in it or after it.
  #
  # The caller tells of a worker before it sends it work. So all that run the user's code are known
  # when the caller's end is: from one process to another, what was sent first comes first. The
  # others end by their link.

  @doc "Of the calling process, until `stop/1`."
  @spec start() :: pid()
  def start do
    caller = self()
    spawn(fn -> loop(Process.monitor(caller), []) end)
  end

  @doc "One more worker."
  @spec watch(pid(), pid()) :: :ok
  def watch(guard, worker) do
    send(guard, {:watch, worker})
    :ok
  end

  @doc "The call is at its end."
  @spec stop(pid()) :: :ok
  def stop(guard) do
    send(guard, :stop)
    :ok
  end

  defp loop(monitor, workers) do
    receive do
      {:watch, worker} -> loop(monitor, [worker | workers])
      :stop -> :ok
      {:DOWN, ^monitor, :process, _, _} -> Enum.each(workers, &Process.exit(&1, :kill))
    end
  end
end
