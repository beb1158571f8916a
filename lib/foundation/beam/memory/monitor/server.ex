defmodule Foundation.BEAM.Memory.Monitor.Server do
  @moduledoc false

  # The process behind `Foundation.BEAM.Memory.Monitor`: reads, compares, tells.

  use GenServer

  alias Foundation.BEAM.Memory.{OS, Pressure}
  alias Foundation.Telemetry.Dispatch

  @event [:foundation, :ecosystem, :memory_pressure]

  # A group may be divided further, or a file that could not be opened may be there by now.
  @reopen_ms 60_000

  @doc "The level that the monitor of this name has read last; `nil` where it has not told."
  @spec published(atom()) :: Pressure.level() | nil
  def published(name), do: :persistent_term.get({__MODULE__, name}, nil)

  @doc "The first of the times `due + n * interval` that is still to come."
  @spec next_due(integer(), integer(), pos_integer()) :: integer()
  def next_due(due, now, interval), do: due + interval * (max(div(now - due, interval), 0) + 1)

  # The level of a monitor before must not pass for that of this one.
  @impl true
  def init(options) do
    forget(options.name)
    now = now()

    state = %{
      options: options,
      thresholds: Map.take(options, [:medium, :high, :hysteresis]),
      # Opened here: files belong to the process that opens them.
      os: OS.open(options.root),
      reopen: now + @reopen_ms,
      due: now,
      timer: nil,
      level: :low,
      found: nil,
      reading: nil,
      readings: 0,
      subscribers: %{}
    }

    {:ok, state, {:continue, :read}}
  end

  # Before any call is answered.
  @impl true
  def handle_continue(:read, state), do: {:noreply, state |> read() |> schedule()}

  @impl true
  def handle_info({:timeout, timer, :read}, %{timer: timer} = state),
    do: {:noreply, state |> reopen() |> read() |> schedule()}

  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state),
    do: {:noreply, %{state | subscribers: Map.delete(state.subscribers, pid)}}

  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def handle_call(:subscribe, {pid, _tag}, state) do
    subscribers = Map.put_new_lazy(state.subscribers, pid, fn -> Process.monitor(pid) end)
    {:reply, {:ok, state.level}, %{state | subscribers: subscribers}}
  end

  def handle_call(:unsubscribe, {pid, _tag}, state) do
    {monitor, subscribers} = Map.pop(state.subscribers, pid)
    if monitor, do: Process.demonitor(monitor, [:flush])
    {:reply, :ok, %{state | subscribers: subscribers}}
  end

  def handle_call(:level, _from, state), do: {:reply, state.level, state}

  def handle_call(:info, _from, state) do
    info =
      state.reading
      |> Map.merge(state.found)
      |> Map.merge(Map.take(state, [:level, :readings, :thresholds]))
      |> Map.merge(%{
        subscribers: map_size(state.subscribers),
        interval: state.options.interval
      })

    {:reply, info, state}
  end

  # A process that is killed has no time for this; then the VM closes its files.
  @impl true
  def terminate(_reason, state) do
    forget(state.options.name)
    OS.close(state.os)
  end

  defp read(state) do
    {reading, os} = OS.sample(state.os)
    found = found(Pressure.tightest(reading.limits))
    level = Pressure.next(state.level, found.fraction, state.thresholds)
    publish(state.options.name, level, state)
    tell(level, found, state)
    count = state.readings + 1
    %{state | os: os, reading: reading, found: found, level: level, readings: count}
  end

  # Without any limit there is still something that is used.
  defp found(%{kind: nil} = none), do: %{none | used: OS.vm_total() || 0}
  defp found(found), do: found

  defp tell(level, _found, %{level: level}), do: :ok

  defp tell(level, found, state) do
    change = Map.merge(found, %{level: level, previous: state.level, monitor: self()})
    message = {:foundation_memory_pressure, change}
    # A connection that is full must not hold up what others are told.
    for {pid, _monitor} <- state.subscribers, do: Process.send(pid, message, [:nosuspend])

    measurements = %{fraction: found.fraction, used: found.used, limit: found.limit || 0}
    Dispatch.execute(@event, measurements, Map.take(change, [:level, :previous, :kind, :monitor]))
  end

  # Levels are atoms: to replace one scans no process.
  defp publish(name, level, state) when is_atom(name) and name != nil do
    if level != state.level or state.readings == 0,
      do: :persistent_term.put({__MODULE__, name}, level)
  end

  defp publish(_name, _level, _state), do: :ok

  defp forget(name), do: :persistent_term.erase({__MODULE__, name})

  defp reopen(state) do
    now = now()

    if now < state.reopen,
      do: state,
      else: %{state | os: OS.reopen(state.os), reopen: now + @reopen_ms}
  end

  # Times are fixed points: a reading that is late does not move those after it.
  defp schedule(state) do
    due = next_due(state.due, now(), state.options.interval)
    %{state | due: due, timer: :erlang.start_timer(due, self(), :read, abs: true)}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
