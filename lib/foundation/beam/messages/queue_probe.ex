defmodule Foundation.BEAM.Messages.QueueProbe do
  @moduledoc false

  # `Process.info/2` of a process inside a long BIF or NIF waits until that ends, and takes no
  # timeout. So a helper process asks, and is killed when it is late. Its exit reason carries the
  # answer: the `:DOWN` that says it is gone is the only message there is, none can arrive late.
  # The whole costs about 5 us; the caller's own queue is asked directly.

  alias Foundation.BEAM.Messages.Destination

  @type result :: {:ok, non_neg_integer()} | :noproc | :noconnection | :noconnect | :unresponsive
  @type probe :: {pid(), reference()}
  @type room ::
          {:room, pos_integer()}
          | {:full, {:queue_full, non_neg_integer()} | :unresponsive}
          | {:gone, :noproc | :noconnection | :noconnect}

  @doc """
  The queue lengths of the targets, within `timeout` milliseconds altogether. All are asked before
  the first answer is awaited, so one that is silent delays no other. With `:high` no connection is
  made to a node.
  """
  @spec results([Destination.target()], non_neg_integer(), :normal | :high) :: [result()]
  def results(targets, timeout, priority) do
    deadline = now() + timeout

    targets
    |> Enum.map(&start(&1, priority))
    |> Enum.map(fn
      {helper, ref} when is_pid(helper) -> await({helper, ref}, deadline)
      known -> known
    end)
  end

  @doc "What the result means for a queue that may hold `max` messages."
  @spec room(result(), pos_integer()) :: room()
  def room({:ok, length}, max) when length < max, do: {:room, max - length}
  def room({:ok, length}, _max), do: {:full, {:queue_full, length}}
  def room(:unresponsive, _max), do: {:full, :unresponsive}
  def room(gone, _max), do: {:gone, gone}

  @doc """
  Asks; the result, where it is known at once, or a probe. Its answer is a `:DOWN` message with the
  probe's reference, read by `answer/1`.
  """
  @spec start(Destination.target(), :normal | :high) ::
          {:ok, non_neg_integer()} | :noproc | :noconnect | probe()
  def start({:local, pid}, _priority) when pid == self(), do: queue_len(pid)
  def start({:local, to}, _priority), do: spawn_monitor(fn -> exit({:queue_len, local(to)}) end)
  def start(:noproc, _priority), do: :noproc

  def start({:remote, to}, priority) do
    if priority == :normal or Destination.node_of(to) in Node.list(:connected) do
      spawn_monitor(fn -> exit({:queue_len, remote(to)}) end)
    else
      :noconnect
    end
  end

  @doc "The result in the reason of the helper's `:DOWN`."
  @spec answer(term()) :: result()
  def answer({:queue_len, result}), do: result
  def answer(_crash), do: :unresponsive

  @doc "Ends a probe whose answer is late."
  @spec cancel(probe()) :: :ok
  def cancel({helper, ref}) do
    Process.demonitor(ref, [:flush])
    Process.exit(helper, :kill)
    :ok
  end

  defp await({_helper, ref} = probe, deadline) do
    receive do
      {:DOWN, ^ref, :process, _, reason} -> answer(reason)
    after
      max(deadline - now(), 0) ->
        cancel(probe)
        :unresponsive
    end
  end

  defp local({name, _this_node}), do: queue_len(Process.whereis(name))
  defp local(pid), do: queue_len(pid)

  defp queue_len(pid) when is_pid(pid) do
    case Process.info(pid, :message_queue_len) do
      {:message_queue_len, length} -> {:ok, length}
      nil -> :noproc
    end
  end

  defp queue_len(_nobody), do: :noproc

  # The other node needs nothing of ours. What stays there when the helper is killed is one process
  # that ends as soon as the target answers it.
  defp remote({name, node}) do
    case call(node, :whereis, [name]) do
      pid when is_pid(pid) -> remote(pid)
      :undefined -> :noproc
      failed -> failed
    end
  end

  defp remote(pid) do
    case call(node(pid), :process_info, [pid, :message_queue_len]) do
      {:message_queue_len, length} -> {:ok, length}
      :undefined -> :noproc
      failed -> failed
    end
  end

  defp call(node, function, args) do
    :erpc.call(node, :erlang, function, args)
  catch
    :error, {:erpc, :noconnection} -> :noconnection
    _kind, _reason -> :unresponsive
  end

  defp now, do: System.monotonic_time(:millisecond)
end
