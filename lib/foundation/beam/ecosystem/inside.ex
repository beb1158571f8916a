defmodule Foundation.BEAM.Ecosystem.Inside do
  @moduledoc false

  # Runs a function inside a process that somebody else's `start_link/1` has made: OTP's processes
  # answer system messages between two callbacks, and one of these asks for a function of the state.
  #
  # To any other process a system message is a message like all others. So none is sent unless the
  # process shows what it is: by the module whose `init/1` it was started with, which names a behaviour
  # of OTP's, or by whose function lies at the bottom of its stack. `:gen_event` applies the function to each of its
  # handlers, and is left alone. (What a callback receives itself, by a `receive` that takes whatever
  # comes, cannot be told from outside.)

  alias Foundation.Reason

  @behaviours [GenServer, :gen_server, :gen_statem]
  @loops [:gen_server, :gen_statem]

  # No process has that name.
  @nobody Module.concat(__MODULE__, Nobody)

  # Functions that end by a throw, as `keep/1` says.
  @dialyzer {:nowarn_function, ask: 2, look: 3}

  @type outcome :: {:ok, term()} | {:failed, term()} | :later | :impossible

  @doc "Whether the process answers system messages, as far as can be told."
  @spec possible?(pid()) :: boolean()
  def possible?(pid) when node(pid) != node(), do: false
  def possible?(pid), do: behaves?(:proc_lib.translate_initial_call(pid)) or in_loop?(pid)

  # Supervisors give their own module's name there.
  defp behaves?({:supervisor, _module, 1}), do: true

  defp behaves?({module, :init, 1}) do
    Code.ensure_loaded?(module) and Enum.any?(behaviours(module), &(&1 in @behaviours))
  end

  defp behaves?(_other), do: false

  defp behaviours(module) do
    attributes = module.module_info(:attributes)
    for {key, names} <- attributes, key in [:behaviour, :behavior], name <- names, do: name
  end

  # An `Agent` hides its `init/1`, a module may leave out the attribute. Of a deep stack the bottom is
  # not shown, and of a process that hibernates nothing.
  defp in_loop?(pid) do
    with {:current_stacktrace, frames} <- Process.info(pid, :current_stacktrace),
         [{loop, _, _, _}, {:proc_lib, _, _, _}] <- Enum.take(frames, -2) do
      loop in @loops
    else
      _gone_or_elsewhere -> false
    end
  end

  @doc """
  Asks for it without waiting, of a process that answers system messages; what the function gives is
  dropped, the state stays what it is.
  """
  @spec ask(pid(), (term() -> term())) :: :asked
  def ask(pid, fun) do
    send_request(pid, fn state -> keep(fun.(state)) end)
    :asked
  end

  @doc """
  What the function makes of the state, which stays what it is. What it raises comes back as
  `{:failed, reason}`, bounded.

  `:later` when the process has not come to it within so many milliseconds, or is gone. It does what it
  was asked all the same when it comes to it, unless it ends before. `:impossible` where nobody was asked.
  """
  @spec look(pid(), (term() -> term()), timeout()) :: outcome()
  def look(pid, fun, patience) do
    guarded(pid, patience, fn answer, state ->
      send(answer, {answer, outcome(fun, state)})
      keep(state)
    end)
  end

  @doc "The same with a function whose result is the new state; it answers `{:ok, :replaced}`."
  @spec replace(pid(), (term() -> term()), timeout()) :: outcome()
  def replace(pid, fun, patience) do
    guarded(pid, patience, fn answer, state ->
      case outcome(&fitting(&1, fun), state) do
        {:ok, new} ->
          send(answer, {answer, {:ok, :replaced}})
          new

        {:failed, _reason} = failed ->
          send(answer, {answer, failed})
          keep(state)
      end
    end)
  end

  @doc """
  Sends a system message to a process that answers these; `{pid, tag}` gets `{tag, answer}`, unless nobody
  is to.
  """
  @spec system(pid(), term(), {pid() | atom(), term()}) :: term()
  def system(pid, request, from \\ {@nobody, :none}), do: send(pid, {:system, from, request})

  # To find out what a process is takes as long as it stays inside a native function, so a helper does,
  # which asks it all the same when it comes out. The answer is a message of the function's own, through an
  # alias that ends with the patience.
  defp guarded(pid, _patience, _fun) when node(pid) != node(), do: :impossible

  defp guarded(pid, patience, fun) do
    answer = :erlang.monitor(:process, pid, alias: :reply_demonitor)

    spawn(fn ->
      cond do
        possible?(pid) -> send_request(pid, &fun.(answer, &1))
        Process.alive?(pid) -> send(answer, {answer, :impossible})
        true -> :gone
      end
    end)

    receive do
      {^answer, outcome} -> outcome
      {:DOWN, ^answer, :process, _pid, _reason} -> :later
    after
      patience ->
        Process.demonitor(answer, [:flush])
        late(answer)
    end
  end

  defp late(answer) do
    receive do
      {^answer, outcome} -> outcome
    after
      0 -> :later
    end
  end

  # What OTP answers holds the new state, or a fault with all that it carries. It is addressed to
  # nobody, so that it is never copied: not to an alias that has ended, whose process gets the copy first.
  defp send_request(pid, fun), do: system(pid, {:replace_state, fun})

  defp outcome(fun, state) do
    {:ok, fun.(state)}
  catch
    _kind, reason -> {:failed, Reason.bounded(reason)}
  end

  # A throw leaves the state as it is.
  @spec keep(term()) :: no_return()
  defp keep(_state), do: throw(__MODULE__)

  # A `:gen_statem` finds out only behind the function that it is no pair.
  defp fitting(state, fun) do
    new = fun.(state)

    if pair?(state) and not pair?(new) and statem?(),
      do: :erlang.error({:badmatch, new}),
      else: new
  end

  defp pair?(term), do: is_tuple(term) and tuple_size(term) == 2

  defp statem? do
    {:current_stacktrace, frames} = Process.info(self(), :current_stacktrace)
    Enum.any?(frames, &match?({:gen_statem, :system_replace_state, _, _}, &1))
  end
end
