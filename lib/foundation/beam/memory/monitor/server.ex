defmodule Foundation.BEAM.Memory.Monitor.Server do
  @moduledoc false

  # The process behind `Foundation.BEAM.Memory.Monitor`: reads, compares, tells.

  use GenServer

  alias Foundation.BEAM.Memory.{Census, OS, Pressure}
  alias Foundation.Native
  alias Foundation.Telemetry.Dispatch

  @event [:foundation, :ecosystem, :memory_pressure]

  # A thread that waits for a file costs the VM more than the file: about half a millisecond of busy
  # waiting. So at most ticks the VM's own books are asked alone; the files when these have moved by
  # a hundredth of the limit, or by this much, and in every fourth tick for what others use.
  @step 67_108_864
  @ticks 4

  # Milliseconds that the VM's books may take.
  @books 100

  # Limits change seldom, and every file that is read costs: each is looked at this often.
  @review_ms 5_000

  # A group may be divided further, or a file that could not be opened may be there by now.
  @reopen_ms 60_000

  @doc """
  The level that the monitor of this name has read last: `:unread` before its first reading, `nil` where
  there is no monitor of this name.
  """
  @spec published(atom()) :: Pressure.level() | :unread | nil
  def published(name), do: :persistent_term.get({__MODULE__, name}, nil)

  @doc "The first of the times `due + n * interval` that is still to come."
  @spec next_due(integer(), integer(), pos_integer()) :: integer()
  def next_due(due, now, interval), do: due + interval * (max(div(now - due, interval), 0) + 1)

  # The level of a monitor before must not pass for that of this one.
  @impl true
  def init(options) do
    announce(options.name)
    now = now()

    state = %{
      options: options,
      thresholds: Map.take(options, [:medium, :high, :hysteresis]),
      # Opened here: files belong to the process that opens them.
      os: OS.open(options.root),
      review: now + @review_ms,
      reopen: now + @reopen_ms,
      due: now,
      timer: nil,
      left: 0,
      own: nil,
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
    do: {:noreply, state |> tick() |> schedule()}

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
        resident: OS.resident(state.os),
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

  # What has just been mapped may not be in use yet, page by page: so the look after is a reading, too.
  defp tick(state) do
    cond do
      moved?(own(), state) -> %{(state |> review() |> read()) | left: 0}
      state.left == 0 -> state |> review() |> read()
      true -> %{state | left: state.left - 1}
    end
  end

  @doc false
  # Whether what the VM holds itself has moved since the last reading by enough to read again.
  @spec moved?(integer() | nil, map()) :: boolean()
  def moved?(now, %{own: own}) when now == nil or own == nil, do: true

  def moved?(now, %{own: own, found: %{limit: limit}}),
    do: abs(now - own) >= if(limit, do: min(@step, div(limit, 100)), else: @step)

  # What this library's native code holds is on no book of the VM. Where a scheduler is inside a native
  # function, the books wait for it: then the files are read.
  defp own do
    case Census.map([self()], fn _pid -> OS.mapped() end, patience: @books, deadline: @books) do
      {[{_self, mapped}], []} when is_integer(mapped) -> mapped + native()
      _not_in_time -> nil
    end
  end

  defp native, do: Enum.sum(for {_owner, bytes} <- Native.memory_held(), do: bytes)

  defp read(state) do
    # Asked first: what comes while the files are read counts as moved the next time.
    own = own()
    {reading, os} = OS.sample(state.os)
    found = found(Pressure.tightest(reading.limits))
    level = Pressure.next(state.level, found.fraction, state.thresholds)
    publish(state.options.name, level, state)
    tell(level, found, state)
    count = state.readings + 1

    %{
      state
      | os: os,
        own: own,
        left: @ticks - 1,
        reading: reading,
        found: found,
        level: level,
        readings: count
    }
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

  # Replaced as levels are, without a scan.
  defp announce(name) when is_atom(name) and name != nil,
    do: :persistent_term.put({__MODULE__, name}, :unread)

  defp announce(_name), do: :ok

  defp forget(name), do: :persistent_term.erase({__MODULE__, name})

  defp review(state) do
    now = now()

    cond do
      now >= state.reopen ->
        %{state | os: OS.reopen(state.os), reopen: now + @reopen_ms, review: now + @review_ms}

      now >= state.review ->
        %{state | os: OS.review(state.os), review: now + @review_ms}

      true ->
        state
    end
  end

  # Times are fixed points: a reading that is late does not move those after it.
  defp schedule(state) do
    due = next_due(state.due, now(), state.options.interval)
    %{state | due: due, timer: :erlang.start_timer(due, self(), :read, abs: true)}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
