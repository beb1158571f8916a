defmodule Foundation.Chaos do
  @moduledoc """
  Kills processes of an ecosystem, members, supervisors and steward alike, adds workers and removes them
  at the same time, and says what is not as it should be when it has come to rest. It needs nothing of
  ExUnit: `bench/chaos.exs` uses it as well.

  What is looked at: that every role is there once, under its own name, and knows the coordinator and all
  other members, where the roles are those that adding and removing have returned; that a ring has one token, with a member that lives; that no process of the
  ecosystem's is outside of its tree; that the registry has it once; that its table has nothing of
  those who have gone; and that its steward waits for nobody.
  """

  alias Foundation.BEAM.Ecosystem.{Reaper, RingToken, Roster}
  alias Foundation.BEAM.{EcosystemSupervisor, Processes}
  alias Foundation.{Eventually, ProcessRegistry, Talker}

  @doc "Starts an ecosystem of `Foundation.Talker`s; the options are of its configuration, and `count:`."
  def start(opts) do
    {count, opts} = Keyword.pop(opts, :count, 4)

    {:ok, ecosystem} =
      [
        coordinator: {Talker, subscribe: true},
        workers: {Talker, subscribe: true, count: count},
        fault_tolerance: :self_healing,
        max_restarts: 1_000_000
      ]
      |> Keyword.merge(opts)
      |> Processes.spawn_ecosystem()

    if ecosystem.topology == :ring, do: {:ok, _token} = Processes.start_token(ecosystem)
    ecosystem
  end

  @doc "Kills the process at that place among those that there are now; says whether there was one."
  def kill(ecosystem, place) do
    case tree(ecosystem.supervisor) do
      [] -> false
      pids -> pids |> Enum.sort() |> Enum.at(rem(place, length(pids))) |> Process.exit(:kill)
    end
  end

  @doc "Has whoever holds the token pass it on."
  def pass(ecosystem),
    do: for({_role, pid} <- Roster.living(ecosystem.table), do: Talker.pass(pid))

  @doc "Adds a worker: `{:added, role}`, `nil` where it has been removed already, or `{:failed, reason}`."
  def add(%{table: table} = ecosystem) do
    tag = make_ref()

    case EcosystemSupervisor.add_worker(ecosystem, Talker, subscribe: true, tag: tag) do
      # Its process may be another by now.
      {:ok, pid} when is_pid(pid) ->
        own = [Talker, [subscribe: true, tag: tag], false]
        numbers = :ets.select(table, [{{{:own, :"$1"}, own}, [], [:"$1"]}])
        {:added, numbers |> Enum.map(&Roster.role/1) |> List.first()}

      {:error, error} ->
        {:failed, error}
    end
  end

  @doc """
  Removes the worker at that place, if there are more than two: `{:removed, role}`, `nil` where there are
  not; `{:failed, role}` where it has been replaced, or removed, meanwhile.
  """
  def remove(ecosystem, place) do
    workers = Roster.workers(ecosystem.table)

    if length(workers) > 2 do
      {number, pid, _, _, _, _} = Enum.at(workers, rem(place, length(workers)))

      case EcosystemSupervisor.remove_worker(ecosystem, pid) do
        :ok -> {:removed, Roster.role(number)}
        {:error, :not_found} -> {:failed, Roster.role(number)}
      end
    else
      {:removed, nil}
    end
  end

  @typedoc "The end of steward or coordinator, a pass of the token, or another topology."
  @type act :: :steward | :coordinator | :pass | :tree | :mesh | :ring

  @doc """
  Everything at once: kills those at the first places, removes those at the second, adds so many, and
  does what else is asked for. Gives what adding and removing have returned, and `:killed` for each kill.
  Where it has been made a ring, it has a token.
  """
  @spec churn(map(), [integer()], [integer()], integer(), [act()]) :: [term()]
  def churn(ecosystem, kills, removals, additions, acts) do
    results =
      [
        fn -> for place <- kills, kill(ecosystem, place), do: :killed end,
        fn -> for place <- removals, do: remove(ecosystem, place) end,
        fn -> for _ <- 1..additions//1, do: add(ecosystem) end,
        fn -> Enum.flat_map(acts, &act(ecosystem, &1)) end
      ]
      |> Enum.map(&Task.async/1)
      |> Task.await_many(60_000)
      |> Enum.concat()

    # It has got none yet where nobody lived.
    if :ring in acts, do: Eventually.eventually?(fn -> token?(ecosystem) end)
    results
  end

  defp act(%{table: table}, :steward), do: end_of(Roster.get(table, :steward))
  defp act(%{table: table}, :coordinator), do: end_of(Roster.coordinator(table))

  defp act(ecosystem, :pass) do
    pass(ecosystem)
    []
  end

  defp act(ecosystem, topology) do
    topology(ecosystem, topology)
    []
  end

  defp end_of(nil), do: []

  defp end_of(pid) do
    Process.exit(pid, :kill)
    [:killed]
  end

  defp token?(%{table: table} = ecosystem) do
    Processes.start_token(ecosystem)
    Roster.topology(table) != :ring or match?({:ok, _}, RingToken.current(table))
  end

  @doc "The roles that there are after what adding and removing have returned."
  def roles(roles, results) do
    added = for {:added, role} when role != nil <- results, do: role
    removed = for {:removed, role} <- results, do: role
    Enum.sort_by((roles ++ added) -- removed, &Roster.number/1)
  end

  @doc "Changes the topology; a ring gets a new token."
  def topology(ecosystem, name) do
    :ok = Processes.set_topology(ecosystem, name)
    if name == :ring, do: Processes.start_token(ecosystem)
    :ok
  end

  @doc "Waits until nothing is wrong: `[]`, or what still is after that many milliseconds."
  def settle(ecosystem, roles, patience \\ 30_000) do
    if Eventually.eventually?(fn -> faults(ecosystem, roles) == [] end, patience),
      do: [],
      else: faults(ecosystem, roles)
  end

  @doc "Ends the ecosystem; what it leaves behind."
  def stop(ecosystem) do
    :ok = Processes.shutdown_ecosystem(ecosystem)

    gather(
      registry: Processes.whereis(ecosystem.id),
      table: :ets.info(ecosystem.table) != :undefined,
      orphans: orphans(ecosystem.supervisor, [])
    )
  end

  @doc "What is wrong now: `{what, how}` of each."
  def faults(ecosystem, roles) do
    living = Roster.living(ecosystem.table)
    seen = for {role, pid} <- living, do: {role, pid, Talker.look(pid)}
    tree = tree(ecosystem.supervisor)

    gather(
      roles: differ(Enum.map(living, &elem(&1, 0)), roles),
      names: for({role, _pid, look} <- seen, look.role != role, do: role),
      coordinator: strangers_to_coordinator(seen),
      members: for({role, _pid, look} <- seen, look.known != Map.new(living), do: role),
      token: token(ecosystem, living, seen),
      dead: for({role, pid} <- living, pid not in tree, do: role),
      orphans: orphans(ecosystem.supervisor, tree),
      registry: registry(ecosystem),
      table: table(ecosystem.table, roles),
      steward: steward(:sys.get_state(Roster.get(ecosystem.table, :steward), 10_000))
    )
  catch
    # Who was asked has died in between, or does not answer.
    :exit, reason -> [asked: reason]
  end

  defp gather(faults),
    do: for({what, how} <- faults, how not in [[], nil, false, :ok], do: {what, how})

  defp differ(same, same), do: :ok
  defp differ(found, expected), do: {:found, found, :expected, expected}

  defp strangers_to_coordinator(seen) do
    coordinator = for {:coordinator, pid, _look} <- seen, do: pid
    for {{:worker, _} = role, _pid, look} <- seen, [look.coordinator] != coordinator, do: role
  end

  # The one that is current is with one member, which lives; older ones are worth nothing.
  defp token(ecosystem, living, seen) do
    holders = fn token -> for {role, pid, %{token: ^token}} <- seen, do: {role, pid} end

    case {Roster.topology(ecosystem.table), RingToken.current(ecosystem.table)} do
      {:ring, {:ok, token}} ->
        if holders.(token) == [token.holder] and token.holder in living,
          do: :ok,
          else: {:with, holders.(token), :current, token}

      {:ring, :error} ->
        :none

      {_topology, :error} ->
        :ok

      {topology, {:ok, token}} ->
        {topology, token}
    end
  end

  defp registry(ecosystem) do
    keys = Registry.keys(ProcessRegistry, ecosystem.supervisor)
    key = {:production, {:ecosystem_supervisor, ecosystem.id}}

    if keys == [key] and Processes.whereis(ecosystem.id) == ecosystem.supervisor,
      do: :ok,
      else: keys
  end

  # Failures are as many as are kept, the rest by what there is.
  defp table(table, roles) do
    numbers = Enum.map(roles, &Roster.number/1)
    for row <- :ets.tab2list(table), not expected?(row, numbers), do: elem(row, 0)
  end

  defp expected?({{:subscriber, pid}}, _numbers), do: Process.alive?(pid)
  defp expected?({{:supervisor, _part}, pid}, _numbers), do: Process.alive?(pid)
  defp expected?({{kind, number}, _}, numbers) when kind == :own, do: number in numbers
  defp expected?({{:failure, slot}, _, _}, _numbers), do: slot < 100

  defp expected?({number, pid, _, _, :up, Talker}, _numbers) when is_integer(number),
    do: Process.alive?(pid)

  defp expected?({key, pid}, _numbers) when key in [:steward], do: Process.alive?(pid)

  defp expected?(row, _numbers),
    do:
      elem(row, 0) in [
        :about,
        :plan,
        :state,
        :next,
        :topology,
        :token,
        :starting,
        :failed_at,
        :changes,
        :pids,
        :pressure,
        :subscriptions
      ]

  defp steward(state), do: if(state.pending == %{} and state.early == %{}, do: :ok, else: state)

  @doc "Every process below a supervisor."
  def tree(pid), do: pid |> Reaper.children() |> Enum.flat_map(&[&1 | tree(&1)])

  # OTP writes down in each process who has started it, and who that one.
  defp orphans(supervisor, tree) do
    for pid <- Process.list(), pid not in tree, supervisor in ancestors(pid), do: pid
  end

  defp ancestors(pid) do
    with {:dictionary, dictionary} <- Process.info(pid, :dictionary),
         {_key, ancestors} <- List.keyfind(dictionary, :"$ancestors", 0),
         do: ancestors,
         else: (_ -> [])
  end
end
