defmodule Foundation.Janitor do
  @moduledoc false

  # Ends shared terms that have expired and frees what is large, in steps of about a millisecond on a
  # dirty scheduler, and frees entries of stores that have expired, in slices of a tenth of that on a
  # normal one. The native side wakes it (`:foundation_janitor_step`) when a shared term ends earlier
  # than it knows, or something waits to be freed; otherwise it sleeps until the next deadline, and a
  # second at most.

  use GenServer

  alias Foundation.Native

  # The longest sleep: whatever keeps a wake-up from arriving costs memory for this long, no more.
  # A step that finds nothing takes a few microseconds.
  @longest 1_000

  # Deadlines that come one after another are served together, this many milliseconds apart.
  @apart 10

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(_opts), do: GenServer.start_link(__MODULE__, [], name: __MODULE__)

  @impl true
  def init(_arg) do
    Process.flag(:trap_exit, true)
    :ok = Native.janitor_attend(self())
    {:ok, nil, {:continue, :step}}
  end

  @impl true
  def handle_continue(:step, timer), do: step(timer)

  @impl true
  def handle_info(:foundation_janitor_step, timer), do: step(timer)
  def handle_info(_other, timer), do: {:noreply, timer}

  @impl true
  def terminate(_reason, _timer), do: Native.janitor_leave()

  defp step(timer) do
    timer && Process.cancel_timer(timer)

    # An atom is greater than any number: the earlier of two times, `:idle` only where both are.
    case {Native.janitor_step(), Native.janitor_expire()} do
      {:more, _} -> step(nil)
      {_, :more} -> step(nil)
      {:idle, :idle} -> {:noreply, sleep(@longest)}
      {one, other} -> {:noreply, sleep(min(one, other))}
    end
  end

  defp sleep(ms) do
    Process.send_after(self(), :foundation_janitor_step, ms |> max(@apart) |> min(@longest))
  end
end
