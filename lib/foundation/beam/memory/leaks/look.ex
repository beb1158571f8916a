defmodule Foundation.BEAM.Memory.Leaks.Look do
  @moduledoc false

  # Looks inside a process of OTP's without changing it or copying what it has.
  #
  # A process that is in the loop of a `GenServer` or `:gen_statem` handles system messages, so it
  # can be asked to replace its state. The function that is to do so throws: the state stays what it
  # is, and only what was thrown comes back. `:gen_event` catches for each handler and is left alone,
  # as is every process that is anywhere else: to it a system message would be just a message.
  #
  # One that leaves the loop between being asked where it is and the request handles the request when
  # it is back. Only where it waits inside a callback for any message at all does it take the request
  # for one: that cannot be told beforehand, so the question comes right before the request.

  alias Foundation.Native

  # Milliseconds until a process has answered: one that waits does so in a fraction of one. A later
  # answer finds nobody, and what is asked by then finds no search.
  @patience 100

  # Bytes of heap that are walked: some ten milliseconds in which the process does nothing else.
  @most 64 * 1024 * 1024

  # All that may lie on the stack below. The frame of anybody else could hold terms.
  @known [__MODULE__, :gen_server, :gen_statem, :sys, :proc_lib]

  @doc """
  How far a process could be looked into, by what it does (`:current_function`) and its settings
  (`:garbage_collection`): `:whole`, `:partial` or `:none`.

  Of a `:gen_statem` only state and data are in sight, not the events that it has put off. What has a
  limit to its heap could be over it by what looking takes.
  """
  @spec depth(keyword()) :: :whole | :partial | :none
  def depth(info) do
    case {info[:current_function], limit(info[:garbage_collection])} do
      {{:gen_server, :loop, _arity}, 0} -> :whole
      {{:gen_statem, :loop_receive, _arity}, 0} -> :partial
      _elsewhere -> :none
    end
  end

  defp limit(settings), do: settings[:max_heap_size][:size] || 0

  @doc "Has the search of that number told what the process reaches; whether that was all."
  @dialyzer {:no_return, into: 2}
  @spec into(pid(), pos_integer()) :: boolean()
  def into(pid, number) do
    :sys.replace_state(pid, fn state -> inside(state, number) end, @patience)
    false
  catch
    :error, {:callback_failed, _where, {:throw, {__MODULE__, complete?}}} -> complete?
    _kind, _gone_or_busy -> false
  end

  # Runs in the process.
  defp inside(state, number) do
    throw({__MODULE__, alone?() and reach({state, :erlang.get()}, number, @most)})
  end

  defp alone? do
    {:current_stacktrace, frames} = :erlang.process_info(self(), :current_stacktrace)
    modules = Enum.map(frames, &elem(&1, 0))

    List.last(modules) == :proc_lib and Enum.all?(modules, &(&1 in @known)) and
      :erlang.process_info(self(), :message_queue_len) == {:message_queue_len, 0}
  end

  # One pass for each level of funs within funs.
  defp reach(terms, number, most) do
    case Native.leaks_reach(number, terms, most) do
      {true, _walked, []} -> true
      {true, walked, funs} -> funs |> Enum.map(&environment/1) |> reach(number, most - walked)
      _not_all -> false
    end
  end

  defp environment(fun) do
    case :erlang.fun_info(fun, :env) do
      {:env, env} when is_list(env) -> env
      _external -> []
    end
  end
end
