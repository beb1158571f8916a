defmodule Foundation.BEAM.Schedulers.Slots do
  @moduledoc false

  # Says who may run a slice on a dirty CPU scheduler, so that a hundred jobs do not take all of
  # them, and none waits behind another one for longer than a slice. `Slots.Queue` decides; this
  # process knows who is alive. `Slots.Turn` is the side of those who ask.
  #
  # Whoever is granted a slot gets the pressure as well: a number that this process keeps up to
  # date. While it is 0, nobody waits, and slots are kept without a word.
  #
  # A holder that is suspended, or gets no processor, would keep its slot from all others. So where
  # somebody waits for long, slots that were granted before that wait began are taken back. A second
  # number, which is counted up then, tells holders to ask again, before their next slice.

  use GenServer

  alias Foundation.BEAM.Schedulers.Slots.Queue

  @typedoc "How many wait, and how often slots were taken back, to be read by whoever has one."
  @type pressure :: :atomics.atomics_ref()

  # Milliseconds, many times the length of a slice.
  @lease_ms 100

  # Of each member its monitor, its alias, and the number of its grant, while it has a slot. `watch` is
  # a timer, and how many grants there were when it was started, while somebody waits.
  defstruct [
    :pressure,
    :watch,
    queue: Queue.new(),
    members: %{},
    monitors: %{},
    grants: 0,
    revoked: 0,
    lease: @lease_ms
  ]

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Asks for a slot, or for the next one; `{alias, :granted, {pressure, revoked}}` comes."
  @spec want(pid(), term(), reference(), reference()) :: :ok
  def want(slots, job, id, alias), do: GenServer.cast(slots, {:want, job, id, self(), alias})

  @doc "Gives a slot back, or the wish for one."
  @spec drop(pid(), reference()) :: :ok
  def drop(slots, id), do: GenServer.cast(slots, {:drop, id})

  @doc "How many slots there are: for several jobs together, and for one that is alone."
  @spec limits() :: Queue.limits()
  def limits do
    all = :erlang.system_info(:dirty_cpu_schedulers_online)
    {max(all - 1, 1), all}
  end

  @impl true
  def init(_arg), do: {:ok, %__MODULE__{pressure: :atomics.new(2, signed: false)}}

  @impl true
  def handle_cast({:want, job, id, pid, alias}, state) do
    state = remember(state, id, pid, alias)
    {:noreply, state.queue |> Queue.want(job, id, limits()) |> grant(state)}
  end

  def handle_cast({:drop, id}, state), do: {:noreply, drop_id(id, state)}

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    case state.monitors do
      %{^monitor => id} ->
        members = Map.delete(state.members, id)
        {:noreply, forget(%{state | members: members}, id, monitor)}

      _other ->
        {:noreply, state}
    end
  end

  def handle_info({:timeout, timer, :overdue}, %{watch: {timer, since}} = state) do
    overdue = for {id, {_, _, grant}} <- state.members, grant != nil and grant < since, do: id
    # The next wait is measured anew.
    {:noreply, %{state | watch: nil} |> revoke(overdue) |> watch()}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp revoke(state, []), do: state

  # The number goes first, so that nobody else has the slot before its holder could know.
  defp revoke(state, ids) do
    :atomics.put(state.pressure, 2, state.revoked + 1)
    Enum.reduce(ids, %{state | revoked: state.revoked + 1}, &drop_id/2)
  end

  defp drop_id(id, state) do
    case Map.pop(state.members, id) do
      {nil, _members} ->
        state

      {{monitor, _alias, _grant}, members} ->
        Process.demonitor(monitor, [:flush])
        forget(%{state | members: members}, id, monitor)
    end
  end

  # A holder that asks again is known already.
  defp remember(state, id, pid, alias) do
    case state.members do
      %{^id => {monitor, _before, _grant}} ->
        %{state | members: Map.put(state.members, id, {monitor, alias, nil})}

      _new ->
        monitor = Process.monitor(pid)
        monitors = Map.put(state.monitors, monitor, id)
        %{state | members: Map.put(state.members, id, {monitor, alias, nil}), monitors: monitors}
    end
  end

  defp forget(state, id, monitor) do
    state = %{state | monitors: Map.delete(state.monitors, monitor)}
    state.queue |> Queue.drop(id, limits()) |> grant(state)
  end

  # The pressure goes first, so that nobody is granted a slot with an older one.
  defp grant({queue, granted}, state) do
    :atomics.put(state.pressure, 1, Queue.pressure(queue))

    granted |> Enum.reduce(%{state | queue: queue}, &granted/2) |> watch()
  end

  defp granted(id, %{grants: grants, pressure: pressure} = state) do
    {monitor, alias, nil} = state.members[id]
    send(alias, {alias, :granted, {pressure, state.revoked}})
    members = Map.put(state.members, id, {monitor, alias, grants})
    %{state | members: members, grants: grants + 1}
  end

  # A wait begins with the first who waits, and ends when nobody does.
  defp watch(%{watch: watch} = state) do
    case {Queue.pressure(state.queue), watch} do
      {0, nil} ->
        state

      {0, {timer, _since}} ->
        :erlang.cancel_timer(timer, async: true, info: false)
        %{state | watch: nil}

      {_some, nil} ->
        %{state | watch: {:erlang.start_timer(state.lease, self(), :overdue), state.grants}}

      _watched ->
        state
    end
  end
end
