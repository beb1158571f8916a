defmodule Foundation.BEAM.Memory.Leaks.Leak do
  @moduledoc false

  # What the native search says of a process, as a map that people read.

  @certainties [:measured, :seen, :suspected]

  @doc "The leak of one process, by its figures and by what it was doing."
  @spec new({pid(), boolean(), tuple()}, keyword() | nil) :: map()
  def new({pid, looked?, figures}, info) do
    {references, binaries, held, sole, _seen, parts, unreachable, involved, doubtful, freed, old} =
      figures

    leak = %{
      pid: pid,
      binaries: binaries,
      references: references,
      held_bytes: held,
      sole_bytes: sole,
      involved_bytes: involved + freed,
      parts_bytes: parts,
      unreachable_bytes: unreachable,
      old_generation_bytes: if(idle?(looked?, freed, info), do: min(old, sole - parts), else: 0),
      freed_bytes: freed,
      looked_into?: looked?
    }

    kind = kind(leak)

    Map.merge(leak, %{
      kind: kind,
      certainty: certainty(kind, doubtful, parts + unreachable),
      wasted_bytes: parts + unreachable + freed + leak.old_generation_bytes
    })
  end

  @doc "Bytes that a collection of the process may give back."
  @spec gain({pid(), boolean(), tuple()}) :: non_neg_integer()
  def gain({_pid, true, figures}),
    do: if(elem(figures, 6) > 0, do: elem(figures, 7), else: 0)

  def gain({_pid, false, figures}), do: max(elem(figures, 4) - elem(figures, 5), 0)

  @doc "Whether the process keeps at least so much, alone or with others."
  @spec worth?(map(), pos_integer()) :: boolean()
  def worth?(leak, least), do: max(leak.wasted_bytes, leak.involved_bytes) >= least

  @doc "Leaks in order: by what is wasted, then by how certain that is."
  @spec rank([map()]) :: [map()]
  def rank(leaks), do: Enum.sort_by(leaks, &order/1)

  defp order(leak) do
    certainty = Enum.find_index(@certainties, &(&1 == leak.certainty))
    {-leak.wasted_bytes, certainty, -leak.involved_bytes, leak.pid}
  end

  # What waits does not collect itself, and nobody knows what it still needs of its old generation.
  defp idle?(looked?, freed, info), do: not looked? and freed == 0 and info[:status] == :waiting

  defp kind(leak) do
    {kind, _bytes} =
      Enum.max_by(
        [
          parts: leak.parts_bytes,
          unreachable: leak.unreachable_bytes,
          garbage: leak.freed_bytes,
          old_generation: leak.old_generation_bytes
        ],
        &elem(&1, 1)
      )

    kind
  end

  defp certainty(:garbage, _doubtful, _proven), do: :measured
  defp certainty(:old_generation, _doubtful, _proven), do: :suspected

  defp certainty(_kind, doubtful, proven),
    do: if(doubtful * 2 > proven, do: :suspected, else: :seen)
end
