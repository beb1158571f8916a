defmodule Foundation.BEAM.Memory.Optimizer do
  @moduledoc false

  # Gives memory back in steps, each of which says what it gave, measured before and after. What the
  # rest of the system takes or frees meanwhile is in the figures of the whole, not in a step's.

  alias Foundation.BEAM.Memory.{Analysis, Collector, GiveBack, Leaks, Pressure}
  alias Foundation.{Native, Options}

  @strategies [:automatic, :collect, :binaries, :stores]

  @schema Options.schema!(
            max_ms: [
              type: {:integer, 1, 600_000},
              default: 2_000,
              doc:
                "Milliseconds for all steps together. The process that is being collected then may take " <>
                  "its `timeout` more."
            ],
            max_processes: [
              type: :pos_integer,
              default: 1_000,
              doc: "Processes that `:collect` collects at most."
            ],
            min_bytes: [
              type: :pos_integer,
              default: 262_144,
              doc: "Bytes of heap from which on `:collect` finds a process worth it."
            ],
            timeout: [
              type: {:integer, 1, 60_000},
              default: 100,
              doc:
                "Milliseconds that `:collect` waits for one process. Its collection goes on without."
            ],
            pause: [
              type: {:integer, 0, 60_000},
              default: 1,
              doc: "Milliseconds between slices of 16 processes."
            ]
          )

  @doc "The options."
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "The strategy, or raises."
  @spec strategy!(term(), String.t()) :: atom()
  def strategy!(strategy, _where) when strategy in @strategies, do: strategy

  def strategy!(other, where) do
    expected = Enum.map_join(@strategies, ", ", &inspect/1)

    raise ArgumentError,
          "invalid strategy in #{where}: expected one of #{expected}, got: #{Options.given(other)}"
  end

  @spec run(atom(), map()) :: map()
  def run(strategy, opts) do
    start = now(:microsecond)
    until = now(:millisecond) + opts.max_ms
    {before, pressure} = figures()
    steps = strategy |> plan(pressure) |> Enum.map(&timed(&1, opts, until))
    {later, _pressure} = figures()

    %{
      strategy: strategy,
      pressure: pressure,
      steps: steps,
      freed_bytes: steps |> Enum.map(& &1.freed_bytes) |> Enum.sum(),
      before: before,
      after: later,
      duration_us: now(:microsecond) - start
    }
  end

  @doc "The steps: what costs least first, and the more memory is wanted the more of them."
  @spec plan(atom(), Pressure.level()) :: [atom()]
  def plan(:automatic, :low), do: [:stores]
  def plan(:automatic, :medium), do: [:stores, :binaries]
  def plan(:automatic, :high), do: [:stores, :binaries, :collect]
  def plan(strategy, _pressure), do: [strategy]

  defp timed(step, opts, until) do
    start = now(:microsecond)
    left = max(until - now(:millisecond), 1)
    done = step(step, %{opts | max_ms: left})
    Map.merge(done, %{step: step, duration_us: now(:microsecond) - start})
  end

  defp step(:collect, opts), do: Collector.run(opts)

  defp step(:binaries, opts) do
    report = Leaks.search(%{collect: true, look: false, timeout: opts.max_ms})
    Map.take(report, [:freed_bytes, :wasted_bytes, :searched, :skipped, :complete?])
  end

  defp step(:stores, opts) do
    {held, {reading, _}} = {held(), system()}
    idle? = free(now(:millisecond) + opts.max_ms)
    returned? = GiveBack.run()
    {later, _} = system()

    %{
      freed_bytes: held - held(),
      returned_bytes: reading && later && reading - later,
      complete?: idle? and returned?
    }
  end

  # Entries that have expired, shared terms, and what was released and waits: in the same steps that
  # the janitor takes, beside it.
  defp free(until) do
    steps = [Native.janitor_step(), Native.janitor_expire()]

    cond do
      :more not in steps -> true
      now(:millisecond) >= until -> false
      true -> free(until)
    end
  end

  defp figures do
    {memory, _sizes} = Analysis.books()
    {resident, pressure} = system()

    figures = %{
      total: memory[:total],
      processes: memory[:processes],
      binary: memory[:binary],
      native: held(),
      resident: resident
    }

    {figures, pressure}
  end

  defp system do
    reading = Analysis.reading()
    {reading.resident, Analysis.pressure(reading)}
  end

  defp held, do: Native.memory_held() |> Enum.map(&elem(&1, 1)) |> Enum.sum()

  defp now(unit), do: System.monotonic_time(unit)
end
