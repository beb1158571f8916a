defmodule Foundation.Receiver do
  @moduledoc """
  A process that takes messages out of its queue only when it is told to, so that a test decides
  how long the queue is.
  """

  @doc "A linked receiver whose queue holds `waiting` messages `{:waiting, n}`, counted from 1."
  def start(waiting \\ 0) do
    owner = self()
    pid = spawn_link(fn -> loop(owner) end)
    for n <- waiting..1//-1, n > 0, do: send(pid, {:waiting, waiting - n + 1})
    pid
  end

  @doc "Lets it read `count` messages; the owner gets `{:read, receiver, message}` for each."
  def read(pid, count), do: send(pid, {__MODULE__, :read, count})

  @doc """
  A receiver that does not answer `Process.info/2`: it compares two terms that are small in memory
  and take some tenths of a second to walk, in one step of the VM, then ends.

  It stays on the last scheduler and keeps the caller on the first, so that it holds up nobody else:
  a test that uses it is tagged `:two_schedulers`.
  """
  def busy do
    owner = self()
    # Loading a module waits for every scheduler: all that the test may call is loaded before.
    _ = :code.ensure_modules_loaded(Application.spec(:foundation, :modules))
    :erlang.process_flag(:scheduler, 1)
    pid = spawn(fn -> busy(owner) end)

    receive do
      {:busy, ^pid} -> pid
    end
  end

  @doc """
  What the function gives, called with a `busy/0`, and that receiver. It is called with another one where the
  receiver was done before it returned: a machine that held it up has shown nothing.
  """
  def while_busy(fun, tries \\ 5) do
    pid = busy()
    monitor = Process.monitor(pid)
    result = fun.(pid)

    receive do
      {:DOWN, ^monitor, :process, ^pid, _reason} when tries > 1 -> while_busy(fun, tries - 1)
      {:DOWN, ^monitor, :process, ^pid, _reason} -> {result, pid}
    after
      0 ->
        Process.demonitor(monitor, [:flush])
        {result, pid}
    end
  end

  defp busy(owner) do
    :erlang.process_flag(:scheduler, :erlang.system_info(:schedulers_online))
    {one, other} = {deep(28), deep(28)}
    send(owner, {:busy, self()})
    one == other
  end

  # 2 to the power of `levels` leaves, in two words a level.
  defp deep(levels), do: Enum.reduce(1..levels, [:leaf], fn _, tree -> [tree | tree] end)

  defp loop(owner) do
    receive do
      {__MODULE__, :read, count} -> read_each(owner, count)
    end

    loop(owner)
  end

  defp read_each(_owner, 0), do: :ok

  defp read_each(owner, count) do
    receive do
      message when elem(message, 0) != __MODULE__ -> send(owner, {:read, self(), message})
      message when not is_tuple(message) -> send(owner, {:read, self(), message})
    end

    read_each(owner, count - 1)
  end
end
