defmodule Foundation.BEAM.Ecosystem.Apart do
  @moduledoc false

  # Runs a function in a process of its own, which nobody knows and nobody kills: what it has begun it brings
  # to its end, also where the caller is killed meanwhile.

  @doc "Its result. What goes wrong in it, goes wrong in the caller."
  @spec run((() -> result)) :: result when result: term()
  def run(fun) do
    {pid, monitor} = spawn_monitor(fn -> exit({__MODULE__, attempt(fun)}) end)

    receive do
      {:DOWN, ^monitor, :process, ^pid, {__MODULE__, {:ok, result}}} -> result
      {:DOWN, ^monitor, :process, ^pid, {__MODULE__, {error, stack}}} -> reraise(error, stack)
      {:DOWN, ^monitor, :process, ^pid, reason} -> exit(reason)
    end
  end

  defp attempt(fun) do
    {:ok, fun.()}
  rescue
    error -> {error, __STACKTRACE__}
  end
end
