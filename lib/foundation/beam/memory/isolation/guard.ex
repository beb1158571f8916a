defmodule Foundation.BEAM.Memory.Isolation.Guard do
  @moduledoc false

  # Ends the worker when the caller is gone, and when it refers to too many bytes of binaries:
  # `max_heap_size` does not see what lies outside the heap.
  #
  # The cheap figure is that of the garbage collector. It has garbage in it, and a binary that came by
  # several messages several times; so past the limit the worker is collected first (its own heap, that
  # nobody else waits for), then its binaries are listed, and each counts once. Binaries that are being
  # appended to are missing from that list on OTP 25 (otp#6573): what the collector counts beyond the
  # list is theirs.
  #
  # The VM may let a question wait while the worker is inside a native function. That delays this
  # process, and nobody else.

  @interval 10

  @type watch :: %{
          caller: pid(),
          verdict: :atomics.atomics_ref() | nil,
          max: pos_integer() | :infinity
        }

  @doc "Starts the guard of the calling process."
  @spec start(watch()) :: pid()
  def start(watch) do
    worker = self()
    spawn(fn -> init(worker, watch) end)
  end

  @doc "The bytes for which the guard has ended the work, `nil` if it has not."
  @spec verdict(:atomics.atomics_ref() | nil) :: pos_integer() | nil
  def verdict(nil), do: nil

  def verdict(atomics) do
    case :atomics.get(atomics, 1) do
      0 -> nil
      bytes -> bytes
    end
  end

  defp init(worker, watch) do
    Process.monitor(worker)
    Process.monitor(watch.caller)
    loop(worker, watch, if(watch.max == :infinity, do: :infinity, else: @interval))
  end

  defp loop(worker, watch, pause) do
    receive do
      {:DOWN, _, :process, ^worker, _} -> :ok
      {:DOWN, _, :process, _caller, _} -> Process.exit(worker, :kill)
    after
      pause -> look(worker, watch)
    end
  end

  defp look(worker, watch) do
    start = System.monotonic_time(:millisecond)

    with true <- counted(worker) > watch.max,
         :ok <- collect(worker),
         bytes when bytes > watch.max <- held(worker) do
      :atomics.put(watch.verdict, 1, bytes)
      Process.exit(worker, :kill)
    else
      # At most a tenth of the time is spent on looking.
      _within -> loop(worker, watch, pause(System.monotonic_time(:millisecond) - start))
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
