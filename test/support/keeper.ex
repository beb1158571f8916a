defmodule Foundation.Keeper do
  @moduledoc "Processes that keep binaries, for the tests of what finds them."

  use GenServer

  @doc "Random bytes: no two are the same binary, none is a literal."
  def bytes(size), do: :crypto.strong_rand_bytes(size)

  @doc "A part of a binary of this size, of which nothing else is left once the maker is collected."
  def part(size, length \\ 100), do: binary_part(bytes(size), 7, length)

  @doc "A server whose state is what the function, called in it, gives."
  def start(make, opts \\ []) do
    {:ok, pid} = GenServer.start_link(__MODULE__, make, opts)
    pid
  end

  @doc "Calls the function in the server."
  def run(server, fun), do: GenServer.call(server, {:run, fun})

  @doc """
  Has the server hold the binaries through two minor collections, which makes them old, and drop them
  then. Nothing tells it to collect them.
  """
  def pass_through(server, count, size), do: run(server, fn -> age(count, size) end)

  @doc "What `pass_through/3` does in the server, for processes that are none."
  def age(count, size) do
    # Else a few megabytes of old binaries bring the next collection, and that is of everything.
    Process.flag(:min_bin_vheap_size, 10_000_000)
    :erlang.garbage_collect()
    binaries = for _ <- 1..count, do: bytes(size)
    for _ <- 1..2, do: :erlang.garbage_collect(self(), type: :minor)
    length(binaries)
  end

  @doc """
  A process of no known kind, linked to the caller. It is given what `make` gives, called in a process
  that is gone by then, calls `keep` with it, and waits with what that gives.
  """
  def plain(make, keep \\ & &1) do
    caller = self()

    pid =
      spawn_link(fn ->
        kept = receive(do: ({:keep, term} -> keep.(term)))
        send(caller, {self(), :kept})
        wait(kept)
      end)

    {_maker, monitor} = spawn_monitor(fn -> send(pid, {:keep, make.()}) end)
    receive do: ({:DOWN, ^monitor, :process, _pid, :normal} -> :ok)
    receive do: ({^pid, :kept} -> pid)
  end

  @doc "Has a plain process give what it keeps."
  def ask(pid) do
    send(pid, {:ask, self()})
    receive do: ({^pid, kept} -> kept)
  end

  defp wait(kept) do
    receive do: ({:ask, asker} -> send(asker, {self(), kept}))
    wait(kept)
  end

  @doc "A digest of the server's state, which does not leave it."
  def digest(server), do: GenServer.call(server, :digest)

  @doc "Has the server hibernate, which it does with its answer."
  def hibernate(server), do: GenServer.call(server, :hibernate)

  @impl true
  def init(make), do: {:ok, make.()}

  @impl true
  def handle_call({:run, fun}, _from, state), do: {:reply, fun.(), state}
  def handle_call({:become, state}, _from, _old), do: {:reply, :ok, state}
  def handle_call(:hibernate, _from, state), do: {:reply, :ok, state, :hibernate}
  def handle_call({:make, fun}, _from, _old), do: {:reply, :ok, fun.()}
  def handle_call(:digest, _from, state), do: {:reply, :erlang.phash2(state), state}
  def handle_call(:state, _from, state), do: {:reply, state, state}
end
