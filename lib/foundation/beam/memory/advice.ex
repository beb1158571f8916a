defmodule Foundation.BEAM.Memory.Advice do
  @moduledoc false

  # From figures to sentences; pure. The documented ones are about shares: they say where the bytes
  # are, and nothing about whether there are too many, so how urgent they are follows the pressure.

  @typedoc "`message` says what is, `action` what can be done about it."
  @type t :: %{
          severity: :info | :warning | :critical,
          area: atom(),
          message: String.t(),
          action: String.t()
        }

  @typedoc """
  What is known, as `Foundation.BEAM.Memory.analyze_memory_usage/1` has it; `nil` where it is not.
  """
  @type facts :: %{
          required(:process_memory_percentage) => number() | nil,
          required(:binary_memory_percentage) => number() | nil,
          required(:atom_count) => non_neg_integer(),
          required(:atom_limit) => pos_integer(),
          required(:process_count) => non_neg_integer(),
          required(:process_limit) => pos_integer(),
          required(:pressure) => :low | :medium | :high,
          required(:limits) => [%{kind: atom(), fraction: number()}],
          required(:allocators) => %{total: map()},
          required(:long_queues) => [%{pid: pid(), message_queue_len: non_neg_integer()}],
          optional(atom()) => term()
        }

  # Per cent of the VM's limit, of its total.
  @atoms 80
  @binaries 40
  @processes 60
  # What the documents do not have.
  @table 80
  @nearly_full 95
  @unused_part 0.4
  @unused_bytes 64 * 1024 * 1024

  @doc "The thresholds in per cent that the documented sentences have."
  @spec thresholds() :: %{atoms: 80, binaries: 40, processes: 60}
  def thresholds, do: %{atoms: @atoms, binaries: @binaries, processes: @processes}

  @doc "All advice, the documented sentences first."
  @spec advice(facts()) :: [t()]
  def advice(facts), do: documented(facts) ++ more(facts)

  @doc "The documented sentences alone."
  @spec recommendations(facts()) :: [String.t()]
  def recommendations(facts), do: facts |> documented() |> Enum.map(& &1.message)

  defp documented(facts) do
    Enum.concat([
      processes(facts.process_memory_percentage, facts.pressure),
      binaries(facts.binary_memory_percentage, facts.pressure),
      atoms(facts.atom_count / facts.atom_limit * 100)
    ])
  end

  defp more(facts) do
    Enum.concat([
      pressure(facts.pressure, facts.limits),
      table(facts.process_count / facts.process_limit * 100),
      Enum.map(facts.long_queues, &queue/1),
      allocators(facts.allocators.total)
    ])
  end

  defp processes(percent, pressure) when is_number(percent) and percent > @processes do
    one(
      urgency(pressure),
      :processes,
      "Process memory high (#{trunc(percent)}%) - review process count and heap sizes",
      "see :top_processes and :process_count; optimize_memory(:collect) collects what waits"
    )
  end

  defp processes(_percent, _pressure), do: []

  defp binaries(percent, pressure) when is_number(percent) and percent > @binaries do
    one(
      urgency(pressure),
      :binaries,
      "Binary memory high (#{trunc(percent)}%) - consider binary optimization",
      "see :binaries, and which processes keep binaries that they do not use"
    )
  end

  defp binaries(_percent, _pressure), do: []

  # Shares of the limit: a full table ends the VM.
  defp atoms(percent) when percent > @atoms do
    one(
      if(percent >= @nearly_full, do: :critical, else: :warning),
      :atoms,
      "Atom table usage high (#{trunc(percent)}%) - review dynamic atom creation",
      "make atoms from input by safe_atom/2, or raise the limit (`+t`)"
    )
  end

  defp atoms(_percent), do: []

  defp pressure(level, limits) when level == :low or limits == [], do: []

  defp pressure(level, limits) do
    fullest = Enum.max_by(limits, & &1.fraction)

    one(
      urgency(level),
      :pressure,
      "Memory pressure #{level} (#{trunc(fullest.fraction * 100)}% of the limit of the #{fullest.kind})",
      "optimize_memory(:automatic) gives back what can be; otherwise hold less or raise the limit"
    )
  end

  defp table(percent) when percent > @table do
    one(
      if(percent >= @nearly_full, do: :critical, else: :warning),
      :process_table,
      "Process table usage high (#{trunc(percent)}%) - review process count",
      "end processes that are not needed, or raise the limit (`+P`)"
    )
  end

  defp table(_percent), do: []

  defp queue(%{pid: pid, message_queue_len: length}) do
    hd(
      one(
        :warning,
        :message_queues,
        "Message queue long (#{length} messages wait for #{inspect(pid)}) - review its senders",
        "the process is slower than its senders: share out its work, or send with flow control"
      )
    )
  end

  defp allocators(%{carriers: carriers, blocks: blocks, fragmentation: unused})
       when unused > @unused_part and carriers - blocks > @unused_bytes do
    one(
      :info,
      :allocators,
      "Allocators hold #{div(carriers - blocks, 1_048_576)} MiB (#{trunc(unused * 100)}%) " <>
        "that no block is in",
      "kept for reuse after a peak; see :allocators for whose it is, `erts_alloc` for its flags"
    )
  end

  defp allocators(_total), do: []

  defp one(severity, area, message, action),
    do: [%{severity: severity, area: area, message: message, action: action}]

  defp urgency(:low), do: :info
  defp urgency(:medium), do: :warning
  defp urgency(:high), do: :critical
end
