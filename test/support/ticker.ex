defmodule Foundation.Ticker do
  @moduledoc """
  A process that wants to run every millisecond, and how late it does: what the users of a busy
  system feel.

  Every millisecond counts as one tick, also where a stall swallows many: of a stall of 250 ms the
  first tick is 250 ms late, the next one 249, and so on, as it is for users who come one after
  another. So there are as many ticks as milliseconds.
  """

  @doc "The function's result, and the lateness of the ticks while it ran, sorted, in microseconds."
  def during(fun) do
    owner = self()
    # Not in the ticker, which may begin late.
    due = System.monotonic_time(:millisecond) + 1
    {ticker, monitor} = :erlang.spawn_opt(fn -> tick(owner, due, []) end, [:link, :monitor])
    result = fun.()
    send(ticker, :stop)
    late = receive do: ({^ticker, late} -> late)
    # Nothing of it is left: neither a process nor a link.
    receive do: ({:DOWN, ^monitor, _, _, _} -> {result, Enum.sort(late)})
  end

  @doc "The value that the share (0.0 to 1.0) of the sorted values is not above."
  def percentile(sorted, share), do: Enum.at(sorted, max(ceil(length(sorted) * share) - 1, 0))

  @doc "The largest of the sorted values, microseconds: the longest that anybody waited."
  def worst(sorted), do: List.last(sorted, 0)

  # A tick that is on time does not make the next late.
  defp tick(owner, due, late) do
    timer = :erlang.start_timer(due, self(), :tick, abs: true)

    receive do
      {:timeout, ^timer, :tick} ->
        {due, late} = count(due, late)
        tick(owner, due, late)

      :stop ->
        # What is due has waited as well, however late it would be at last.
        {_due, late} = count(due, late)
        send(owner, {self(), late})
    end
  end

  # All ticks that are due by now.
  defp count(due, late) do
    micros = System.monotonic_time(:microsecond)
    # The VM's clock may be below zero.
    last = Integer.floor_div(micros, 1000)
    {max(due, last + 1), Enum.reduce(due..last//1, late, &[micros - &1 * 1000 | &2])}
  end
end
