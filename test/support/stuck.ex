defmodule Foundation.Stuck do
  @moduledoc """
  A process that is inside one instruction of the VM for two seconds or more: it answers no signal.

  Tests that need it are tagged `:two_schedulers`: it has one for itself.
  """

  # Each list is two references to the one below, so comparing two of that shape, which share
  # nothing with each other, takes as many steps as 2 to this power, and the terms almost no memory.
  # They never leave the process that made them: a copy would be of that size.
  @depth 30

  @doc "Starts it, on the last scheduler, and moves the caller to the first. Ends by itself."
  def start! do
    to = self()
    start!(fn -> spawn(fn -> enter(to) end) end)
  end

  @doc """
  As `start!/0`, of the process that the function returns, which is to call `enter/1` with the caller's
  pid now.
  """
  def start!(fun) do
    load!()
    :erlang.process_flag(:scheduler, 1)
    pid = fun.()
    ExUnit.Callbacks.on_exit(fn -> out(pid) end)

    receive do
      {^pid, :stuck} -> pid
    end
  end

  @doc """
  Keeps a process that answers system messages on the first scheduler, from now on: in the queue of the
  last it might wait for the one inside.
  """
  def at_first(pid) do
    :sys.replace_state(pid, fn state ->
      :erlang.process_flag(:scheduler, 1)
      state
    end)
  end

  @doc "Has the calling process be one, which tells that process when it begins, and when it is out again."
  def enter(to) do
    last = :erlang.system_info(:schedulers_online)
    :erlang.process_flag(:scheduler, last)
    # It is there when it runs again.
    :erlang.yield()
    compare(to)
    :erlang.process_flag(:scheduler, 0)
  end

  @doc "Whether it is inside still: it would have told the caller."
  def still?(pid) do
    receive do
      {^pid, :out} -> false
    after
      0 -> true
    end
  end

  @doc """
  What the function, called with such a process, gives before that is out again, and within so many
  milliseconds: of its first run for which the machine leaves it the time, of three.
  """
  def beside(fun, within \\ :infinity), do: beside(fun, within, 3)

  defp beside(_fun, within, 0),
    do: ExUnit.Assertions.flunk("took longer than the process was inside, or than #{within} ms")

  defp beside(fun, within, tries) do
    pid = start!()
    began = System.monotonic_time(:millisecond)
    result = fun.(pid)
    took = System.monotonic_time(:millisecond) - began
    in_time? = still?(pid) and took < within
    unless in_time?, do: out(pid)
    if in_time?, do: result, else: beside(fun, within, tries - 1)
  end

  # To load a module takes every scheduler: none is to be loaded for the first time meanwhile.
  @apps [:kernel, :stdlib, :elixir, :logger, :ex_unit, :foundation]

  defp load! do
    for app <- @apps, {:ok, modules} <- [:application.get_key(app, :modules)] do
      :code.ensure_modules_loaded(modules)
    end
  end

  # Nothing of the VM's own that needs every scheduler, as loading a module does, goes on before.
  defp out(pid), do: Process.info(pid, :status)

  defp compare(to) do
    {one, other} = {deep(), deep()}
    send(to, {self(), :stuck})
    same? = one == other
    send(to, {self(), same? && :out})
  end

  defp deep, do: Enum.reduce(1..@depth, [], fn _, below -> [below | below] end)
end
