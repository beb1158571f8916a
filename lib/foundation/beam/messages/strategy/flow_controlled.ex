defmodule Foundation.BEAM.Messages.Strategy.FlowControlled do
  @moduledoc false

  # Sends directly once the receiver's queue is shorter than `max_queue_size`; waits for that
  # `max_retries` times, `retry_delay` first and twice as long each time. All receivers wait
  # together: one that is full delays the others by no message.

  @behaviour Foundation.BEAM.Messages.Strategy

  alias Foundation.BEAM.Messages.{QueueProbe, Refusal, Strategy}

  # However many the retries, no single wait is longer than this.
  @longest_delay 60_000

  @impl true
  def message(data, _scope, _compression, _size, _opts), do: {:ok, data, :sent}

  @impl true
  def deliver(receivers, message, opts) do
    attempt(receivers, message, opts, opts.max_retries, opts.retry_delay)
  end

  defp attempt(receivers, message, opts, retries, delay) do
    {ready, waiting, failed} = receivers |> probe(opts) |> sort(opts.max_queue_size)
    failed = Strategy.send_each(ready, message, opts) ++ failed

    cond do
      waiting == [] -> failed
      retries == 0 -> Enum.map(waiting, &refuse/1) ++ failed
      true -> failed ++ wait(waiting, message, opts, retries, delay)
    end
  end

  defp wait(waiting, message, opts, retries, delay) do
    Process.sleep(delay)
    receivers = Enum.map(waiting, fn {receiver, _reason} -> receiver end)
    attempt(receivers, message, opts, retries - 1, min(delay * 2, @longest_delay))
  end

  defp probe(receivers, opts) do
    targets = Enum.map(receivers, fn {_dest, target} -> target end)
    Enum.zip(receivers, QueueProbe.results(targets, opts.probe_timeout, opts.priority))
  end

  defp sort(probed, max) do
    Enum.reduce(Enum.reverse(probed), {[], [], []}, fn {{dest, _} = receiver, result},
                                                       {r, w, f} ->
      case QueueProbe.room(result, max) do
        {:room, _} -> {[receiver | r], w, f}
        {:full, reason} -> {r, [{receiver, reason} | w], f}
        {:gone, reason} -> {r, w, [{dest, Refusal.gone(dest, reason)} | f]}
      end
    end)
  end

  defp refuse({{dest, _target}, reason}), do: {dest, Refusal.refuse(dest, reason)}
end
