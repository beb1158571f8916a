defmodule Foundation.BEAM.Ecosystem.Samples do
  @moduledoc false

  # What members did between two looks, without a trace: messages by the statistics that `:sys` keeps
  # inside a process that answers system messages, collections by the VM's own count.
  #
  # Members are asked for their messages without waiting, one request a member, however long it takes to
  # answer: so those that are inside a callback keep nobody from being counted. A sample is whole when all
  # whom it has asked have answered, and over after a while in any case; what comes later counts with the
  # next one. Collections are read from outside, no callback is in the way of that.
  #
  # Both counts are each process's own and begin with it. A count of minor collections begins anew after
  # a full one, so what is told is how many there have been at least.

  alias Foundation.BEAM.Ecosystem.Inside
  alias Foundation.BEAM.Memory.Census

  # Milliseconds that a member, and all of them, may take to show what they have.
  @patience 40
  @deadline 500

  # Milliseconds after which a sample is over.
  @over 500

  @enforce_keys [:at]
  defstruct [
    :at,
    # When the sample before was taken, and what this one has found; `nil` when it has been told.
    open: nil,
    seen: %{},
    # How many messages each had when it answered last, and who has to answer still.
    told: %{},
    asked: MapSet.new(),
    # Of the processes that answered since the last sample was told.
    count: 0,
    counted: MapSet.new(),
    # Who was too busy to show what it has is looked at last.
    late: MapSet.new()
  ]

  @type t :: %__MODULE__{}

  @type figures :: %{
          count: non_neg_integer(),
          counted: non_neg_integer(),
          collections: non_neg_integer(),
          heap_bytes: non_neg_integer(),
          memory: non_neg_integer(),
          members: non_neg_integer(),
          duration: non_neg_integer()
        }

  @spec new() :: t()
  def new, do: %__MODULE__{at: System.monotonic_time()}

  @doc "Milliseconds after which what has been found is told."
  @spec over() :: pos_integer()
  def over, do: @over

  @doc """
  Looks at members, and asks those of OTP's for their messages. The calling process gets
  `{{:sampled, pid}, answer}`, which is for `answered/3`.
  """
  @spec take(t(), [{term(), pid()}]) :: t()
  def take(before, members) do
    pids = Enum.map(members, &elem(&1, 1))
    {late, others} = Enum.split_with(pids, &(&1 in before.late))
    probe = fn pid -> look(pid, not is_map_key(before.told, pid)) end
    limits = [patience: @patience, deadline: @deadline]
    {found, late} = Census.map(others ++ late, probe, limits)
    found = Map.new(found)

    told =
      for {pid, %{possible?: true}} <- found, into: Map.take(before.told, pids), do: {pid, nil}

    told = Map.merge(told, Map.take(before.told, pids))
    seen = Map.merge(Map.take(before.seen, late), found)
    asked = MapSet.intersection(before.asked, MapSet.new(pids))
    due = for {pid, _} <- told, pid not in asked, do: pid
    for pid <- due, do: ask(pid, told[pid])
    now = System.monotonic_time()

    %{
      before
      | at: now,
        open: %{found: found, seen: before.seen, duration: now - before.at},
        seen: seen,
        told: told,
        asked: MapSet.union(asked, MapSet.new(due)),
        late: MapSet.new(late)
    }
  end

  # Statistics that are on already stay as they are.
  defp ask(pid, nil) do
    Inside.system(pid, {:debug, {:statistics, true}})
    ask(pid, 0)
  end

  defp ask(pid, _messages),
    do: Inside.system(pid, {:debug, {:statistics, :get}}, {self(), {:sampled, pid}})

  @doc "What a member has answered."
  @spec answered(t(), pid(), term()) :: t()
  def answered(sample, pid, answer) do
    sample = %{sample | asked: MapSet.delete(sample.asked, pid)}

    case {answer, sample.told} do
      {{:ok, statistics}, %{^pid => before}} when is_list(statistics) ->
        counted(sample, pid, before, statistics[:messages_in])

      # Somebody has turned them off: they are turned on anew.
      {_none, %{^pid => _before}} ->
        %{sample | told: Map.put(sample.told, pid, nil)}

      _another ->
        sample
    end
  end

  defp counted(sample, pid, before, now) do
    # What is seen for the first time has been counted from now on.
    more = if before, do: max(0, now - before), else: 0
    counted = MapSet.put(sample.counted, pid)
    told = Map.put(sample.told, pid, now)
    %{sample | told: told, counted: counted, count: sample.count + more}
  end

  @doc "Whether there is one that has not been told yet, and nobody's answer is missing."
  @spec whole?(t()) :: boolean()
  def whole?(%{open: open, asked: asked}), do: open != nil and MapSet.size(asked) == 0

  @doc "The figures of the sample that was taken last, which is told now."
  @spec told(t()) :: {figures(), t()}
  def told(%{open: %{found: found, seen: seen, duration: duration}} = sample) do
    collections = for {pid, now} <- found, before = seen[pid], do: collections(before, now)

    figures = %{
      count: sample.count,
      counted: MapSet.size(sample.counted),
      collections: Enum.sum(collections),
      heap_bytes: total(found, :heap_bytes),
      memory: total(found, :memory),
      members: map_size(found),
      duration: duration
    }

    {figures, %{sample | open: nil, count: 0, counted: MapSet.new()}}
  end

  defp total(found, key), do: Enum.sum(for {_pid, now} <- found, do: Map.fetch!(now, key))

  @doc false
  # A smaller count is that since a full collection, which is one as well.
  @spec collections(map(), map()) :: non_neg_integer()
  def collections(%{minor_gcs: before}, %{minor_gcs: now})
      when is_integer(before) and is_integer(now) and now >= before,
      do: now - before

  def collections(_before, %{minor_gcs: now}) when is_integer(now), do: now + 1

  # Runs in another process, perhaps twice.
  defp look(pid, unknown?) do
    with [garbage_collection: gc, total_heap_size: words, memory: memory] <-
           Process.info(pid, [:garbage_collection, :total_heap_size, :memory]) do
      bytes = words * :erlang.system_info(:wordsize)
      possible? = unknown? and Inside.possible?(pid)
      %{minor_gcs: gc[:minor_gcs], heap_bytes: bytes, memory: memory, possible?: possible?}
    end
  end
end
