# What the monitor of memory costs, and how soon it notices.
#
#     mix run bench/memory/monitor.exs
#
# The cost is CPU time of a VM of its own that does nothing else, as the kernel counts it for all of its
# threads: everything that it wakes is in it. It looks every 100 ms, so that there is enough to count; the
# share of a core is that of the default interval. Twice: as the VM is by default, and without the busy
# waiting of its threads, which is what remains where they have other work. Linux only.

Code.require_file("../support/bench.exs", __DIR__)

defmodule Bench.Memory.Monitor do
  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.{Monitor, OS, Pressure}

  @seconds 8
  @interval 100
  @default_interval 900
  # Of one core, in percent.
  @budget 0.1
  @rounds 6
  @bytes 500_000_000
  # A pattern of one byte would be laid down byte by byte.
  @piece :binary.copy(<<1>>, 1_000_000)
  @quiet [~c"+sbwt", ~c"none", ~c"+sbwtdcpu", ~c"none", ~c"+sbwtdio", ~c"none"]

  def run do
    IO.puts("CPU time of a VM that does nothing else, #{@seconds} s each")
    cost("by default", "", [])
    cost("without busy waiting", "_quiet", @quiet)
    reading()
    detection()
  end

  defp cost(title, suffix, flags) do
    {:ok, peer, _node} =
      :peer.start_link(%{
        connection: :standard_io,
        args: flags ++ Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
      })

    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:foundation])
    os_pid = peer |> :peer.call(:os, :getpid, []) |> to_string()
    idle = cpu(os_pid, fn -> Process.sleep(@seconds * 1_000) end)

    child = {Monitor, [interval: @interval]}
    {:ok, _} = :peer.call(peer, Supervisor, :start_child, [Foundation.Supervisor, child])
    busy = cpu(os_pid, fn -> Process.sleep(@seconds * 1_000) end)
    :peer.stop(peer)

    each = (busy - idle) / (@seconds * 1_000 / @interval)
    share = each / (@default_interval * 1_000_000) * 100

    IO.puts("  #{title}: #{Bench.duration(idle)} idle, #{Bench.duration(busy)} with a monitor")
    IO.puts("    a look                            #{Bench.duration(each)}")
    IO.puts("    of one core, every #{@default_interval} ms         #{Float.round(share, 4)} %")
    IO.puts("NS memory_monitor_look#{suffix} #{Float.round(each, 1)}")
    # Over 1 is within the budget.
    Bench.ratio("memory_monitor_budget_by_cost#{suffix}", @budget / share)
  end

  # Nanoseconds on a processor, of all threads.
  defp cpu(os_pid, fun) do
    before = cpu(os_pid)
    fun.()
    cpu(os_pid) - before
  end

  defp cpu(os_pid) do
    for file <- Path.wildcard("/proc/#{os_pid}/task/*/schedstat"), reduce: 0 do
      sum -> sum + (file |> File.read!() |> String.split() |> hd() |> String.to_integer())
    end
  end

  defp reading do
    {:ok, monitor} = Monitor.start_link(name: :bench_monitor)
    os = OS.open()

    times =
      Bench.compare("one process, wall time", [
        {"a reading from open files", fn -> OS.sample(os) end},
        {"pressure/1: opens, reads, closes", fn -> Memory.pressure() end},
        {"level/1 of a named monitor", fn -> Monitor.level(:bench_monitor) end},
        {"level/1 by pid", fn -> Monitor.level(monitor) end}
      ])

    OS.close(os)
    GenServer.stop(monitor)

    Bench.ratio(
      "memory_pressure_reopen_by_open_files",
      times["pressure/1: opens, reads, closes"] / times["a reading from open files"]
    )
  end

  # Against a limit of this process (`ulimit -d`): of the machine's memory others take and give back some
  # all the time.
  defp detection do
    [_, kilobytes] = Regex.run(~r/VmData:\s+(\d+)/, File.read!("/proc/self/status"))
    used = String.to_integer(kilobytes) * 1_024
    limit = used + 2 * @bytes
    {_, 0} = System.cmd("prlimit", ["--pid", System.pid(), "--data=#{limit}:unlimited"])
    {whole, after_it} = Enum.unzip(for _ <- 1..@rounds, do: detect(used))
    IO.puts("\na #{div(@bytes, 1_000_000)} MB binary, #{@rounds} rounds, ms until the message")
    IO.puts("  from the start of the allocation   #{inspect(Enum.sort(whole))}")
    IO.puts("  from its end                       #{inspect(Enum.sort(after_it))}")
    IO.puts("MS memory_monitor_detection #{Enum.max(whole)}")
    Bench.ratio("memory_monitor_second_by_detection", 1_000 / Enum.max(whole))
  end

  # The threshold is half of the allocation above what is used now; it may be crossed, and noticed,
  # before the last byte is there.
  defp detect(settled) do
    limit = settle(settled, 100)
    medium = limit.fraction + @bytes * 0.5 / limit.limit
    {:ok, monitor} = Monitor.start_link(name: nil, medium: medium, high: 1, hysteresis: 0)
    {:ok, :low} = Monitor.subscribe(monitor)

    # At another point of the interval each time.
    Process.sleep(:rand.uniform(@default_interval))
    began = now()
    {allocator, ref} = spawn_monitor(fn -> exit({:allocated, allocate()}) end)

    noticed =
      receive do
        {:foundation_memory_pressure, %{level: :medium, kind: :process}} -> now()
      end

    send(allocator, :done)
    GenServer.stop(monitor)

    receive do
      {:DOWN, ^ref, :process, _, {:allocated, ended}} ->
        {noticed - began, max(noticed - ended, 0)}
    end
  end

  # The VM keeps for a while what was freed, and would take that again.
  defp settle(settled, tries) when tries > 0 do
    limit = Pressure.tightest(OS.read().limits)

    if limit.kind == :process and limit.used < settled + @bytes / 4 do
      limit
    else
      Process.sleep(200)
      settle(settled, tries - 1)
    end
  end

  defp allocate do
    binary = :binary.copy(@piece, div(@bytes, byte_size(@piece)))
    ended = now()

    receive do
      :done when byte_size(binary) == @bytes -> ended
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end

Bench.Memory.Monitor.run()
