defmodule Foundation.BEAM.Messages.Backpressure do
  @moduledoc false

  # One message, one receiver, and what to do when that is full. A receiver that has a buffer is
  # full until the buffer is empty, whatever its queue says: nothing overtakes what waits there.

  alias Foundation.BEAM.Messages
  alias Messages.{Buffer, Delivery, Destination, QueueProbe, Refusal}

  @type result ::
          Delivery.result()
          | {:dropped, :backpressure}
          | {:queued, :backpressure}
          | {:dropped, :no_alternative}

  @doc "Sends if the destination has room, otherwise does what `backpressure_strategy:` says."
  @spec run(Destination.t(), term(), map(), String.t()) :: result()
  def run(dest, data, opts, where) do
    receiver = {dest, Destination.resolve(dest, where)}

    case {room([receiver], opts), opts.backpressure_strategy} do
      {[{:gone, :not_started}], _} -> {:error, Refusal.gone(dest, :not_started)}
      {[{:room, _}], _} -> Delivery.to_one(receiver, data, opts, where)
      {[{_full_or_gone, reason}], :redirect} -> redirect(dest, reason, data, opts, where)
      {[{:gone, reason}], _} -> {:error, Refusal.gone(dest, reason)}
      {[{:full, reason}], :drop} -> dropped(dest, reason, :backpressure)
      {[{:full, _reason}], :queue} -> queue(receiver, data, opts, where)
    end
  end

  defp room(receivers, opts) do
    looked = for {_dest, target} <- receivers, do: {target, Buffer.active?(target)}
    asked = for {target, false} <- looked, do: target
    results = QueueProbe.results(asked, opts.probe_timeout, opts.priority)
    known = asked |> Enum.zip(results) |> Map.new()

    Enum.map(looked, fn
      {target, false} -> QueueProbe.room(known[target], opts.max_queue_size)
      {_target, true} -> {:full, :buffered}
      {_target, :not_started} -> {:gone, :not_started}
    end)
  end

  defp queue({_dest, target} = receiver, data, opts, where) do
    {scope, _to} = target

    with {:ok, message, value} <- Delivery.pack(data, opts, scope, 1) do
      push(receiver, message, value, data, opts, where)
    end
  end

  defp push({dest, _target} = receiver, message, value, data, opts, where) do
    case Buffer.push(receiver, message, opts) do
      :queued ->
        {:queued, :backpressure}

      :full ->
        Delivery.drop(value)
        dropped(dest, {:buffer_full, opts.max_buffer}, :backpressure)

      :not_started ->
        Delivery.drop(value)
        {:error, Refusal.gone(dest, :not_started)}

      :gone ->
        Delivery.drop(value)
        run(dest, data, opts, where)
    end
  end

  defp redirect(dest, reason, data, opts, where) do
    receivers = Enum.map(opts.alternatives, &{&1, Destination.resolve(&1, where)})

    receivers
    |> Enum.zip(room(receivers, opts))
    |> Enum.find(&match?({_receiver, {:room, _}}, &1))
    |> case do
      nil -> dropped(dest, reason, :no_alternative)
      {receiver, _room} -> Delivery.to_one(receiver, data, opts, where)
    end
  end

  defp dropped(dest, reason, told) do
    Refusal.tell(dest, reason)
    {:dropped, told}
  end
end
