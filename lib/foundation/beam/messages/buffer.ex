defmodule Foundation.BEAM.Messages.Buffer do
  @moduledoc false

  # Messages that wait for room in one destination's queue. There is a buffer only while something
  # waits: it starts with the first message and stops as soon as all are delivered.
  #
  # Order: while a buffer lives, everything that `backpressure_strategy: :queue` sends to its
  # destination goes through it. It stops only after a probe that began after its last delivery has
  # answered, so what is sent past it afterwards comes later in the queue.
  #
  # Shut-down: a push is a call. One that meets a buffer on its way out exits with `:normal` or
  # `:noproc` and was not taken, because whatever is taken is answered before the buffer stops: the
  # caller starts over.

  use GenServer, restart: :temporary

  alias Foundation.BEAM.Messages.{BufferSupervisor, Destination, QueueProbe, Refusal}

  # Nothing tells that a queue has become shorter, so the buffer asks: at once while it makes
  # progress, then after 1 ms and twice as long each time without any.
  @first_delay 1
  @longest_delay 64

  defstruct [
    :dest,
    :target,
    :monitor,
    :probe,
    :limits,
    queue: :queue.new(),
    count: 0,
    delay: @first_delay,
    confirming: false
  ]

  @type limits :: %{
          :max_buffer => pos_integer(),
          :max_queue_size => pos_integer(),
          :probe_timeout => pos_integer(),
          :priority => :normal | :high,
          optional(atom()) => term()
        }

  @doc """
  Whether messages to the target have to go through a buffer. `:not_started` where nobody knows,
  because the application is not running.
  """
  @spec active?(Destination.target()) :: boolean() | :not_started
  def active?(target) do
    case BufferSupervisor.whereis(target) do
      buffer when is_pid(buffer) -> true
      nil -> false
      :not_started -> :not_started
    end
  end

  @doc """
  Puts a message into the target's buffer, which is started where there is none: `:queued`, `:full`,
  `:gone` where the buffer stopped and the caller has to look again, or `:not_started`.
  """
  @spec push({Destination.t(), Destination.target()}, term(), limits()) ::
          :queued | :full | :gone | :not_started
  def push({dest, target}, message, limits) do
    limits = Map.take(limits, [:max_buffer, :max_queue_size, :probe_timeout, :priority])

    with buffer when is_pid(buffer) <-
           BufferSupervisor.ensure(target, {__MODULE__, {dest, target, limits}}) do
      call(buffer, {:push, message, limits})
    end
  end

  defp call(buffer, request) do
    GenServer.call(buffer, request, :infinity)
  catch
    # Also where the buffer was killed: what it held is lost then, but this message was not in it.
    :exit, _not_taken -> :gone
  end

  def start_link({_dest, target, _limits} = arg) do
    GenServer.start_link(__MODULE__, arg, name: BufferSupervisor.name(target))
  end

  @impl true
  def init({dest, {_scope, to} = target, limits}) do
    Process.flag(:trap_exit, true)
    state = %__MODULE__{dest: dest, target: target, limits: limits, monitor: Process.monitor(to)}
    {:ok, state}
  end

  @impl true
  def handle_call({:push, _message, %{max_buffer: max}}, _from, %{count: count} = state)
      when count >= max do
    {:reply, :full, state}
  end

  def handle_call({:push, message, limits}, _from, state) do
    queue = :queue.in({message, limits.priority}, state.queue)
    state = %{state | queue: queue, count: state.count + 1, limits: limits}
    {:reply, :queued, probe(state)}
  end

  @impl true
  def handle_info({:DOWN, ref, :process, _, reason}, %{probe: {_helper, ref}} = state) do
    reason |> QueueProbe.answer() |> answered(%{state | probe: nil})
  end

  def handle_info({:DOWN, ref, :process, _, reason}, %{monitor: ref} = state) do
    {:stop, {:shutdown, lost(reason)}, state}
  end

  def handle_info({:late, ref}, %{probe: {_helper, ref} = probe} = state) do
    QueueProbe.cancel(probe)
    answered(:unresponsive, %{state | probe: nil})
  end

  def handle_info(:again, %{probe: :waiting} = state),
    do: {:noreply, probe(%{state | probe: nil})}

  def handle_info(_late, state), do: {:noreply, state}

  # What was in the buffer when its destination, or the application, ended.
  @impl true
  def terminate(reason, %{count: count} = state) when count > 0 do
    reason = with {:shutdown, cause} <- reason, do: cause
    Refusal.tell(state.dest, reason, count)
  end

  def terminate(_reason, _state), do: :ok

  defp lost(:noconnection), do: :noconnection
  defp lost(_ended), do: :noproc

  defp answered(result, state) do
    case QueueProbe.room(result, state.limits.max_queue_size) do
      # Everything was delivered before this probe began.
      {_room_or_full, _} when state.confirming and state.count == 0 and is_tuple(result) ->
        {:stop, :normal, state}

      {:room, room} ->
        {:noreply, state |> deliver(room) |> next(state.count)}

      {:full, _reason} ->
        {:noreply, later(state)}

      {:gone, reason} ->
        {:stop, {:shutdown, reason}, state}
    end
  end

  defp deliver(%{count: count} = state, room) when count == 0 or room == 0, do: state

  defp deliver(state, room) do
    {{:value, {message, priority}}, rest} = :queue.out(state.queue)
    {_scope, to} = state.target

    case give(to, message, priority) do
      :nosuspend ->
        state

      result ->
        if result == :noconnect, do: Refusal.tell(state.dest, :noconnect)
        deliver(%{state | queue: rest, count: state.count - 1}, room - 1)
    end
  end

  # The buffer never waits for a full link: it has callers to answer.
  defp give(to, message, :normal), do: :erlang.send(to, message, [:nosuspend])
  defp give(to, message, :high), do: :erlang.send(to, message, [:nosuspend, :noconnect])

  defp next(%{count: count} = state, before) when count < before or count == 0,
    do: probe(%{state | delay: @first_delay})

  defp next(state, _no_progress), do: later(state)

  defp probe(%{probe: nil} = state) do
    case QueueProbe.start(state.target, :normal) do
      {_helper, ref} = probe ->
        Process.send_after(self(), {:late, ref}, state.limits.probe_timeout)
        %{state | probe: probe, confirming: state.count == 0}
    end
  end

  defp probe(state), do: state

  defp later(state) do
    Process.send_after(self(), :again, state.delay)
    %{state | probe: :waiting, delay: min(state.delay * 2, @longest_delay)}
  end
end
