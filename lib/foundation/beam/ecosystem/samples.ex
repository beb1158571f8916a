defmodule Foundation.BEAM.Ecosystem.Samples do
  @moduledoc false

  # What members did between two looks, without a trace: messages by the statistics that `:sys` keeps
  # inside a process that answers system messages, collections by the VM's own count.
  #
  # Both counts are each process's own and begin with it. A count of minor collections begins anew after
  # a full one, so what is told is how many there have been at least.

  alias Foundation.BEAM.Ecosystem.Inside
  alias Foundation.BEAM.Memory.Census

  # Milliseconds that a member may take, and all of them: who is late counts with the next sample.
  @patience 40
  @deadline 500

  @enforce_keys [:at]
  defstruct [:at, seen: %{}]

  @type t :: %__MODULE__{}

  @type figures :: %{
          count: non_neg_integer(),
          collections: non_neg_integer(),
          heap_bytes: non_neg_integer(),
          memory: non_neg_integer(),
          members: non_neg_integer(),
          duration: non_neg_integer()
        }

  @spec new() :: t()
  def new, do: %__MODULE__{at: System.monotonic_time()}

  @doc "What has been done since the sample before, and the sample to compare the next one with."
  @spec take(t(), [{term(), pid()}]) :: {figures(), t()}
  def take(before, members) do
    pids = Enum.map(members, &elem(&1, 1))
    known = before.seen
    probe = fn pid -> look(pid, known[pid]) end
    {found, late} = Census.map(pids, probe, patience: @patience, deadline: @deadline)
    now = System.monotonic_time()
    seen = Map.merge(Map.take(known, late), Map.new(found))
    {figures(found, known, now - before.at), %__MODULE__{at: now, seen: seen}}
  end

  defp figures(found, known, duration) do
    changes = for {pid, now} <- found, do: change(known[pid], now)

    %{
      count: changes |> Enum.map(&elem(&1, 0)) |> Enum.sum(),
      collections: changes |> Enum.map(&elem(&1, 1)) |> Enum.sum(),
      heap_bytes: total(found, :heap_bytes),
      memory: total(found, :memory),
      members: length(found),
      duration: duration
    }
  end

  defp total(found, key), do: Enum.sum(for {_pid, now} <- found, do: Map.fetch!(now, key))

  # What is seen for the first time has been counted from now on.
  defp change(nil, _now), do: {0, 0}

  defp change(before, now) do
    {max(0, now.messages - before.messages), collections(before.minor_gcs, now.minor_gcs)}
  end

  @doc false
  # A smaller count is that since a full collection, which is one as well.
  @spec collections(non_neg_integer(), non_neg_integer()) :: non_neg_integer()
  def collections(before, now) when is_integer(before) and is_integer(now) and now >= before,
    do: now - before

  def collections(_before, now) when is_integer(now), do: now + 1

  # Runs in another process, perhaps twice: to turn statistics on that are on changes nothing.
  defp look(pid, before) do
    with [garbage_collection: gc, total_heap_size: words, memory: memory] <-
           Process.info(pid, [:garbage_collection, :total_heap_size, :memory]) do
      bytes = words * :erlang.system_info(:wordsize)
      figures = %{minor_gcs: gc[:minor_gcs], heap_bytes: bytes, memory: memory}
      Map.put(figures, :messages, messages(pid, before))
    end
  end

  defp messages(pid, nil) do
    if Inside.possible?(pid), do: :sys.statistics(pid, true, @patience)
    0
  catch
    :exit, _gone_or_busy -> 0
  end

  defp messages(pid, %{messages: before}) do
    with true <- Inside.possible?(pid),
         {:ok, statistics} when is_list(statistics) <- :sys.statistics(pid, :get, @patience) do
      statistics[:messages_in]
    else
      # Not turned on yet, as it was busy then, or not of OTP.
      _none -> messages(pid, nil) + before
    end
  catch
    :exit, _gone_or_busy -> before
  end
end
