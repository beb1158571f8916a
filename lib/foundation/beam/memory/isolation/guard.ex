defmodule Foundation.BEAM.Memory.Isolation.Guard do
  @moduledoc false

  # Ends the worker when the caller is gone, and when it refers to too many bytes of binaries:
  # `max_heap_size` does not see what lies outside the heap. Tells the caller how the worker ended, by
  # its own exit reason.
  #
  # The cheap figure is that of the garbage collector. It has garbage in it, and a binary that came by
  # several messages several times; so past the limit the worker is collected first (its own heap, that
  # nobody else waits for), then its binaries are listed, and each counts once. Binaries that are being
  # appended to are missing from that list on OTP 25 (otp#6573): what the collector counts beyond the
  # list is theirs.
  #
  # The VM may let a question wait while the worker is inside a native function. That delays this
  # process, and nobody else.

  alias Foundation.BEAM.Memory.Isolation.Failure

  @interval 10

  @typedoc "How the worker ended. One that came to its end has told the caller before."
  @type ended :: :killed | {:binary_limit, pos_integer()} | {:failed, Foundation.Error.t()}

  @doc """
  Starts the guard of a worker that is still to come, see `guard/2`. Its exit reason is
  `{:isolated, ended}`, or another if somebody killed it.
  """
  @spec start(pos_integer() | :infinity) :: {pid(), reference()}
  def start(max) do
    # A limit on every heap (`+hmax`) is not meant for it.
    {_pid, _monitor} =
      :erlang.spawn_opt(__MODULE__, :init, [self(), max], [:monitor, max_heap_size: 0])
  end

  @doc "Gives the guard its worker, which waits for it in `await/1`."
  @spec guard(pid(), pid()) :: :ok
  def guard(guard, worker) do
    send(guard, {:worker, worker})
    :ok
  end

  @doc "Waits, in the worker, until it is guarded."
  @spec await(pid()) :: :ok
  def await(guard) do
    monitor = Process.monitor(guard)

    receive do
      ^guard -> Process.demonitor(monitor, [:flush])
      {:DOWN, ^monitor, :process, _, _} -> exit(:shutdown)
    end

    :ok
  end

  @doc false
  @spec init(pid(), pos_integer() | :infinity) :: no_return()
  def init(caller, max) do
    gone = Process.monitor(caller)

    receive do
      {:worker, worker} -> watch(worker, max)
      # What the caller has sent came before this.
      {:DOWN, ^gone, :process, _, _} -> exit(:shutdown)
    end
  end

  defp watch(worker, max) do
    Process.monitor(worker)
    # A pid needs no memory: the worker's heap grows as if nothing had come.
    send(worker, self())
    loop(worker, max, if(max == :infinity, do: :infinity, else: @interval))
  end

  defp loop(worker, max, pause) do
    receive do
      {:DOWN, _, :process, ^worker, reason} -> tell(ended(reason))
      {:DOWN, _, :process, _caller, _} -> Process.exit(worker, :kill)
    after
      pause -> look(worker, max)
    end
  end

  defp tell(ended), do: exit({:isolated, ended})

  # One that was gone before it could begin was killed, too.
  defp ended(reason) when reason in [:killed, :noproc], do: :killed
  defp ended(reason), do: {:failed, Failure.new(:exit, reason, [])}

  defp look(worker, max) do
    start = System.monotonic_time(:millisecond)

    with true <- counted(worker) > max,
         :ok <- collect(worker),
         bytes when bytes > max <- held(worker) do
      kill(worker, bytes)
    else
      # At most a tenth of the time is spent on looking.
      _within -> loop(worker, max, pause(System.monotonic_time(:millisecond) - start))
    end
  end

  # It may have ended by itself just before.
  @spec kill(pid(), pos_integer()) :: no_return()
  defp kill(worker, bytes) do
    Process.exit(worker, :kill)

    receive do
      {:DOWN, _, :process, ^worker, :killed} -> tell({:binary_limit, bytes})
      {:DOWN, _, :process, ^worker, reason} -> tell(ended(reason))
    end
  end

  defp pause(took), do: max(@interval, 9 * took)

  defp counted(worker) do
    case Process.info(worker, :garbage_collection_info) do
      {_, info} -> collector(info)
      nil -> 0
    end
  end

  defp collector(info),
    do: (info[:bin_vheap_size] + info[:bin_old_vheap_size]) * :erlang.system_info(:wordsize)

  # Either of the two ending is left for `loop/3` to see.
  defp collect(worker) do
    request = make_ref()
    :async = :erlang.garbage_collect(worker, async: request)

    receive do
      {:garbage_collect, ^request, _} -> :ok
      {:DOWN, _, _, _, _} = down -> send(self(), down)
    end
  end

  defp held(worker) do
    case Process.info(worker, [:binary, :garbage_collection_info]) do
      [binary: binaries, garbage_collection_info: info] ->
        listed = sum(binaries)
        once = binaries |> Enum.uniq_by(&elem(&1, 0)) |> sum()
        once + max(0, collector(info) - listed)

      nil ->
        0
    end
  end

  defp sum(binaries), do: Enum.reduce(binaries, 0, fn {_id, bytes, _refs}, sum -> sum + bytes end)
end
