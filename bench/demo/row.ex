# What the demo runs in a VM of its own, once for each row of its tables.

defmodule Demo.Way do
  # How each way sends (with everything that it does before), what a receiver does with its message,
  # and what is to be cleared away afterwards.
  alias Foundation.BEAM.Messages

  @table :demo

  def all, do: [:send, :ets, :documented, :adaptive]

  def name(:send), do: "send"
  def name(:ets), do: "ETS by hand"
  def name(policy), do: "send_optimized, #{policy}"

  # The strategy that send_optimized takes.
  def strategy(way, _term, _n, _reads) when way in [:send, :ets], do: nil

  def strategy(policy, term, n, reads) do
    Messages.strategy_for(term, policy: policy, reads: reads, receivers: n).strategy
  end

  # How many copies of the term the receivers hold.
  def copies(_way, _strategy, n, :whole), do: n
  def copies(:send, _strategy, n, :part), do: n
  def copies(:ets, _strategy, _n, :part), do: 0
  def copies(_policy, :ets_reference, _n, :part), do: 0
  def copies(_policy, _strategy, n, :part), do: n

  def send(:send, receivers, term, _reads), do: Enum.each(receivers, &Kernel.send(&1, term))

  def send(:ets, receivers, term, _reads) do
    :ets.new(@table, [:named_table, read_concurrency: true])
    :ets.insert(@table, {:term, term})
    Enum.each(receivers, &Kernel.send(&1, :term))
  end

  def send(policy, receivers, term, reads) do
    {:ok, _} = Messages.send_optimized(receivers, term, policy: policy, reads: reads)
  end

  def read(:send, term, :whole), do: term
  def read(:send, term, :part), do: entry(term)
  def read(:ets, key, :whole), do: :ets.lookup_element(@table, key, 2)

  # A pattern with the path in it copies nothing but the entry.
  def read(:ets, key, :part) do
    docs = {:_, :_, :_, :_, %{"en" => :"$1"}, :_, :_}
    [entry] = :ets.select(@table, [{{key, %{String => %{docs: docs}}}, [], [:"$1"]}])
    entry
  end

  def read(_policy, message, :whole), do: Messages.open!(message)
  def read(_policy, message, :part), do: Messages.read!(message, path())

  def clear(:ets, _message), do: :ets.delete(@table)
  def clear(_way, message), do: Messages.release(message)

  # The entry: the text that documents the module String.
  def path, do: [String, :docs, 4, "en"]

  def entry(term),
    do: term |> Map.fetch!(String) |> Map.fetch!(:docs) |> elem(4) |> Map.fetch!("en")
end

defmodule Demo.Memory do
  # The result of the function, and by how many bytes the resident memory of the operating system
  # process rose at most while it ran. The kernel keeps the peak: no sample can miss it.
  def peak(fun) do
    # 5 resets the peak. Where that is not allowed, the peak until now stands for the memory.
    _ = File.write("/proc/self/clear_refs", "5")
    before = resident_peak()
    result = fun.()
    {result, resident_peak() - before}
  end

  defp resident_peak do
    [_, kilobytes] = Regex.run(~r/VmHWM:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kilobytes) * 1024
  end
end

defmodule Demo.Row do
  alias Demo.{Memory, Way}

  # A row is measured so often, unless it takes long.
  @rounds 5
  @long_us 1_000_000

  # `file` holds the term, `words` is its size. It is decoded into a heap that has room for it: a
  # collection would leave memory behind that the row then uses unseen.
  def run(way, n, reads, file, words) do
    caller = self()
    options = [:link, min_heap_size: words + div(words, 4) + 10_000]

    sender = fn ->
      term = file |> File.read!() |> :erlang.binary_to_term()
      expected = if reads == :part, do: Way.entry(term), else: term
      # A literal: the receivers compare with it without a copy.
      :persistent_term.put(:demo_expected, expected)
      send(caller, {:row, rounds(way, n, reads, term, [])})
    end

    _ = :erlang.spawn_opt(sender, options)

    receive do
      {:row, row} -> row
    end
  end

  # The best round counts, since what else the machine does only adds to it.
  # Memory is that of the first round: it alone starts from a VM that has no memory to spare.
  defp rounds(way, n, reads, term, done) do
    done = [measure(way, n, reads, term) | done]

    if length(done) < @rounds and Enum.sum(Enum.map(done, & &1.read_us)) < @long_us do
      rounds(way, n, reads, term, done)
    else
      %{Enum.min_by(done, & &1.read_us) | bytes: List.last(done).bytes}
    end
  end

  defp measure(way, n, reads, term) do
    sender = self()
    reading = :atomics.new(1, [])
    receiver = fn -> receiver(way, reads, sender, reading, n) end
    receivers = for _ <- 1..n, do: spawn_link(receiver)
    each(receivers, :ready)

    {{sent, read}, peak} =
      Memory.peak(fn ->
        start = System.monotonic_time()
        Way.send(way, receivers, term, reads)
        sent = System.monotonic_time()

        receive do
          {:all_read, at} -> {us(sent - start), us(at - start)}
        end
      end)

    stop(way, receivers)
    %{sender_us: sent, read_us: read, bytes: peak}
  end

  # What has been read is kept until the peak has been taken. The last to read tells the time.
  defp receiver(way, reads, sender, reading, n) do
    send(sender, {:ready, self()})

    message =
      receive do
        message -> message
      end

    value = Way.read(way, message, reads)

    if :atomics.add_get(reading, 1, 1) == n do
      send(sender, {:all_read, System.monotonic_time()})
    end

    receive do
      :verify ->
        value == :persistent_term.get(:demo_expected) || exit(:read_something_else)
        send(sender, {:verified, self()})
    end

    receive do
      :clear -> Way.clear(way, message)
      :stop -> :ok
    end
  end

  # All have ended, and what was kept for them is gone, before the next round.
  defp stop(way, [first | rest] = receivers) do
    Enum.each(receivers, &send(&1, :verify))
    each(receivers, :verified)
    monitors = Enum.map(receivers, &Process.monitor/1)
    # The table is this process's; a reference is anybody's who has the message.
    if way == :ets, do: Way.clear(:ets, nil)
    send(first, if(way == :ets, do: :stop, else: :clear))
    Enum.each(rest, &send(&1, :stop))

    for monitor <- monitors do
      receive do
        {:DOWN, ^monitor, _, _, _} -> :ok
      end
    end
  end

  defp each(receivers, tag) do
    for pid <- receivers do
      receive do
        {^tag, ^pid} -> :ok
      end
    end
  end

  defp us(native), do: System.convert_time_unit(native, :native, :microsecond)
end
