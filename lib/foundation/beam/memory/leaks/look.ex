defmodule Foundation.BEAM.Memory.Leaks.Look do
  @moduledoc false

  # Looks inside a process of OTP's without changing its state or copying what it has. It enters its
  # loop anew by that: timeouts of a `GenServer`'s callbacks and `hibernate_after` start again.
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

  # Milliseconds until a process has answered: three times what the longest walk takes. A later
  # answer finds nobody, and what is asked by then finds no search.
  @patience 300

  # Bytes of heap that are walked: up to a hundred milliseconds in which the process does nothing else.
  @most 64 * 1024 * 1024

  # What a process does that is not to be told where it will be next.
  @working [:running, :runnable, :garbage_collecting]

  # All that may lie on the stack below. The frame of anybody else could hold terms.
  @known [__MODULE__, :gen_server, :gen_statem, :sys, :proc_lib]

  @doc "What is to be known of a process to tell its state."
  def about,
    do: [:status, :initial_call, :current_function, :garbage_collection, :message_queue_len]

  @doc """
  Whether a process can be looked into (`:idle`, and how far), may be later (`:busy`), or is not of
  that kind, or gone (`:elsewhere`).

  Of a `:gen_statem` only state and data are in sight, not the events that it has put off. What has a
  limit to its heap could be over it by what looking takes.
  """
  @spec state(keyword()) :: {:idle, :whole | :partial} | :busy | :elsewhere
  def state(info) do
    depth = depth(info[:current_function])

    cond do
      not match?({:proc_lib, _function, _arity}, info[:initial_call]) -> :elsewhere
      limit(info[:garbage_collection]) > 0 -> :elsewhere
      depth == nil -> if(info[:status] in @working, do: :busy, else: :elsewhere)
      info[:message_queue_len] > 0 -> :busy
      true -> {:idle, depth}
    end
  end

  defp depth({:gen_server, :loop, _arity}), do: :whole
  defp depth({:gen_statem, :loop_receive, _arity}), do: :partial
  defp depth(_elsewhere), do: nil

  defp limit(settings), do: settings[:max_heap_size][:size] || 0

  @doc """
  Has the search of that number told what the process reaches: `:all`, not all because there is `:more`
  than can be seen, or nothing by now, since it was busy (`:later`).
  """
  @dialyzer {:no_return, into: 2}
  @spec into(pid(), pos_integer()) :: :all | :more | :later
  def into(pid, number) do
    :sys.replace_state(pid, fn state -> inside(state, number) end, @patience)
    :more
  catch
    :error, {:callback_failed, _where, {:throw, {__MODULE__, outcome}}} -> outcome
    _kind, _gone_or_busy -> :later
  end

  # Runs in the process.
  defp inside(state, number) do
    {:message_queue_len, waiting} = :erlang.process_info(self(), :message_queue_len)
    throw({__MODULE__, if(waiting > 0, do: :later, else: seen(state, number))})
  end

  defp seen(state, number) do
    all? = alone?() and reach({state, :erlang.get()}, number, @most)
    if all?, do: :all, else: :more
  end

  defp alone? do
    {:current_stacktrace, frames} = :erlang.process_info(self(), :current_stacktrace)
    modules = Enum.map(frames, &elem(&1, 0))
    List.last(modules) == :proc_lib and Enum.all?(modules, &(&1 in @known))
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
