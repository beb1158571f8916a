defmodule Foundation.BEAM.Schedulers.Utilization do
  @moduledoc false

  # Figures from the VM's own clocks: each scheduler counts the time that it works and the time that
  # passes, while some process asks for it. The VM counts the processes that ask, so a holder of our
  # own does, and nobody's asking or ceasing to ask disturbs another's. A holder, and not the caller:
  # what a process has switched on stays on until it ends, and the caller may have asked for itself.

  alias Foundation.Options

  @schema Options.schema!(
            sample_ms: [
              type: {:integer, 1, 0xFFFFFFFF},
              default: 100,
              doc: "Milliseconds that one sample covers, at least."
            ]
          )

  @type holder :: {pid(), reference()}

  # What the clocks say at one time.
  @type reading :: %{
          at: integer(),
          clocks: [{pos_integer(), non_neg_integer(), non_neg_integer()}]
        }

  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "One sample, which takes `sample_ms`."
  @spec sample(keyword()) :: Foundation.BEAM.Schedulers.utilization()
  def sample(opts) do
    %{sample_ms: ms} = Options.validate!(opts, @schema, "Schedulers.get_scheduler_utilization/1")

    holder = hold()

    try do
      from = read()
      Process.sleep(ms)
      figures(from, read(), queues())
    after
      # Also where reading raises: of a holder that was killed there is a message.
      release(holder)
    end
  end

  @doc "Samples without an end, each from where the one before ended."
  @spec stream(keyword()) :: Enumerable.t()
  def stream(opts) do
    %{sample_ms: ms} = Options.validate!(opts, @schema, "Schedulers.utilization_stream/1")

    Stream.resource(
      fn -> {hold(), read()} end,
      fn {holder, from} ->
        Process.sleep(rest(from.at, ms))
        to = read()
        {[figures(from, to, queues())], {holder, to}}
      end,
      fn {holder, _last} -> release(holder) end
    )
  end

  # Rounded up: a sample is never shorter than was asked for.
  defp rest(since, ms) do
    left = since + ms * 1_000 - System.monotonic_time(:microsecond)
    max(0, div(left + 999, 1_000))
  end

  @doc "The figures of the time between two readings."
  @spec figures(reading(), reading(), [non_neg_integer()]) ::
          Foundation.BEAM.Schedulers.utilization()
  def figures(from, to, queues) do
    %{normals: normals, online: online, cpus: cpus, ios: ios} = kinds(spent(from, to))
    kind = group(online)

    %{
      individual: kind.individual,
      average: kind.average,
      scheduler_count: length(online),
      weighted: weighted(normals ++ cpus),
      dirty_cpu: group(Enum.take(cpus, :erlang.system_info(:dirty_cpu_schedulers_online))),
      dirty_io: group(ios),
      run_queues: queues(queues, length(normals), length(online)),
      window_ms: (to.at - from.at) / 1_000
    }
  end

  # What each scheduler's two clocks went on by.
  defp spent(from, to) do
    before = Map.new(from.clocks, fn {id, active, total} -> {id, {active, total}} end)

    for {id, active, total} <- Enum.sort(to.clocks) do
      %{^id => {active_before, total_before}} = before
      {id, active - active_before, total - total_before}
    end
  end

  # The VM numbers the normal ones first, then dirty CPU, then dirty IO; of each kind those that are
  # online come first.
  defp kinds(spent) do
    {normals, dirty} = Enum.split(spent, :erlang.system_info(:schedulers))
    {cpus, ios} = Enum.split(dirty, :erlang.system_info(:dirty_cpu_schedulers))
    online = Enum.take(normals, :erlang.system_info(:schedulers_online))
    %{normals: normals, online: online, cpus: cpus, ios: ios}
  end

  defp group(spent) do
    individual = for {id, active, total} <- spent, do: {id, share(active, total)}
    sum = individual |> Enum.map(&elem(&1, 1)) |> Enum.sum()
    %{individual: individual, average: sum / max(1, length(individual))}
  end

  # The two clocks of a scheduler are not read at the same instant.
  defp share(_active, total) when total <= 0, do: 0.0
  defp share(active, total), do: (active / total) |> max(0.0) |> min(1.0)

  # The time that all of them worked, over the time that the machine's processors had.
  defp weighted(spent) do
    {active, total} =
      Enum.reduce(spent, {0, 0}, fn {_id, active, total}, {actives, totals} ->
        {actives + active, totals + total}
      end)

    if total > 0, do: active / total * length(spent) / processors(), else: 0.0
  end

  defp processors do
    Enum.find_value(
      [:logical_processors_available, :logical_processors, :schedulers_online],
      fn key ->
        count = :erlang.system_info(key)
        is_integer(count) && count
      end
    )
  end

  # One queue a scheduler, then one for all dirty CPU schedulers, one for all dirty IO schedulers.
  defp queues(lengths, normal, online) do
    {normals, [cpu, io]} = Enum.split(lengths, normal)
    individual = Enum.zip(1..online, normals)

    %{
      individual: individual,
      total: individual |> Enum.map(&elem(&1, 1)) |> Enum.sum(),
      dirty_cpu: cpu,
      dirty_io: io
    }
  end

  defp queues, do: :erlang.statistics(:run_queue_lengths_all)

  @doc "What the clocks say now; a holder must be there."
  @spec read() :: reading()
  def read do
    case :erlang.statistics(:scheduler_wall_time_all) do
      clocks when is_list(clocks) ->
        %{at: System.monotonic_time(:microsecond), clocks: clocks}

      :undefined ->
        raise "the process that kept the schedulers' clocks going has ended: " <>
                "it was killed, or the one that began the stream is gone"
    end
  end

  @doc "Keeps the clocks going until `release/1` or the end of the caller."
  @spec hold() :: holder()
  def hold do
    caller = self()
    {pid, ref} = spawn_monitor(fn -> holder(caller) end)
    send(pid, {:hold, ref})

    # Both messages carry the new reference: the receive looks at no older message.
    receive do
      {^ref, :held} -> {pid, ref}
      {:DOWN, ^ref, :process, _, reason} -> exit(reason)
    end
  end

  @doc "Ends what `hold/0` began."
  @spec release(holder()) :: :ok
  def release({pid, ref}) do
    Process.demonitor(ref, [:flush])
    send(pid, :release)
    :ok
  end

  defp holder(caller) do
    monitor = Process.monitor(caller)

    receive do
      {:hold, ref} ->
        :erlang.system_flag(:scheduler_wall_time, true)
        send(caller, {ref, :held})

        receive do
          :release -> :ok
          {:DOWN, ^monitor, :process, _, _} -> :ok
        end

      {:DOWN, ^monitor, :process, _, _} ->
        :ok
    end
  end
end
