# What native jobs do to others: to a process that wants to run every millisecond, to short jobs beside
# long ones, and to whoever ends them; and what a slice costs.
#
#     mix run bench/schedulers.exs jobs

defmodule Bench.Schedulers.Jobs do
  alias Bench.Schedulers.{Lateness, Text}
  alias Foundation.BEAM.Schedulers

  @short 100
  @rounds 5
  @ends 100

  def run do
    # Each byte is searched for among 256 edges: about a second.
    long = {{:u8, :rand.bytes(100_000_000)}, :histogram, [edges: Enum.map(0..256, &(&1 * 1.0))]}
    ticker()
    together(long)
    one_by_one(long)
    endings(long)
    slices()
  end

  defp go({data, kernel, options}, more \\ []),
    do: Schedulers.cpu_intensive(data, {:native, kernel}, options ++ more)

  # Others

  # The machine's own turns make everybody late; what they are is seen beside Elixir work, which the VM
  # interrupts wherever it is.
  defp ticker do
    callers = 2 * System.schedulers_online()
    text = {Text.make(2_000_000), :words, []}
    numbers = {{:i64, :rand.bytes(8_000_000)}, :sort, []}
    Lateness.heading("#{callers} processes that work")
    Lateness.of("job_ticker_p99_idle", "nothing", 1, fn -> Process.sleep(10) end)

    elixir =
      Lateness.of("job_ticker_p99_elixir", "Elixir", callers, fn ->
        Enum.reduce(1..100_000, 1, &rem(&1 * &2 + 1, 1_000_003))
      end)

    words = Lateness.of("job_ticker_p99_words", "words", callers, fn -> go(text) end)
    sort = Lateness.of("job_ticker_p99_sort", "sort", callers, fn -> go(numbers) end)

    parallel =
      Lateness.of("job_ticker_p99_parallel", "sort, one, parallel: true", 1, fn ->
        go(numbers, parallel: true)
      end)

    Bench.ratio("job_ticker_elixir_by_native", elixir / Enum.max([words, sort, parallel]))
  end

  # The short ones start when the long ones do.
  defp together(long) do
    short = {{:i64, :rand.bytes(800_000)}, :sort, []}
    start(short, 10, [])

    {alone, beside} =
      Enum.unzip(
        for _ <- 1..@rounds, do: {start(short, @short, []), start(short, @short, [long, long])}
      )

    IO.puts("\n#{@short} short jobs at once, alone and with two long ones: mean, last")
    {alone_mean, alone_last} = middle(alone)
    {beside_mean, beside_last} = middle(beside)
    IO.puts("  alone   #{ms(alone_mean)}, #{ms(alone_last)}")
    IO.puts("  beside  #{ms(beside_mean)}, #{ms(beside_last)}")
    Bench.ratio("job_short_beside_long_mean", beside_mean / alone_mean)
    Bench.ratio("job_short_beside_long_last", beside_last / alone_last)
  end

  # Mean and greatest microseconds that the short ones took.
  defp start(short, count, longs) do
    handle = Schedulers.cancel_handle()
    long = for job <- longs, do: waiting(fn -> go(job, cancel: handle) end)
    tasks = for _ <- 1..count, do: waiting(fn -> go(short) end)
    for task <- long ++ tasks, do: send(task.pid, :go)
    times = for {micros, {:i64, _}} <- Task.await_many(tasks, :infinity), do: micros
    cancel!(long, handle)
    {Enum.sum(times) / count, Enum.max(times)}
  end

  defp waiting(fun) do
    Task.async(fn ->
      receive do: (:go -> :timer.tc(fun))
    end)
  end

  # That a long one was still at work is what the figures rest on.
  defp cancel!(tasks, handle) do
    Schedulers.cancel(handle)

    for {_micros, result} <- Task.await_many(tasks, :infinity),
        do: {:error, %{error_type: :cancelled}} = result
  end

  defp middle(rounds) do
    {means, lasts} = Enum.unzip(rounds)
    {Bench.median(means), Bench.median(lasts)}
  end

  # A short job has a third of the turns then.
  defp one_by_one(long) do
    short = {{:i64, :rand.bytes(800_000)}, :sort, []}
    handle = Schedulers.cancel_handle()
    alone = for _ <- 1..20, do: elem(:timer.tc(fn -> go(short) end), 0)

    tasks = for _ <- 1..2, do: waiting(fn -> go(long, cancel: handle) end)
    for task <- tasks, do: send(task.pid, :go)
    beside = for _ <- 1..20, do: elem(:timer.tc(fn -> go(short) end), 0)
    cancel!(tasks, handle)

    IO.puts("\none short job after the other, alone and beside two long ones")
    IO.puts("  #{ms(Bench.median(alone))}, #{ms(Bench.median(beside))}")
    Bench.ratio("job_single_beside_long", Bench.median(beside) / Bench.median(alone))
  end

  # Ends

  # From ending it until no dirty scheduler works, freeing included, as the VM's clocks say: a process
  # that is killed is gone before its native code is.
  defp endings(long) do
    sort = {{:i64, :rand.bytes(32_000_000)}, :sort, []}
    words = {Text.make(10_000_000), :words, []}
    :erlang.system_flag(:scheduler_wall_time, true)
    IO.puts("\nfrom ending a job until no dirty CPU scheduler works (median, most of #{@ends})")
    jobs = Stream.cycle([long, sort, words])
    ended("killed_caller", jobs, fn caller, _handle -> Process.exit(caller, :kill) end)
    ended("cancel", jobs, fn _caller, handle -> Schedulers.cancel(handle) end)
    :erlang.system_flag(:scheduler_wall_time, false)
  end

  defp ended(name, jobs, end_it) do
    times = for job <- Enum.take(jobs, @ends), do: ended_once(job, end_it)
    IO.puts("  #{name}: #{ms(Bench.median(times))}, #{ms(Enum.max(times))}")
    IO.puts("US job_end_#{name} #{Enum.max(times)}")
  end

  defp ended_once(job, end_it) do
    handle = Schedulers.cancel_handle()
    {caller, monitor} = spawn_monitor(fn -> go(job, cancel: handle) end)
    Process.sleep(:rand.uniform(20))
    began = now()
    end_it.(caller, handle)
    ended = quiet(dirty_time(), now())
    receive do: ({:DOWN, ^monitor, _, _, _} -> ended - began)
  end

  # The last time that it worked is before the first of two readings that are the same.
  defp quiet(time, at) do
    pause(100)
    later = now()

    case dirty_time() do
      ^time -> at
      time -> quiet(time, later)
    end
  end

  # No timer: these are of milliseconds.
  defp pause(micros), do: wait_until(now() + micros)
  defp wait_until(then), do: if(now() < then, do: wait_until(then))

  defp dirty_time do
    first = :erlang.system_info(:schedulers) + 1
    last = first + :erlang.system_info(:dirty_cpu_schedulers) - 1

    for {id, active, _total} <- :erlang.statistics(:scheduler_wall_time_all),
        id in first..last,
        reduce: 0,
        do: (sum -> sum + active)
  end

  defp now, do: System.monotonic_time(:microsecond)

  # Cost

  # The same bytes in pieces that are small enough to be worked on at once.
  defp slices do
    bytes = :rand.bytes(64_000_000)
    pieces = for n <- 0..1_279, do: {:u8, binary_part(bytes, n * 50_000, 50_000)}
    options = [bins: 256, min: 0.0, max: 256.0]
    owner = self()
    told = make_ref()

    go({{:u8, bytes}, :histogram, options},
      progress: fn _ -> send(owner, told) end,
      progress_interval: 0
    )

    times =
      Bench.compare(
        "a histogram of 64 MB",
        [
          {"a job", fn -> go({{:u8, bytes}, :histogram, options}) end},
          {"at once, in 1,280 pieces",
           fn -> Enum.each(pieces, &go({&1, :histogram, options})) end}
        ],
        rounds: 5
      )

    slices = count(told, 0)
    each = (times["a job"] - times["at once, in 1,280 pieces"]) / slices
    IO.puts("#{slices} slices, each costs #{Float.round(each / 1_000, 1)} us")
    Bench.ratio("job_pieces_by_slices", times["at once, in 1,280 pieces"] / times["a job"])
  end

  defp count(told, count) do
    receive do
      ^told -> count(told, count + 1)
    after
      0 -> count
    end
  end

  defp ms(micros), do: Bench.duration(micros * 1_000)
end
