defmodule Foundation.BEAM.Memory.OS do
  @moduledoc false

  # What the operating system says about the memory of this VM: how much of it is resident, and every
  # limit that it may run into, with what counts towards that limit. `root` stands for `/`, so that
  # tests can imitate the files. What cannot be read, on another system or for want of rights, is left
  # out; nothing raises.

  alias Foundation.BEAM.Memory.OS.{Cgroup, Handle, Text}

  @typedoc """
  A limit in bytes and what is used of it:

    * `:container` - of a control group (`version` 1 or 2) or one above it, without the page cache
      that the kernel drops first
    * `:machine` - what the machine has, and what of it is not available
    * `:vm` - the VM's own reservation, where it may take no more (`+MMsco true`)
    * `:process` - of the process (`ulimit -v`, `ulimit -d`)
  """
  @type limit :: %{
          required(:kind) => :container | :machine | :vm | :process,
          required(:limit) => non_neg_integer(),
          required(:used) => non_neg_integer(),
          optional(:version) => 1 | 2
        }

  @typedoc """
  `source` is `:os` where the figures are those of the operating system, `:vm` where only the VM can
  tell how much is used, `:none` where no limit is known.
  """
  @type reading :: %{
          resident: non_neg_integer() | nil,
          limits: [limit()],
          source: :os | :vm | :none
        }

  @typedoc "The files, kept open between samples."
  @opaque t :: map()

  @files [
    statm: {"proc/self/statm", 256},
    meminfo: {"proc/meminfo", 1_024},
    limits: {"proc/self/limits", 4_096},
    cgroup: {"proc/self/cgroup", 16_384}
  ]

  @page 4_096

  @doc "One reading."
  @spec read(Path.t()) :: reading()
  def read(root \\ "/") do
    os = open(root)
    {reading, os} = sample(os)
    reading = Map.put(reading, :resident, resident(os))
    close(os)
    reading
  end

  @doc "Opens the files. They belong to the calling process, which is the only one that can read them."
  @spec open(Path.t()) :: t()
  def open(root \\ "/") do
    files =
      Map.new(@files, fn {name, {file, size}} ->
        {name, Handle.open(Path.join(root, file), size)}
      end)

    review(%{
      root: root,
      files: files,
      own: nil,
      groups: [],
      page: page(Handle.whole(Path.join(root, "proc/self/auxv"))),
      carrier?: carrier?()
    })
  end

  @doc """
  Whether the VM may map nothing but what it has reserved. That does not change while it runs; to ask takes as
  long as any scheduler does something that cannot be interrupted, so it is asked once, when the
  application starts.
  """
  @spec carrier?() :: boolean()
  def carrier? do
    with :unknown <- :persistent_term.get({__MODULE__, :carrier?}, :unknown) do
      carrier? = carrier(mmap()) != []
      :persistent_term.put({__MODULE__, :carrier?}, carrier?)
      carrier?
    end
  end

  @doc "Closes them."
  @spec close(t()) :: :ok
  def close(os) do
    Enum.each(os.files, fn {_name, handle} -> Handle.close(handle) end)
    Cgroup.close(os.groups)
  end

  @doc "Takes up what seldom changes: which control group the process is in, and what the limits are."
  @spec review(t()) :: t()
  def review(os) do
    own = Handle.read(os.files.cgroup)
    groups = if own == os.own, do: Cgroup.review(os.groups), else: :lost
    os = if groups == :lost, do: rejoin(os, own), else: %{os | groups: groups}
    limits = Handle.read(os.files.limits)

    bounds =
      for {key, index} <- [{"Max address space ", 0}, {"Max data size ", 5}],
          limit = Text.figure(limits, key),
          do: {limit, index}

    Map.put(os, :bounds, bounds)
  end

  @doc """
  What is used now of the limits at the last review. Reads no more files than that takes: two a control
  group with a limit, one for the machine, one for the process where it has limits.
  """
  @spec sample(t()) :: {map(), t()}
  def sample(os) do
    {container, os} = container(os)
    process = process(os)
    {machine, source} = machine(Handle.read(os.files.meminfo), os.carrier?)
    vm = if os.carrier?, do: carrier(mmap()), else: []
    source = if container ++ process == [], do: source, else: :os
    {%{limits: container ++ process ++ machine ++ vm, source: source}, os}
  end

  @doc "Bytes of this VM that are in the machine's memory; `nil` where unknown."
  @spec resident(t()) :: non_neg_integer() | nil
  def resident(%{page: page} = os) do
    case statm(os) do
      [_size, pages | _] when is_integer(page) -> pages * page
      nil -> nil
    end
  end

  @doc "The files opened anew, for what may have appeared since; what is open stays where fewer open now."
  @spec reopen(t()) :: t()
  def reopen(%{} = os) do
    # The process may have used up its files: then those that are open are all that there is.
    new = open(os.root)

    if count(new) < count(os) do
      close(new)
      os
    else
      close(os)
      new
    end
  end

  defp count(os), do: Enum.count(os.files, &elem(&1, 1)) + Cgroup.count(os.groups)

  @doc """
  Bytes that the VM's allocators have mapped; `nil` where they do not tell. It takes about 10 us where
  `vm_total/0` wakes every scheduler, and reads no file; but as that does, it waits for a scheduler that is
  inside a native function.
  """
  @spec mapped() :: non_neg_integer() | nil
  def mapped do
    with [_ | _] = account <- mmap(),
         {:default_mmap, default} <- List.keyfind(account, :default_mmap, 0),
         [_ | _] = parts <-
           for({part, figures} <- default, part in [:os, :supercarrier], do: figures) do
      for figures <- parts, used = figures[:sizes][:used], reduce: 0 do
        sum when is_integer(used) -> sum + used
        sum -> sum
      end
    else
      _ -> nil
    end
  end

  @doc "Bytes that the VM's own books hold; `nil` where it keeps none (some flags of its allocators)."
  @spec vm_total() :: non_neg_integer() | nil
  def vm_total do
    :erlang.memory(:total)
  rescue
    ErlangError -> nil
  end

  # `own` has been read before the files are opened: a move between the two is seen by the next review.
  defp rejoin(os, own) do
    Cgroup.close(os.groups)
    groups = Cgroup.review(Cgroup.open(os.root, own))
    %{os | own: own, groups: if(groups == :lost, do: [], else: groups)}
  end

  defp container(os) do
    case Cgroup.limits(os.groups) do
      :lost ->
        os = rejoin(os, Handle.read(os.files.cgroup))
        limits = Cgroup.limits(os.groups)
        {if(limits == :lost, do: [], else: limits), os}

      limits ->
        {limits, os}
    end
  end

  defp process(%{bounds: []}), do: []

  defp process(os) do
    with [_ | _] = pages <- statm(os) do
      for {limit, index} <- os.bounds do
        %{kind: :process, limit: limit, used: Enum.at(pages, index) * os.page}
      end
    else
      nil -> []
    end
  end

  # Pages: size, resident, shared, text, libraries, data.
  defp statm(os), do: Text.numbers(Handle.read(os.files.statm), 6)

  # In kilobytes. Kernels before 3.14 do not say what is available.
  defp machine(meminfo, carrier?) do
    free = for key <- ["MemFree:", "Buffers:", "Cached:"], do: Text.figure(meminfo, key)
    available = Text.figure(meminfo, "MemAvailable:") || if(nil not in free, do: Enum.sum(free))

    case {Text.figure(meminfo, "MemTotal:"), available} do
      {nil, _} -> {[], if(carrier?, do: :vm, else: :none)}
      {total, nil} -> {own_use(total, vm_total()), :vm}
      {total, available} -> {[machine_limit(total, max(total - available, 0) * 1_024)], :os}
    end
  end

  defp own_use(_total, nil), do: []
  defp own_use(total, used), do: [machine_limit(total, used)]

  defp machine_limit(total, used), do: %{kind: :machine, limit: total * 1_024, used: used}

  # The size of a page from the auxiliary vector: pairs of words, type 6.
  defp page(<<6::native-64, size::native-64, _::binary>>) when size in 1_024..1_048_576, do: size
  defp page(<<_type::native-64, _value::native-64, rest::binary>>), do: page(rest)
  defp page(_end), do: @page

  defp mmap, do: :erlang.system_info({:allocator, :erts_mmap})

  @doc false
  # The VM's account of its own mappings; only where it may map nothing else is this a limit.
  @spec carrier(term()) :: [limit()]
  def carrier(account) do
    with [_ | _] <- account,
         {:default_mmap, default} <- List.keyfind(account, :default_mmap, 0),
         true <- get_in(default, [:options, :sco]),
         [_ | _] = sizes <- get_in(default, [:supercarrier, :sizes]),
         {limit, used} when is_integer(limit) and is_integer(used) <-
           {sizes[:total], sizes[:used]} do
      [%{kind: :vm, limit: limit, used: used}]
    else
      _ -> []
    end
  end
end
