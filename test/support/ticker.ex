defmodule Foundation.Ticker do
  @moduledoc """
  A process that wants to run every millisecond, and how late it does: what the users of a busy
  system feel.
  """

  @doc "The function's result, and the lateness of the ticks while it ran, sorted, in microseconds."
  def during(fun) do
    owner = self()
    ticker = spawn_link(fn -> tick(owner, now() + 1, []) end)
    result = fun.()
    send(ticker, :stop)

    receive do
      {^ticker, late} -> {result, Enum.sort(late)}
    end
  end

  @doc "The value that the share (0.0 to 1.0) of the sorted values is not above."
  def percentile(sorted, share), do: Enum.at(sorted, max(ceil(length(sorted) * share) - 1, 0))

  # Each tick is due a millisecond after the last: a late one does not make the next late as well.
  defp tick(owner, due, late) do
    timer = :erlang.start_timer(due, self(), :tick, abs: true)

    receive do
      {:timeout, ^timer, :tick} ->
        micros = System.monotonic_time(:microsecond) - due * 1000
        tick(owner, max(due, now()) + 1, [micros | late])

      :stop ->
        send(owner, {self(), late})
    end
  end

  defp now, do: System.monotonic_time(:millisecond)
end
