defmodule Foundation.BEAM.Memory.Analysis do
  @moduledoc false

  # Where the bytes are: the VM's books, the allocators', this library's and the system's, and which
  # processes hold most. What is not known (a flag has turned it off, the system does not say) is
  # `nil`; what was not looked at is counted.

  alias Foundation.BEAM.Memory.{Advice, Allocators, Census, Origin, OS, Pressure, Ranking}
  alias Foundation.Options

  @schema Options.schema!(
            top: [
              type: {:integer, 1, 1_000},
              default: 10,
              doc: "Entries of `:top_processes` and of `:long_queues` at most."
            ],
            max_ms: [
              type: {:integer, 1, 60_000},
              default: 80,
              doc: "Milliseconds that looking at processes may take. What is left out is counted."
            ]
          )

  @about [:registered_name, :initial_call, :current_function, :message_queue_len]

  # Milliseconds for those that are shown, and for what takes under one.
  @details 10
  @books 100

  @doc "The options of an analysis."
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "The analysis; `native` is what this library holds."
  @spec run(map(), map()) :: map()
  def run(opts, native) do
    {memory, sizes} = books()
    ranking = Ranking.rank(Process.list(), opts.top, opts.max_ms)

    memory
    |> shares()
    |> Map.merge(tables())
    |> Map.merge(system())
    |> Map.merge(processes(ranking, opts.top, memory[:processes]))
    |> Map.merge(%{
      native_memory: native,
      allocators: Allocators.summary(sizes),
      binaries: Allocators.binaries(sizes)
    })
    |> advise()
  end

  @doc """
  The VM's books, what `:erlang.memory/0` and what the allocators return; empty lists where emulator
  flags have it keep none, or when a process that keeps its scheduler keeps it from answering:
  every scheduler has a share of both.
  """
  @spec books() :: {keyword(), [Allocators.sizes()]}
  def books do
    in_time(fn -> {memory(), Allocators.read()} end, {[], []})
  end

  @doc "What the system says, or nothing for the same reason: the VM's reservation is in its books."
  @spec reading() :: OS.reading()
  def reading, do: in_time(&OS.read/0, %{resident: nil, limits: [], source: :none})

  defp in_time(fun, otherwise) do
    case Census.map([self()], fn _pid -> fun.() end, patience: @books, deadline: @books) do
      {[{_pid, value}], []} -> value
      {[], _late} -> otherwise
    end
  end

  defp memory do
    :erlang.memory()
  rescue
    ErlangError -> []
  end

  defp shares(memory) do
    %{
      total_memory: memory[:total],
      process_memory: memory[:processes],
      atom_memory: memory[:atom],
      binary_memory: memory[:binary],
      code_memory: memory[:code],
      ets_memory: memory[:ets],
      process_memory_percentage: percentage(memory[:processes], memory[:total]),
      binary_memory_percentage: percentage(memory[:binary], memory[:total])
    }
  end

  defp percentage(nil, _total), do: nil
  defp percentage(bytes, total), do: bytes / total * 100

  defp tables do
    for name <- [:atom_count, :atom_limit, :process_count, :process_limit],
        into: %{},
        do: {name, :erlang.system_info(name)}
  end

  defp system do
    reading = reading()
    limits = reading.limits |> Enum.map(&fraction/1) |> Enum.sort_by(& &1.fraction, :desc)
    container = Enum.find(limits, &(&1.kind == :container))

    %{
      os: %{resident: reading.resident, container: container},
      limits: limits,
      pressure: pressure(reading)
    }
  end

  defp fraction(limit), do: Map.put(limit, :fraction, Pressure.tightest([limit]).fraction)

  @doc "The level that a reading stands for, with the thresholds' defaults."
  @spec pressure(OS.reading()) :: Pressure.level()
  def pressure(reading) do
    Pressure.level(Pressure.tightest(reading.limits).fraction, Pressure.schema().defaults)
  end

  # The structure of a process, its dictionary of monitors and links and messages in a long queue are
  # in no heap: they are in what nothing explains as well.
  defp processes(ranking, top, books) do
    entries = Enum.take(ranking.ranked, top)
    queues = Enum.take(ranking.long_queues, top)
    pids = Enum.uniq(Enum.map(entries, &elem(&1, 1)) ++ Enum.map(queues, &elem(&1, 1)))
    {about, _late} = Census.map(pids, &about/1, deadline: @details)
    about = Map.new(about)

    %{
      top_processes: for({bytes, pid, whole?} <- entries, do: entry(pid, bytes, whole?, about)),
      long_queues:
        for(
          {length, pid} <- queues,
          do: %{pid: pid, name: name(about[pid]), message_queue_len: length}
        ),
      skipped: %{
        unanswered: ranking.unanswered,
        old_generations: ranking.not_looked_at,
        queues: length(ranking.long_queues),
        unexplained_bytes: books && max(books - ranking.bytes, 0)
      }
    }
  end

  defp entry(pid, bytes, whole?, about) do
    info = about[pid]

    %{
      pid: pid,
      name: name(info),
      initial_call: info[:initial_call],
      current_function: info[:current_function],
      message_queue_len: info[:message_queue_len],
      heap_bytes: bytes,
      whole_heap: whole?
    }
  end

  defp about(pid) do
    case :erlang.process_info(pid, @about) do
      :undefined -> nil
      info -> Keyword.update!(info, :initial_call, &(Origin.started(pid) || &1))
    end
  end

  # Without a name it is an empty list.
  defp name(nil), do: nil
  defp name(info), do: if(info[:registered_name] == [], do: nil, else: info[:registered_name])

  defp advise(analysis) do
    Map.merge(analysis, %{
      recommendations: Advice.recommendations(analysis),
      advice: Advice.advice(analysis)
    })
  end
end
