defmodule Foundation.BEAM.Memory.Allocators do
  @moduledoc false

  # What the VM's allocators have taken from the system (carriers) and what of that is in use (blocks).
  #
  # The carriers of one allocator can hold blocks of others, which took them over when it needed them
  # no more: so the blocks of an allocator's carriers are all that lie in them, whoever's they are. An
  # allocator that emulator flags have turned off (`+MBe false`) keeps no books, and is left out.

  @typedoc "Bytes; `fragmentation` is the part of the carriers that no block is in, from 0.0 to 1.0."
  @type figures :: %{
          carriers: non_neg_integer(),
          blocks: non_neg_integer(),
          fragmentation: float()
        }

  @type t :: %{optional(atom()) => figures(), total: figures()}

  @typedoc """
  Bytes of binaries by the threads in whose memory they lie: those of the normal schedulers, and all
  others (dirty schedulers, threads of drivers and NIFs). `nil` where the VM does not tell them apart.
  """
  @type binaries :: %{
          normal: non_neg_integer() | nil,
          dirty_and_other: non_neg_integer() | nil
        }

  @typedoc "An allocator and what `:erlang.system_info({:allocator_sizes, it})` returns."
  @type sizes :: {atom(), [{:instance, non_neg_integer(), keyword()}] | false}

  @doc "What all allocators return; takes under a millisecond."
  @spec read() :: [sizes()]
  def read do
    for name <- :erlang.system_info(:alloc_util_allocators) do
      {name, :erlang.system_info({:allocator_sizes, name})}
    end
  end

  @doc "Carriers and blocks of each allocator that keeps books, and of all (`:total`)."
  @spec summary([sizes()]) :: t()
  def summary(sizes) do
    each =
      for {name, instances} when is_list(instances) <- sizes, into: %{} do
        {name, instances |> Enum.flat_map(&kinds/1) |> sum()}
      end

    total = each |> Map.values() |> Enum.map(&{&1.carriers, &1.blocks}) |> add()
    Map.put(each, :total, figures(total))
  end

  @doc "Binaries by the threads in whose memory they lie."
  @spec binaries([sizes()]) :: binaries()
  def binaries(sizes) do
    case Map.new(sizes) do
      # With one instance for all threads (`+MBt false`) nobody can tell.
      %{binary_alloc: [_, _ | _] = instances} ->
        bytes = for {:instance, number, _} = one <- instances, do: {number, binary_bytes(one)}
        {[{0, other}], normal} = Enum.split_with(bytes, &match?({0, _}, &1))
        %{normal: normal |> Enum.map(&elem(&1, 1)) |> Enum.sum(), dirty_and_other: other}

      _ ->
        %{normal: nil, dirty_and_other: nil}
    end
  end

  defp binary_bytes(instance) do
    for kind <- kinds(instance), {:binary_alloc, counts} <- blocks(kind), reduce: 0 do
      bytes -> bytes + size(counts)
    end
  end

  # Carriers of many blocks, those that wait to be taken over, carriers of one large block.
  defp kinds({:instance, _number, instance}) do
    for {name, kind} <- instance, name in [:mbcs, :mbcs_pool, :sbcs], do: kind
  end

  defp sum(kinds) do
    kinds
    |> Enum.map(fn kind ->
      {carriers(kind), kind |> blocks() |> Enum.map(&size(elem(&1, 1))) |> Enum.sum()}
    end)
    |> add()
    |> figures()
  end

  defp add(pairs) do
    Enum.reduce(pairs, {0, 0}, fn {carriers, blocks}, {all_carriers, all_blocks} ->
      {all_carriers + carriers, all_blocks + blocks}
    end)
  end

  defp figures({0, blocks}), do: %{carriers: 0, blocks: blocks, fragmentation: 0.0}

  # The books are kept while other threads allocate: a block can be seen before its carrier.
  defp figures({carriers, blocks}),
    do: %{carriers: carriers, blocks: blocks, fragmentation: max(1 - blocks / carriers, 0.0)}

  defp blocks(kind), do: pick(kind, :blocks, [])
  defp size(counts), do: pick(counts, :size, 0)
  defp carriers(kind), do: pick(kind, :carriers_size, 0)

  # The value now: `{name, now}`, or with the most since last asked and the most ever behind it.
  defp pick(list, name, default) do
    case List.keyfind(list, name, 0) do
      nil -> default
      found -> elem(found, 1)
    end
  end
end
