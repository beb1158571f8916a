defmodule Foundation.BEAM.Messages.Refusal do
  @moduledoc false

  # What back-pressure keeps from its receiver: counted by an event, told to the sender as a value.

  alias Foundation.BEAM.Messages.Destination
  alias Foundation.Error
  alias Foundation.Telemetry.Dispatch

  @event [:foundation, :messages, :refused]

  @doc "Says that `count` messages to the destination are dropped or refused."
  @spec tell(term(), term(), pos_integer()) :: :ok
  def tell(dest, reason, count \\ 1) do
    Dispatch.execute(@event, %{count: count}, %{destination: dest, reason: reason})
  end

  @doc "A message that flow control gave up on."
  @spec refuse(Destination.t(), term()) :: Error.t()
  def refuse(dest, reason) do
    tell(dest, reason)
    failed(dest, reason, text(reason))
  end

  @doc "Nobody can take it: no refusal by back-pressure, so no event."
  @spec gone(Destination.t(), :noproc | :noconnection | :noconnect | :not_started) :: Error.t()
  def gone(dest, :noproc) do
    Error.new(:noproc, "there is no process at the destination", %{destination: dest})
  end

  # Whether something waits for it already is not known: nothing may overtake that.
  def gone(dest, :not_started) do
    text = "the :foundation application is not running: it keeps what waits for the destination"
    Error.new(:not_started, text, %{destination: dest})
  end

  def gone(dest, :noconnect), do: Destination.not_sent(:noconnect, dest)

  def gone(dest, :noconnection) do
    failed(dest, :noconnection, "there is no connection to the destination's node")
  end

  defp failed(dest, reason, text) do
    Error.new(:flow_control_failed, text, %{destination: dest, reason: reason})
  end

  defp text({:queue_full, length}), do: "the destination's queue is full: #{length} messages wait"
  defp text(:unresponsive), do: "the destination does not say how long its queue is"
end
