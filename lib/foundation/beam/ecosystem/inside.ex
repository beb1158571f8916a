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

  @behaviours [GenServer, :gen_server, :gen_statem]
  @loops [:gen_server, :gen_statem]

  @type outcome :: {:ok, term()} | {:failed, term()} | :later

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
  What the function makes of the state, which stays what it is.

  `:later` when the process has not come to it within so many milliseconds (0: it is only asked), or
  is gone. It does what it was asked all the same when it comes to it, unless it ends before.
  """
  @spec look(pid(), (term() -> term()), timeout()) :: outcome()
  # It throws: so the state is kept, and only what was thrown comes back, not a copy of the state.
  @dialyzer {:no_return, look: 3}
  def look(pid, fun, patience) do
    :sys.replace_state(pid, fn state -> throw({__MODULE__, fun.(state)}) end, patience)
    :later
  catch
    :error, {:callback_failed, _where, {:throw, {__MODULE__, result}}} -> {:ok, result}
    :error, {:callback_failed, _where, {_kind, reason}} -> {:failed, reason}
    :exit, _gone_or_late -> :later
  end

  @doc "The same with a function whose result is the new state; it answers `{:ok, :replaced}`."
  @spec replace(pid(), (term() -> term()), timeout()) :: outcome()
  def replace(pid, fun, patience) do
    :sys.replace_state(pid, fun, patience)
    {:ok, :replaced}
  catch
    :error, {:callback_failed, _where, {_kind, reason}} -> {:failed, reason}
    :exit, _gone_or_late -> :later
  end
end
