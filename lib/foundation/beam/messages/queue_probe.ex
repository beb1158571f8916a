defmodule Foundation.BEAM.Messages.QueueProbe do
  @moduledoc false

  # `Process.info/2` of a process inside a long BIF or NIF waits until that ends, and takes no
  # timeout. So a helper process asks, and is killed when it is late. Its exit reason carries the
  # answer: the `:DOWN` that says it is gone is the only message there is, none can arrive late.
  # The whole costs about 5 us; the caller's own queue is asked directly.
  #
  # Each `receive` stands in the function that makes its monitor: only then does the compiler let it
  # pass over the messages that were in the mailbox before. Many helpers answer to a collector, so
  # that the caller waits for one message however many targets there are.

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
    questions = Enum.map(targets, &question(&1, priority))
    answers = questions |> Enum.filter(&is_function/1) |> ask(timeout)
    fill(questions, answers)
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
  def start(target, priority) do
    case question(target, priority) do
      question when is_function(question) -> spawn_monitor(question)
      known -> known
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

  # The result, where it is known at once, or what a helper has to do.
  defp question({:local, pid}, _priority) when pid == self(), do: queue_len(pid)
  defp question({:local, to}, _priority), do: fn -> exit({:queue_len, local(to)}) end
  defp question(:noproc, _priority), do: :noproc

  defp question({:remote, to}, priority) do
    if priority == :normal or Destination.node_of(to) in Node.list(:connected) do
      fn -> exit({:queue_len, remote(to)}) end
    else
      :noconnect
    end
  end

  defp fill([question | rest], [answer | answers]) when is_function(question),
    do: [answer | fill(rest, answers)]

  defp fill([known | rest], answers), do: [known | fill(rest, answers)]
  defp fill([], []), do: []

  defp ask([], _timeout), do: []

  defp ask([question], timeout) do
    {helper, ref} = spawn_monitor(question)

    receive do
      {:DOWN, ^ref, :process, _, reason} -> [answer(reason)]
    after
      timeout ->
        cancel({helper, ref})
        [:unresponsive]
    end
  end

  defp ask(questions, timeout) do
    {_collector, ref} = spawn_monitor(fn -> exit({:answers, collect(questions, timeout)}) end)

    # No timeout: the collector has one, and waits for nothing else.
    receive do
      {:DOWN, ^ref, :process, _, {:answers, answers}} -> answers
      {:DOWN, ^ref, :process, _, _killed} -> Enum.map(questions, fn _ -> :unresponsive end)
    end
  end

  # In the collector, whose mailbox has nothing but answers.
  defp collect(questions, timeout) do
    deadline = now() + timeout
    probes = Enum.map(questions, &spawn_monitor/1)
    answers = collect(length(probes), deadline, %{})

    Enum.map(probes, fn {helper, ref} ->
      case answers do
        %{^ref => answer} ->
          answer

        _late ->
          Process.exit(helper, :kill)
          :unresponsive
      end
    end)
  end

  defp collect(0, _deadline, answers), do: answers

  defp collect(open, deadline, answers) do
    receive do
      {:DOWN, ref, :process, _, reason} ->
        collect(open - 1, deadline, Map.put(answers, ref, answer(reason)))
    after
      max(deadline - now(), 0) -> answers
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
