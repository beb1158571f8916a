defmodule Foundation.EcosystemBusyTest do
  # A thousand members, and one that answers no signal: what is told of them does not wait for it.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.{Stuck, Telemetry}

  @moduletag :two_schedulers

  defmodule Busy do
    use GenServer
    def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

    @impl true
    def init(opts), do: {:ok, opts}

    @impl true
    def handle_cast({:stuck, to}, opts) do
      Stuck.enter(to)
      {:noreply, opts}
    end

    @impl true
    def handle_info(_message, opts), do: {:noreply, opts}
  end

  defp ecosystem!(count) do
    {:ok, ecosystem} = Processes.spawn_ecosystem(coordinator: Busy, workers: {Busy, count: count})

    on_exit(fn -> Processes.shutdown_ecosystem(ecosystem) end)
    ecosystem
  end

  # One of twenty: the machine may do something else in between.
  defp within?(limit, fun) do
    Enum.any?(1..20, fn _ ->
      {time, _result} = :timer.tc(fun)
      time < limit
    end)
  end

  test "a thousand idle workers are told of in 20 ms" do
    ecosystem = ecosystem!(1_000)
    assert {:ok, %{total_processes: 1_001}} = Processes.ecosystem_info(ecosystem)
    assert within?(20_000, fn -> Processes.ecosystem_info(ecosystem) end)
    assert within?(20_000, fn -> Processes.ecosystem_health(ecosystem) end)
    assert within?(20_000, fn -> Processes.current(ecosystem) end)
    assert within?(20_000, fn -> EcosystemSupervisor.list_workers(ecosystem) end)
  end

  @looks [
    info: &Processes.ecosystem_info/1,
    health: &Processes.ecosystem_health/1,
    metrics: &Telemetry.ecosystem_metrics/1,
    current: &Processes.current/1,
    coordinator: &EcosystemSupervisor.get_coordinator/1,
    workers: &__MODULE__.workers/1,
    listed: &__MODULE__.listed/1
  ]

  def workers(ecosystem), do: {:ok, EcosystemSupervisor.list_workers(ecosystem)}
  def listed(_ecosystem), do: {:ok, Processes.list_ecosystems()}

  # What tells of members, while one is inside, until each has answered in time once: the machine may do
  # something else in between.
  defp look(ecosystem, pid, found) do
    Stuck.start!(fn ->
      GenServer.cast(pid, {:stuck, self()})
      pid
    end)

    found = inside(ecosystem, pid, found, Keyword.keys(@looks) -- Map.keys(found))
    # It answers when it is out, and has said so: nothing of that is there the next time.
    :sys.get_state(pid, 60_000)
    Stuck.still?(pid)
    found
  end

  defp inside(_ecosystem, _pid, found, []), do: found

  defp inside(ecosystem, pid, found, [name | others]) do
    {time, {:ok, result}} = :timer.tc(fn -> @looks[name].(ecosystem) end)

    cond do
      not Stuck.still?(pid) -> found
      time < 100_000 -> inside(ecosystem, pid, Map.put(found, name, result), others)
      true -> inside(ecosystem, pid, found, others ++ [name])
    end
  end

  defp in_time(ecosystem, pid) do
    Enum.reduce_while(1..12, %{}, fn _, found ->
      found = look(ecosystem, pid, found)
      if map_size(found) == length(@looks), do: {:halt, found}, else: {:cont, found}
    end)
  end

  for {who, count} <- [worker: 1_000, coordinator: 3] do
    test "a #{who} that answers no signal is :unresponsive, and nobody waits 100 ms for it" do
      ecosystem = ecosystem!(unquote(count))

      pid =
        if unquote(who) == :worker,
          do: Enum.at(ecosystem.workers, 500),
          else: ecosystem.coordinator

      # To load a module takes every scheduler.
      for {_name, fun} <- @looks, do: fun.(ecosystem)

      looks = in_time(ecosystem, pid)
      assert Enum.sort(Map.keys(looks)) == Enum.sort(Keyword.keys(@looks))
      result = &Map.fetch!(looks, &1)
      info = result.(:info)

      assert [%{pid: ^pid, memory: nil, message_queue_len: nil}] =
               Enum.filter([info.coordinator | info.workers], &(&1.status == :unresponsive))

      assert {result.(:health).status, result.(:metrics).status} == {:degraded, :degraded}
      assert pid in [result.(:coordinator) | result.(:workers)]
      assert pid in [result.(:current).coordinator | result.(:current).workers]
      assert [%{members: members}] = result.(:listed)
      # It lives: nobody is restarted for it.
      assert info.total_processes == unquote(count) + 1 and members == unquote(count) + 1
      assert Enum.all?([info.coordinator | info.workers], &(&1.restarts == 0))
    end
  end
end
