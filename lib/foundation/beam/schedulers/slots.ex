defmodule Foundation.BEAM.Schedulers.Slots do
  @moduledoc false

  # Says who may run a slice on a dirty CPU scheduler, so that a hundred jobs do not take all of
  # them, and none waits behind another one for longer than a slice. `Slots.Queue` decides; this
  # process knows who is alive. `Slots.Turn` is the side of those who ask.
  #
  # Whoever is granted a slot gets the pressure as well: a number that this process keeps up to
  # date. While it is 0, nobody waits, and slots are kept without a word.

  use GenServer

  alias Foundation.BEAM.Schedulers.Slots.Queue

  @typedoc "The number of those who wait, to be read by whoever has a slot."
  @type pressure :: :atomics.atomics_ref()

  defstruct [:pressure, queue: Queue.new(), members: %{}, monitors: %{}]

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @doc "Asks for a slot, or for the next one; `{alias, :granted, pressure}` comes to the alias."
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
  def init(_arg), do: {:ok, %__MODULE__{pressure: :atomics.new(1, signed: false)}}

  @impl true
  def handle_cast({:want, job, id, pid, alias}, state) do
    state = remember(state, id, pid, alias)
    {:noreply, state.queue |> Queue.want(job, id, limits()) |> grant(state)}
  end

  def handle_cast({:drop, id}, state) do
    case Map.pop(state.members, id) do
      {nil, _members} ->
        {:noreply, state}

      {{monitor, _alias}, members} ->
        Process.demonitor(monitor, [:flush])
        {:noreply, forget(%{state | members: members}, id, monitor)}
    end
  end

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

  def handle_info(_other, state), do: {:noreply, state}

  # A holder that asks again is known already.
  defp remember(state, id, pid, alias) do
    case state.members do
      %{^id => {monitor, _before}} ->
        %{state | members: Map.put(state.members, id, {monitor, alias})}

      _new ->
        monitor = Process.monitor(pid)
        monitors = Map.put(state.monitors, monitor, id)
        %{state | members: Map.put(state.members, id, {monitor, alias}), monitors: monitors}
    end
  end

  defp forget(state, id, monitor) do
    state = %{state | monitors: Map.delete(state.monitors, monitor)}
    state.queue |> Queue.drop(id, limits()) |> grant(state)
  end

  # The pressure goes first, so that nobody is granted a slot with an older one.
  defp grant({queue, granted}, %{pressure: pressure} = state) do
    :atomics.put(pressure, 1, Queue.pressure(queue))

    for id <- granted do
      {_monitor, alias} = state.members[id]
      send(alias, {alias, :granted, pressure})
    end

    %{state | queue: queue}
  end
end
