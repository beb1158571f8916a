defmodule Foundation.BEAM.Schedulers.Keeper do
  @moduledoc false

  # The process that ends a job: when its time is over, when it is cancelled, when a worker dies and
  # when the caller does. It runs no code of the user's and holds no data, so it always answers.
  #
  # It is told of each process of the job by the caller, links itself to it, and tells it to begin:
  # one that died before is found dead. Such a process links itself as well, before anything else: if
  # the caller dies first, it ends by that link. Workers are killed, because the user's code may trap
  # exits.

  alias Foundation.BEAM.Schedulers.{Cancel, Ends}

  # `left` is how many processes have not ended yet; `children` has what is known of each: it runs,
  # has finished (sent all it has to send), or is gone. `later?` is whether it will register again.
  defstruct [:caller, :ends, :ref, :left, :reader, children: %{}, later?: false]

  # What a stream gets to clean up, once nobody reads it any more.
  @grace_ms 500
  # The registry of those who can be cancelled is restarted by its supervisor.
  @again_ms 10

  @doc "Of a job with so many processes. It waits for `{:job, ref}`."
  @spec start(pid(), pos_integer(), map()) :: pid()
  def start(caller, processes, options) do
    ends = Ends.new(options)
    spawn(fn -> init(caller, ends, processes) end)
  end

  @doc "Called by the caller for each process: one that works, or the one that reads a stream."
  @spec started(pid(), pid(), :worker | :reader) :: :ok
  def started(keeper, pid, role) do
    send(keeper, {:started, pid, role})
    :ok
  end

  @doc "Called in a process of the job: returns when it may begin."
  @spec join(pid()) :: :ok
  def join(keeper) do
    link(keeper)

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

  @doc "Called in a process that has sent the last it has to send."
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
        state = %__MODULE__{caller: caller, ends: ends, ref: ref, left: processes}
        state |> register() |> loop()

      {:DOWN, ^caller, _, _, _} ->
        :ok
    end
  end

  defp loop(%{left: 0}), do: :ok

  defp loop(%{caller: caller} = state) do
    receive do
      {:started, pid, role} -> state |> begin(pid, role) |> loop()
      {:finished, pid} -> state |> put(pid, :finished) |> loop()
      {:EXIT, pid, reason} -> state |> ended(pid, reason) |> loop()
      {:DOWN, ^caller, _, _, _} -> stop(state)
      {_alias, :cancelled} -> give_up(state, :cancelled)
      :register -> %{state | later?: false} |> register() |> loop()
      :stop -> state |> close() |> stop()
    after
      Ends.left_ms(state.ends) -> give_up(state, :timeout)
    end
  end

  defp begin(state, pid, role) do
    case state.children do
      %{^pid => {:gone, reason}} ->
        give_up(state, {:down, reason})

      _unknown ->
        # Of one that is dead this makes an exit signal.
        Process.link(pid)
        send(pid, {self(), :go})
        put(%{state | reader: if(role == :reader, do: pid, else: state.reader)}, pid, :running)
    end
  end

  # One that goes without having said so has not sent all of its results.
  defp ended(state, pid, reason) do
    gone = put(state, pid, {:gone, reason})

    case state.children do
      %{^pid => :running} -> give_up(gone, {:down, reason})
      %{^pid => :finished} -> %{gone | left: state.left - 1}
      # One that the caller has still to tell of, or the registry.
      _unknown -> register_later(gone)
    end
  end

  defp put(state, pid, what), do: %{state | children: Map.put(state.children, pid, what)}

  defp register(state) do
    Cancel.await(state.ends.cancel, :erlang.alias())
    state
  rescue
    _absent -> register_later(state)
  end

  # Once, however many signals tell that the registry is gone: each try makes another one. To be in
  # the registry twice does no harm.
  defp register_later(%{later?: true} = state), do: state

  defp register_later(state) do
    Process.send_after(self(), :register, @again_ms)
    %{state | later?: true}
  end

  defp give_up(state, verdict) do
    kill(state)
    send(state.ref, {state.ref, verdict})
    exit(:shutdown)
  end

  defp stop(state) do
    kill(state)
    exit(:shutdown)
  end

  # The stream is closed when nobody works any more, in the process that reads it.
  defp close(%{reader: reader} = state) do
    {read, work} = Map.split(state.children, [reader])
    kill(%{state | children: work})

    if read[reader] == :running do
      send(reader, {self(), :close})
      %{state | children: await(read, reader)}
    else
      %{state | children: read}
    end
  end

  defp await(children, reader) do
    receive do
      {:EXIT, ^reader, reason} -> %{children | reader => {:gone, reason}}
    after
      @grace_ms -> children
    end
  end

  defp kill(%{children: children}) do
    there = for {pid, what} <- children, what in [:running, :finished], do: pid
    Enum.each(there, &Process.exit(&1, :kill))

    Enum.each(there, fn pid ->
      receive do
        {:EXIT, ^pid, _} -> :ok
      end
    end)
  end
end
