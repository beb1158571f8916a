defmodule Foundation.BEAM.SharedStore.Coordinator do
  @moduledoc false

  # Who computes a value, and who waits for it. A flight is one computation, named by store and key.
  #
  # The first that joins leads: it computes in its own process. The others are given a seat, which is
  # an alias of theirs that takes one message and a monitor of this process at once: whatever comes
  # second, or after the waiting is over, never reaches their mailbox.
  #
  # A flight ends in one of two ways. It lands: the leader is given the seats and hands out its
  # result itself, so that no value passes through here; until it says that all are served, those
  # seats are kept. Or it crashes: the leader says so or ends, and every seat that is known is told.
  # One that was served already drops that second message.
  #
  # Functions that users call are above the callbacks, as in the client of any process.

  use GenServer

  @name Module.concat(__MODULE__, Partitions)

  @type flight :: term()
  @type lead :: {pid(), flight(), reference()}
  @type outcome :: {:landed, term()} | {:crashed, atom(), term()}

  # One process for each scheduler, by the hash of the flight.
  @spec partitions() :: {module(), keyword()}
  def partitions, do: {PartitionSupervisor, child_spec: __MODULE__, name: @name}

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil)

  @doc "The process that coordinates the flight, `nil` while the application is not running."
  @spec whereis(flight()) :: pid() | nil
  def whereis(flight) do
    case GenServer.whereis({:via, PartitionSupervisor, {@name, flight}}) do
      coordinator when is_pid(coordinator) -> coordinator
      _none -> nil
    end
  catch
    :exit, _not_started -> nil
  end

  @doc """
  Leads the flight where there is none, else waits for its outcome, `timeout` milliseconds.
  """
  @spec join(flight(), timeout()) ::
          {:lead, lead()} | outcome() | :timeout | :reentrant | :not_started
  def join(flight, timeout) do
    case whereis(flight) do
      nil -> :not_started
      coordinator -> join(coordinator, flight, timeout)
    end
  end

  @doc "As `join/2`, of a coordinator that is known."
  @spec join(pid(), flight(), timeout()) ::
          {:lead, lead()} | outcome() | :timeout | :reentrant
  def join(coordinator, flight, timeout) do
    seat = :erlang.monitor(:process, coordinator, alias: :reply_demonitor)

    case call(coordinator, {:join, flight, seat}) do
      :wait ->
        receive do
          {^seat, outcome} -> outcome
          {:DOWN, ^seat, :process, _, reason} -> {:crashed, :exit, reason}
        after
          timeout ->
            # The alias goes with the monitor; what came before it went is still an outcome.
            :erlang.demonitor(seat, [:flush])
            GenServer.cast(coordinator, {:leave, flight, seat})

            receive do
              {^seat, outcome} -> outcome
            after
              0 -> :timeout
            end
        end

      answer ->
        :erlang.demonitor(seat, [:flush])

        case answer do
          {:lead, token} -> {:lead, {coordinator, flight, token}}
          other -> other
        end
    end
  end

  @doc "Ends the flight with a result, which is handed to everybody who waits for it."
  @spec land(lead(), term()) :: :ok
  def land({coordinator, flight, token}, result) do
    case call(coordinator, {:land, flight, token}) do
      [_ | _] = seats ->
        for seat <- seats, do: send(seat, {seat, {:landed, result}})
        GenServer.cast(coordinator, {:served, token})

      # Nobody waits; or the coordinator is gone, and whoever waited has been told so by that.
      _none ->
        :ok
    end
  end

  @doc "Ends the flight without a result: everybody who waits is told why."
  @spec crash(lead(), atom(), term()) :: :ok
  def crash({coordinator, flight, token}, kind, reason),
    do: GenServer.cast(coordinator, {:crash, flight, token, kind, reason})

  defp call(coordinator, request) do
    GenServer.call(coordinator, request, :infinity)
  catch
    :exit, {reason, _} -> {:crashed, :exit, reason}
  end

  # `flights`: the leader, its monitor (which is its token), and the seats with their monitors.
  # `monitors`: what the end of a process means. `serving`: seats of flights that have landed.
  @impl true
  def init(nil), do: {:ok, %{flights: %{}, monitors: %{}, serving: %{}}}

  @impl true
  def handle_call({:join, flight, seat}, {pid, _}, state) do
    case state.flights do
      %{^flight => %{leader: ^pid}} ->
        {:reply, :reentrant, state}

      %{^flight => %{seats: seats} = known} ->
        monitor = Process.monitor(pid)
        known = %{known | seats: Map.put(seats, seat, monitor)}
        {:reply, :wait, state |> keep(flight, known) |> watch(monitor, {:seat, flight, seat})}

      _none ->
        token = Process.monitor(pid)
        new = %{leader: pid, token: token, seats: %{}}
        {:reply, {:lead, token}, state |> keep(flight, new) |> watch(token, {:leader, flight})}
    end
  end

  def handle_call({:land, flight, token}, _from, state) do
    case remove(state, flight, token) do
      {[], state} ->
        Process.demonitor(token, [:flush])
        {:reply, [], %{state | monitors: Map.delete(state.monitors, token)}}

      {seats, state} ->
        monitors = Map.put(state.monitors, token, {:server, token})
        serving = Map.put(state.serving, token, seats)
        {:reply, seats, %{state | monitors: monitors, serving: serving}}
    end
  end

  @impl true
  def handle_cast({:leave, flight, seat}, state), do: {:noreply, leave(state, flight, seat)}

  def handle_cast({:served, token}, state) do
    Process.demonitor(token, [:flush])
    monitors = Map.delete(state.monitors, token)
    {:noreply, %{state | monitors: monitors, serving: Map.delete(state.serving, token)}}
  end

  def handle_cast({:crash, flight, token, kind, reason}, state) do
    {seats, state} = remove(state, flight, token)
    Process.demonitor(token, [:flush])
    tell(seats, kind, reason)
    {:noreply, %{state | monitors: Map.delete(state.monitors, token)}}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, reason}, state) do
    {meaning, monitors} = Map.pop(state.monitors, monitor)
    {:noreply, ended(meaning, monitor, reason, %{state | monitors: monitors})}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp ended({:leader, flight}, token, reason, state) do
    {seats, state} = remove(state, flight, token)
    tell(seats, :exit, reason)
    state
  end

  # Ended while it handed out its result: those not yet served look into the store.
  defp ended({:server, token}, token, reason, state) do
    {seats, serving} = Map.pop(state.serving, token)
    tell(seats, :exit, reason)
    %{state | serving: serving}
  end

  defp ended({:seat, flight, seat}, _monitor, _reason, state), do: leave(state, flight, seat)
  defp ended(nil, _monitor, _reason, state), do: state

  defp keep(state, flight, known), do: %{state | flights: Map.put(state.flights, flight, known)}

  defp watch(state, monitor, meaning),
    do: %{state | monitors: Map.put(state.monitors, monitor, meaning)}

  # Takes the flight out, if it is still the one of this leader, and gives its seats.
  defp remove(state, flight, token) do
    case state.flights do
      %{^flight => %{token: ^token, seats: seats}} ->
        monitors = Map.values(seats)
        Enum.each(monitors, &Process.demonitor(&1, [:flush]))
        monitors = Map.drop(state.monitors, monitors)

        {Map.keys(seats),
         %{state | flights: Map.delete(state.flights, flight), monitors: monitors}}

      _another ->
        {[], state}
    end
  end

  defp leave(state, flight, seat) do
    case state.flights do
      %{^flight => %{seats: %{^seat => monitor} = seats} = known} ->
        Process.demonitor(monitor, [:flush])
        state = %{state | monitors: Map.delete(state.monitors, monitor)}
        keep(state, flight, %{known | seats: Map.delete(seats, seat)})

      _landed_or_gone ->
        state
    end
  end

  defp tell(seats, kind, reason),
    do: for(seat <- seats, do: send(seat, {seat, {:crashed, kind, reason}}))
end
