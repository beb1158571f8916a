defmodule Foundation.ConcurrentTestHelpers do
  @moduledoc """
  What tests of processes need: to wait for what happens in others, to measure them, to see that
  nothing of them is left.

  Where somebody tells of a change by a message, wait for that: `assert_receive`, or `assert_down/2`
  for the end of a process. `assert_eventually/2` is for states that nobody tells of.

      test "the coordinator comes back" do
        {:ok, ecosystem} = Processes.spawn_ecosystem(config)
        kill(ecosystem.coordinator)

        assert_eventually(fn ->
          {:ok, info} = Processes.ecosystem_info(ecosystem)
          info.coordinator.status == :alive and info.coordinator.pid != ecosystem.coordinator
        end)

        :ok = Processes.shutdown_ecosystem(ecosystem)
        assert verify_ecosystem_cleanup(ecosystem) == :ok
      end
  """

  import ExUnit.Assertions, only: [flunk: 1]

  alias Foundation.{Peer, ProcessRegistry}

  # Long enough for a machine that stands still now and then: only what fails takes all of it.
  @timeout 30_000

  # Milliseconds between two looks: the first ones come soon, and a long wait leaves the machine alone.
  @longest_pause 20

  # Waiting

  @doc """
  Waits until the function gives a true value, and gives that value; fails the test after `timeout`
  milliseconds, with what it gave or raised last.
  """
  @spec assert_eventually((() -> term()), non_neg_integer()) :: term()
  def assert_eventually(condition, timeout \\ @timeout) do
    case until(condition, deadline(timeout), 1) do
      {:ok, value} -> value
      {:error, last} -> flunk("did not come true within #{timeout} ms; the last look #{last}")
    end
  end

  @doc "The same without failing: `:ok`, or `{:error, :timeout}`."
  @spec wait_for_condition((() -> term()), non_neg_integer()) :: :ok | {:error, :timeout}
  def wait_for_condition(condition, timeout \\ @timeout) do
    with {:error, _last} <- until(condition, deadline(timeout), 1),
         do: {:error, :timeout},
         else: (_ -> :ok)
  end

  defp until(condition, deadline, pause) do
    # Before the look: what comes true while the machine stands still is seen.
    left = deadline - now()

    case look(condition) do
      {:ok, value} when value not in [nil, false] ->
        {:ok, value}

      other ->
        if left <= 0 do
          {:error, last(other)}
        else
          pause(min(pause, left))
          until(condition, deadline, min(pause * 2, @longest_pause))
        end
    end
  end

  # What is not there yet may also show as an error: a process that is gone, a match that fails.
  defp look(condition) do
    {:ok, condition.()}
  rescue
    error -> {:raised, Exception.message(error)}
  catch
    :exit, reason -> {:raised, Exception.format_exit(reason)}
  end

  defp last({:ok, value}), do: "gave #{inspect(value)}"
  defp last({:raised, message}), do: "raised: #{message}"

  defp pause(milliseconds) do
    timer = :erlang.start_timer(milliseconds, self(), __MODULE__)
    receive do: ({:timeout, ^timer, __MODULE__} -> :ok)
  end

  defp deadline(timeout), do: now() + timeout
  defp now, do: System.monotonic_time(:millisecond)

  # Processes

  @doc """
  Waits for the end of processes, by monitors; their reasons by pid. Fails the test with those that
  live on after `timeout` milliseconds.
  """
  @spec assert_down(pid() | [pid()], non_neg_integer()) :: %{pid() => term()}
  def assert_down(pids, timeout \\ @timeout) do
    case down(List.wrap(pids), deadline(timeout)) do
      {reasons, []} -> reasons
      {_reasons, alive} -> flunk("live on after #{timeout} ms: #{inspect(alive)}")
    end
  end

  defp down(pids, deadline) do
    monitors = for pid <- Enum.uniq(pids), do: {pid, Process.monitor(pid)}

    {ended, alive} =
      Enum.split_with(Enum.map(monitors, &await_down(&1, deadline)), &match?({_, _reason}, &1))

    {Map.new(ended), alive}
  end

  defp await_down({pid, monitor}, deadline) do
    receive do
      {:DOWN, ^monitor, :process, ^pid, reason} -> {pid, reason}
    after
      max(deadline - now(), 0) ->
        Process.demonitor(monitor, [:flush])
        pid
    end
  end

  @doc "Kills a process and waits until it is gone; the reason that others see."
  @spec kill(pid()) :: term()
  def kill(pid) do
    monitor = Process.monitor(pid)
    Process.exit(pid, :kill)
    receive do: ({:DOWN, ^monitor, :process, ^pid, reason} -> reason)
  end

  @doc """
  Living processes that were started below one, by its children or theirs, as `:proc_lib` notes it: also
  when it is gone itself.
  """
  @spec descendants(pid()) :: [pid()]
  def descendants(ancestor) do
    for pid <- Process.list(), pid != ancestor, ancestor in ancestors(pid), do: pid
  end

  defp ancestors(pid) do
    case Process.info(pid, :dictionary) do
      {:dictionary, dictionary} -> Keyword.get(dictionary, :"$ancestors", [])
      nil -> []
    end
  end

  # Memory

  @doc "Bytes that living processes take together, after a collection of each."
  @spec process_memory(pid() | [pid()]) :: non_neg_integer()
  def process_memory(pids) do
    pids |> List.wrap() |> Enum.map(&memory/1) |> Enum.sum()
  end

  defp memory(pid) do
    true = :erlang.garbage_collect(pid) or not Process.alive?(pid)

    case Process.info(pid, :memory) do
      {:memory, bytes} -> bytes
      nil -> 0
    end
  end

  @doc """
  What a function gives, and by how many bytes it changed each kind of the VM's memory (as
  `:erlang.memory/0` names them). Others who allocate at the same time are in the figures.
  """
  @spec measure_memory_usage((() -> result)) :: {result, keyword(integer())} when result: term()
  def measure_memory_usage(fun) do
    :erlang.garbage_collect()
    before = :erlang.memory()
    result = fun.()
    :erlang.garbage_collect()
    {result, for({kind, bytes} <- :erlang.memory(), do: {kind, bytes - before[kind]})}
  end

  # Ecosystems

  @doc """
  Whether nothing is left of an ecosystem that was shut down, `timeout` milliseconds later at the most:
  none of the processes that the struct names or that stand below its supervisor, no name in the
  registry, no table.

  Takes any map with `:coordinator` and `:workers`; `:supervisor`, `:id` and `:table` count where they
  are there. It shuts nothing down and kills nobody.
  """
  @spec verify_ecosystem_cleanup(map(), non_neg_integer()) ::
          :ok
          | {:error,
             {:processes_still_alive, [pid()]}
             | {:still_registered, pid()}
             | {:table_left, term()}}
  def verify_ecosystem_cleanup(ecosystem, timeout \\ @timeout) do
    supervisor = Map.get(ecosystem, :supervisor)
    named = Enum.filter([supervisor, ecosystem.coordinator | ecosystem.workers], &is_pid/1)

    deadline = deadline(timeout)

    # Those below afterwards: some may be started while the others end.
    with {_reasons, []} <- down(named, deadline),
         {_reasons, []} <- down(below(supervisor), deadline),
         :ok <- before(deadline, fn -> unregistered(ecosystem, supervisor) end) do
      before(deadline, fn -> without_table(ecosystem) end)
    else
      {_reasons, alive} when is_list(alive) -> {:error, {:processes_still_alive, alive}}
      {:error, _left} = error -> error
    end
  end

  # What the check gives in the end. A name and a table go after their process.
  defp before(deadline, check) do
    until(fn -> check.() == :ok end, deadline, 1)
    check.()
  end

  defp below(nil), do: []
  defp below(supervisor), do: descendants(supervisor)

  # Somebody else may have the id by now.
  defp unregistered(%{id: id}, supervisor) when is_pid(supervisor) do
    case ProcessRegistry.lookup(:production, {:ecosystem_supervisor, id}) do
      {:ok, ^supervisor} -> {:error, {:still_registered, supervisor}}
      _free -> :ok
    end
  end

  defp unregistered(_ecosystem, _supervisor), do: :ok

  defp without_table(%{table: table}) when table != nil do
    if :ets.info(table) == :undefined, do: :ok, else: {:error, {:table_left, table}}
  end

  defp without_table(_ecosystem), do: :ok

  # Nodes

  @doc "So many nodes that are connected with this one and with each other, until the test ends."
  @spec start_test_cluster(pos_integer()) :: [node()]
  def start_test_cluster(count) do
    nodes = for _ <- 1..count, do: elem(Peer.start!(), 1)

    for one <- nodes,
        other <- nodes,
        one < other,
        do: true = :erpc.call(one, Node, :connect, [other])

    nodes
  end
end
