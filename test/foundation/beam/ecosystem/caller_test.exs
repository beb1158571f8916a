defmodule Foundation.BEAM.Ecosystem.CallerTest do
  # Members that speak before all have started are members all the same, then and later.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.BEAM.Ecosystem.{Caller, Config, Roster}
  alias Foundation.Talker

  @moduletag :capture_log

  # Speaks as soon as it can, then does what a `Talker` does.
  defmodule Early do
    use GenServer

    def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

    @impl true
    def init(opts) do
      if opts[:early] == :init, do: speak(opts)
      {:ok, state} = Talker.init(opts)
      {:ok, state, {:continue, :started}}
    end

    @impl true
    def handle_continue(:started, %{opts: opts} = state) do
      if opts[:early] == :continue, do: speak(opts)
      if opts[:early] == :message, do: send(self(), :speak)
      {:noreply, state}
    end

    @impl true
    def handle_info(:speak, state) do
      speak(state.opts)
      {:noreply, state}
    end

    def handle_info(message, state), do: Talker.handle_info(message, state)

    @impl true
    defdelegate handle_call(request, from, state), to: Talker

    defp speak(opts) do
      id = opts[:ecosystem_id]
      Foundation.BEAM.Processes.broadcast(id, :early)
      Foundation.BEAM.Processes.send_to(id, :coordinator, :early)
    end
  end

  @layouts [
    flat: [],
    rest_for_one: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    one_for_all: [fault_tolerance: :self_healing, supervision: :one_for_all]
  ]

  defp early!(early, opts) do
    member = [test: self(), early: early]
    opts = [coordinator: {Early, member}, workers: {Early, [count: 3] ++ member}] ++ opts
    Member.ecosystem!(opts)
  end

  # What each takes itself for, and whether what is to go by the coordinator arrives.
  defp known_to_itself?(ecosystem) do
    for {role, pid} <- Roster.living(ecosystem.table) do
      assert Talker.inside(pid, fn -> Caller.role(ecosystem.table) end) == role
    end

    text = make_ref()
    {:ok, first} = Roster.up(ecosystem.table, 1)
    Talker.inside(first, fn -> Processes.send_to(ecosystem, {:worker, 2}, text) end)
    assert_receive {:heard, {:worker, 2}, {:ecosystem_message, {:worker, 1}, ^text}}
  end

  for {name, opts} <- @layouts, early <- [:init, :continue, :message] do
    test "#{name}: who speaks in its first #{early} is a member, also after restarts" do
      ecosystem = early!(unquote(early), unquote(opts))
      known_to_itself?(ecosystem)

      for _round <- 1..2, unquote(opts) != [] do
        old = elem(Roster.up(ecosystem.table, 0), 1)
        workers = for n <- 1..3, do: elem(Roster.up(ecosystem.table, n), 1)
        Process.exit(old, :kill)
        back(ecosystem, [old | workers])
        known_to_itself?(ecosystem)
      end
    end
  end

  test "who speaks early in a tree of one's own is a member" do
    member = [test: self(), early: :continue]
    config = %{id: :own, coordinator: {Early, member}, workers: {Early, [count: 3] ++ member}}
    start_supervised!({EcosystemSupervisor, config})
    {:ok, ecosystem} = Processes.current(:own)
    known_to_itself?(ecosystem)
  end

  test "who comes back with the supervisor of members is a member" do
    for {_name, [_ | _] = opts} <- @layouts do
      ecosystem = early!(:init, opts)
      old = for n <- 0..3, do: elem(Roster.up(ecosystem.table, n), 1)
      Process.exit(Roster.get(ecosystem.table, {:supervisor, 0}), :kill)
      back(ecosystem, old)
      known_to_itself?(ecosystem)
    end
  end

  defp back(ecosystem, old) do
    assert Foundation.Eventually.eventually?(fn ->
             pids = for n <- 0..3, {:ok, pid} <- [Roster.up(ecosystem.table, n)], do: pid
             length(pids) == 4 and pids -- old == pids and Enum.all?(pids, &Process.alive?/1)
           end)
  end

  # Parts start beside each other.
  test "a worker whose part has started before the others is a member" do
    {:ok, plan} = Config.new(coordinator: Agent, workers: {Agent, count: 9})
    table = Roster.new(%{plan | parts: 3})
    Roster.put(table, {:supervisor, 3}, self())
    test = self()

    worker =
      spawn_link(fn ->
        receive do: (:enlisted -> send(test, {:role, Caller.role(table)}))
      end)

    :first = Roster.started(table, 3, worker, Agent, 0)
    # That of the coordinator is another's.
    other = spawn_link(fn -> receive do: (:end -> :ok) end)
    Roster.put(table, {:supervisor, 0}, other)
    send(worker, :enlisted)
    assert_receive {:role, {:worker, 3}}
    send(other, :end)
    :ets.delete(table)
  end
end
