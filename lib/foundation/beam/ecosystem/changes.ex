defmodule Foundation.BEAM.Ecosystem.Changes do
  @moduledoc false

  # What follows from members that come and go: the token of a ring finds its next holder, and those who
  # have asked for it are told. The steward calls this, when it has written the change into the roster.
  #
  # Whoever subscribes writes its row, counts that, and reads the roster then. The steward writes a
  # change first, and then looks at the count: so a change is in what a subscriber reads, or is told, or both.

  alias Foundation.BEAM.Ecosystem.{Nearest, RingToken, Roster}
  alias Foundation.BEAM.Topology

  @type member :: {Topology.role(), pid()}

  @doc "Members are gone, `left`, or have come, `joined`; either may be none. The state is the steward's."
  @spec happened(struct(), [member()], [member()]) :: struct()
  def happened(%{table: table, id: id} = state, left, joined) do
    heal(table, left)
    %{subscribers: subscribers} = state = newcomers(state)
    message = {:members_changed, id, %{joined: joined, left: left}}
    for {pid, _monitor} <- subscribers, do: send(pid, message)
    state
  end

  # Those of whom the steward has not heard yet.
  defp newcomers(%{table: table, subscriptions: known} = state) do
    case Roster.get(table, :subscriptions) do
      ^known -> state
      count -> Enum.reduce(subscribers(table), %{state | subscriptions: count}, &subscribed/2)
    end
  end

  @doc "That process is told from now on."
  @spec subscribed(pid(), struct()) :: struct()
  def subscribed(pid, %{subscribers: known} = state) when is_map_key(known, pid), do: state

  def subscribed(pid, state),
    do: put_in(state.subscribers[pid], :erlang.monitor(:process, pid, tag: :subscriber))

  @doc "It is not, unless it has subscribed again since."
  @spec unsubscribed(pid(), struct()) :: struct()
  def unsubscribed(pid, %{table: table} = state) do
    if :ets.member(table, {:subscriber, pid}) do
      state
    else
      {monitor, subscribers} = Map.pop(state.subscribers, pid)
      if monitor, do: Process.demonitor(monitor, [:flush])
      %{state | subscribers: subscribers}
    end
  end

  @doc "Sees to it that the token is with a member; after those ends nobody can tell where it was."
  @spec heal(Roster.table(), [member()] | :unknown) :: term()
  def heal(table, []), do: RingToken.heal(table, members(table))
  def heal(table, :unknown), do: RingToken.heal(table, members(table), :unknown)

  def heal(table, left),
    do: for({_role, pid} <- left, do: RingToken.heal(table, members(table), pid))

  @doc "The members, as `RingToken` asks for them."
  @spec members(Roster.table()) :: RingToken.members()
  def members(table) do
    fn
      :all -> Roster.living(table)
      {why, %{holder: {role, _pid} = holder}} -> near(why, table, Roster.number(role), holder)
    end
  end

  # Each end of a member heals. Of a thousand that end one after the other, none is to look past those before.
  defp near(:heal, table, number, {_role, pid} = holder) do
    if Roster.up(table, number) == {:ok, pid}, do: [holder], else: Nearest.near(table, number)
  end

  defp near(:pass, table, number, _holder), do: Nearest.near(table, number)

  @doc """
  Tells of the topology, if it is another than was told last. By the steward alone, and what it is now: so
  nobody hears of an earlier one later. Of several changes at once it tells the last.
  """
  @spec topology(struct()) :: :ok
  def topology(%{table: table, id: id, subscribers: subscribers}) do
    with [{:topology, name, change, told}] when change != told <- :ets.lookup(table, :topology) do
      for {pid, _monitor} <- subscribers, do: send(pid, {:topology_changed, id, name})
      :ets.update_element(table, :topology, {4, change})
    end

    :ok
  end

  @doc "Who is told; where anybody has ever asked for it, it looks through the table for them."
  @spec subscribers(Roster.table()) :: [pid()]
  def subscribers(table) do
    if :ets.member(table, :subscriptions),
      do: :ets.select(table, [{{{:subscriber, :"$1"}}, [], [:"$1"]}]),
      else: []
  end

  @spec subscribe(Roster.table(), pid()) :: boolean()
  def subscribe(table, pid) do
    first? = :ets.insert_new(table, {{:subscriber, pid}})
    if first?, do: :ets.update_counter(table, :subscriptions, 1, {:subscriptions, 0})
    first?
  end

  @spec unsubscribe(Roster.table(), pid()) :: true
  def unsubscribe(table, pid), do: :ets.delete(table, {:subscriber, pid})

  @doc """
  Tells workers of a coordinator that has come back; those whose start began later have found it. Where
  another has followed it already, that one's return is told.
  """
  @spec back(Roster.table(), pid(), integer()) :: :ok
  def back(table, pid, since),
    do: if(Roster.coordinator(table) == pid, do: coordinator(table, pid, since), else: :ok)

  defp coordinator(table, pid, since) do
    for {_, worker, begun, _, _, _} <- Roster.workers(table), begun <= since do
      send(worker, {:coordinator_changed, pid})
    end

    :ok
  end

  @doc """
  The same where nobody has told of it: a coordinator that was restarted when not all workers had their
  rows, or while there was no steward.
  """
  @spec tell_who_began_before(Roster.table()) :: :ok
  def tell_who_began_before(table) do
    # Of those who begin behind this, some find another one than is read here.
    now = System.monotonic_time()

    case Roster.member(table, 0) do
      {0, pid, _begun, restarts, _status, _module} when restarts > 0 ->
        coordinator(table, pid, now)

      _the_first ->
        :ok
    end
  end
end
