defmodule Foundation.BEAM.Schedulers.Keeper do
  @moduledoc false

  # The process that ends a job: when its time is over, when it is cancelled, when a worker dies and
  # when the caller does. It runs no code of the user's and holds no data, so it always answers.
  #
  # A worker links itself, announces itself, and begins when it is told to. So the keeper knows all
  # that run the user's code, and those that it does not know yet die with it by their link. Workers
  # are killed, because the user's code may trap exits.

  alias Foundation.BEAM.Schedulers.{Cancel, Ends}

  defstruct [:caller, :ends, :ref, :left, running: MapSet.new(), finished: MapSet.new()]

  @doc "Of a job with so many processes. It waits for `{:job, ref}`."
  @spec start(pid(), pos_integer(), map()) :: pid()
  def start(caller, processes, options) do
    ends = Ends.new(options)
    spawn(fn -> init(caller, ends, processes) end)
  end

  @doc "Called in a worker: returns when it may begin."
  @spec announce(pid()) :: :ok
  def announce(keeper) do
    link(keeper)
    send(keeper, {:child, self()})

    receive do
      {^keeper, :go} -> :ok
    end
  end

  # The job may be over before all of its processes have begun.
  defp link(keeper) do
    Process.link(keeper)
  rescue
    _noproc in ErlangError -> exit(:shutdown)
  end

  @doc "Called in a worker that has sent its last result."
  @spec finished(pid()) :: :ok
  def finished(keeper) do
    send(keeper, {:finished, self()})
    :ok
  end

  defp init(caller, ends, processes) do
    Process.flag(:trap_exit, true)
    caller = Process.monitor(caller)

    receive do
      {:job, ref} ->
        Cancel.await(ends.cancel, :erlang.alias())
        loop(%__MODULE__{caller: caller, ends: ends, ref: ref, left: processes})

      {:DOWN, ^caller, _, _, _} ->
        :ok
    end
  end

  defp loop(%{left: 0}), do: :ok

  defp loop(%{caller: caller} = state) do
    receive do
      {:child, pid} ->
        send(pid, {self(), :go})
        loop(%{state | running: MapSet.put(state.running, pid)})

      {:finished, pid} ->
        loop(%{state | finished: MapSet.put(state.finished, pid)})

      {:EXIT, pid, reason} ->
        ended(state, pid, reason)

      {:DOWN, ^caller, _, _, _} ->
        stop(state)

      {_alias, :cancelled} ->
        stop(state, :cancelled)

      :stop ->
        stop(state)
    after
      Ends.left_ms(state.ends) -> stop(state, :timeout)
    end
  end

  # A worker that goes without having said so has not sent all of its results.
  defp ended(state, pid, reason) do
    running? = pid in state.running
    state = %{state | running: MapSet.delete(state.running, pid)}

    cond do
      not running? -> loop(state)
      pid in state.finished -> loop(%{state | left: state.left - 1})
      true -> stop(state, {:down, reason})
    end
  end

  defp stop(state, verdict) do
    kill(state.running)
    send(state.ref, {state.ref, verdict})
    exit(:shutdown)
  end

  defp stop(state) do
    kill(state.running)
    exit(:shutdown)
  end

  defp kill(running) do
    Enum.each(running, &Process.exit(&1, :kill))

    Enum.each(running, fn pid ->
      receive do
        {:EXIT, ^pid, _} -> :ok
      end
    end)
  end
end
