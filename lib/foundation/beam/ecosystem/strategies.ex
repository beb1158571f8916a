defmodule Foundation.BEAM.Ecosystem.Strategies do
  @moduledoc false

  # What `memory_strategy` and `gc_strategy` mean in figures, and how a member gets them.
  #
  # A member is started by its module's own `start_link/1`, so these are set inside the process when it
  # has started; or they are handed to `start_link/2` as `spawn_opt`, where the ecosystem was told that
  # the module takes it.

  require Logger

  alias Foundation.BEAM.Ecosystem.Inside

  # Words, and minor collections. Both kinds of members, unless told apart.
  @memory [
    default: {[], "What the VM gives every process."},
    isolated_heaps:
      {[min_heap_size: [coordinator: 1000, worker: 500], fullsweep_after: 10],
       "A first heap that much work fits in without growing; what has become garbage is not kept long. " <>
         "For members that compute."},
    shared_heap:
      {[],
       "A `Foundation.BEAM.SharedStore` of the ecosystem's own, for what all members read; their heaps " <>
         "stay apart, as everywhere on the BEAM. For members that work on the same large data."},
    shared_binaries:
      {[min_bin_vheap_size: 46_368],
       "Collections are not brought forward by large binaries that a member holds, up to that many " <>
         "words of them. The VM's own value on OTP 25 is the same, so this matters where `+hmbs` says less."},
    frequent_gc:
      {[fullsweep_after: 5, min_heap_size: 100],
       "Garbage goes soon, and with it references to binaries. For members that allocate much and keep " <>
         "little. The VM takes no heap below 233 words."},
    low_latency:
      {[fullsweep_after: 20, min_heap_size: 2000],
       "Fewer collections while a request is answered, for a larger heap. For members that must answer soon."}
  ]

  # `nil`: the VM's own; a member has that from its start.
  @gc [
    standard: {[fullsweep_after: nil], "Full collections as seldom as the VM makes them."},
    frequent_minor:
      {[fullsweep_after: 10],
       "What is old is collected too after so few minor collections, so that the heap stays near what " <>
         "is in use, and minor collections are smaller and more."}
  ]

  # Milliseconds that a start waits for a member that does something else first.
  @patience 100

  @type role :: :coordinator | :worker | {:worker, pos_integer()}
  @type flags :: [{:min_heap_size | :min_bin_vheap_size | :fullsweep_after, non_neg_integer()}]

  @doc "The values of `memory_strategy`."
  @spec memory() :: [atom()]
  def memory, do: Keyword.keys(@memory)

  @doc "The values of `gc_strategy`, besides `nil`: as the memory strategy says."
  @spec gc() :: [atom()]
  def gc, do: Keyword.keys(@gc)

  @doc "The spawn options of a member; what a GC strategy says of collection wins."
  @spec flags(atom(), atom() | nil, role()) :: flags()
  def flags(memory, gc, role) do
    {flags, _about} = Keyword.fetch!(@memory, memory)
    {collection, _about} = if gc, do: Keyword.fetch!(@gc, gc), else: {[], nil}

    for {name, value} <- Keyword.merge(flags, collection),
        value = of_role(value, kind(role)),
        do: {name, value}
  end

  defp of_role(value, kind) when is_list(value), do: Keyword.fetch!(value, kind)
  defp of_role(value, _kind), do: value

  defp kind({:worker, _n}), do: :worker
  defp kind(role), do: role

  @doc "The tables of the documentation."
  @spec docs() :: String.t()
  def docs do
    """
    | `memory_strategy` | coordinator | worker | |
    |---|---|---|---|
    #{Enum.map_join(@memory, "\n", &memory_row/1)}

    | `gc_strategy` | every member | |
    |---|---|---|
    #{Enum.map_join(@gc, "\n", &gc_row/1)}

    Heaps are in words of eight bytes, of which the VM takes the next size that it has heaps of (500
    becomes 610, 1000 becomes 1598, 2000 becomes 2586); `fullsweep_after` is in minor collections.
    What `gc_strategy` says of `fullsweep_after` counts, whatever `memory_strategy` says.
    """
  end

  defp memory_row({name, {flags, about}}),
    do:
      "| `#{inspect(name)}` | #{cell(flags, :coordinator)} | #{cell(flags, :worker)} | #{about} |"

  defp gc_row({name, {flags, about}}),
    do: "| `#{inspect(name)}` | #{cell(flags, :worker)} | #{about} |"

  defp cell([], _kind), do: "-"

  defp cell(flags, kind) do
    Enum.map_join(flags, ", ", fn {name, value} ->
      "`#{name}` #{of_role(value, kind) || "of the VM"}"
    end)
  end

  @doc """
  Starts a member with these flags, and says how it got them: `:given` to `start_link/2`, `:set`
  inside, `:later` as soon as it comes to it, or `:impossible`. Without flags, and where the start has
  failed, there is nothing to be done (`:none`).
  """
  @spec start_link(module(), keyword(), flags(), spawn_opt? :: boolean()) ::
          {term(), :none | :given | :set | :later | :impossible}
  def start_link(module, argument, [], _spawn_opt?), do: {module.start_link(argument), :none}

  def start_link(module, argument, flags, true),
    do: {module.start_link(argument, spawn_opt: flags), :given}

  def start_link(module, argument, flags, false) do
    case module.start_link(argument) do
      {:ok, pid} = started when is_pid(pid) -> {started, set(pid, flags)}
      {:ok, pid, _more} = started when is_pid(pid) -> {started, set(pid, flags)}
      not_started -> {not_started, :none}
    end
  end

  @doc "Sets flags inside a process that runs already."
  @spec set(pid(), flags(), timeout()) :: :set | :later | :impossible
  def set(pid, flags, patience \\ @patience) do
    case Inside.look(pid, fn _state -> set_own(flags) end, patience) do
      {:ok, :set} -> :set
      :impossible -> :impossible
      _not_yet -> :later
    end
  end

  defp set_own(flags) do
    for {flag, value} <- flags, do: :erlang.process_flag(flag, value)
    :set
  end

  @doc "Logs, once for each module of an ecosystem, that its members do without; `table` is the ecosystem's."
  @spec warn_once(:ets.tab(), term(), module()) :: boolean()
  def warn_once(table, id, module) do
    first? = :ets.insert_new(table, {{:without_flags, module}, true})

    if first? do
      Logger.warning(
        "ecosystem #{inspect(id)}: members of #{inspect(module)} run without the spawn options of " <>
          "its memory and GC strategies: their processes are none of OTP's, and start_link/2 is not in use"
      )
    end

    first?
  end
end
