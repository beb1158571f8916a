defmodule Foundation.BEAM.Term.Size do
  @moduledoc false

  # The size of a term, whatever it is. The walk is native; what it cannot enter, the environments
  # of funs, comes back as terms and is measured here.

  alias Foundation.Native

  # A walk this long takes about 30 us; what is larger is walked on a dirty scheduler.
  @normal_limit 262_144
  # The native side ends every walk there (see `measure.rs`).
  @largest 0x10_0000_0000

  @type t :: %{
          heap_bytes: non_neg_integer(),
          binary_bytes: non_neg_integer(),
          complete?: boolean()
        }

  @spec measure(term(), non_neg_integer() | :infinity) :: t()
  def measure(term, limit \\ :infinity)

  def measure(term, :infinity), do: bounded(term, @largest)

  def measure(term, limit) when is_integer(limit) and limit >= 0 and limit <= @largest,
    do: bounded(term, limit)

  def measure(term, limit) when is_integer(limit) and limit > 0, do: bounded(term, @largest)

  def measure(_term, limit) do
    raise ArgumentError,
          "expected a limit in bytes (a non-negative integer) or :infinity, " <>
            "got: #{Foundation.Options.given(limit)}"
  end

  defp bounded(term, limit) do
    case walk(term, limit) do
      {heap, binary, complete?} -> size(heap, binary, complete?)
      {heap, binary, complete?, funs} -> environments(funs, heap, binary, complete?, limit)
    end
  end

  defp walk(term, limit) when limit <= @normal_limit, do: Native.measure_term(term, limit)

  # What is small is answered by the first walk, whatever the limit.
  defp walk(term, limit) do
    case Native.measure_term(term, @normal_limit) do
      {_, _, true} = complete -> complete
      {_, _, true, _funs} = complete -> complete
      _limited -> Native.measure_term_dirty(term, limit)
    end
  end

  # One pass for each level of funs within funs.
  defp environments([], heap, binary, complete?, _limit), do: size(heap, binary, complete?)

  defp environments(funs, heap, binary, complete?, limit) do
    heap = Enum.reduce(funs, heap, &(&2 + fun_bytes(&1)))

    if complete? and heap + binary <= limit do
      envs = Enum.map(funs, &environment/1)

      case walk(envs, limit - heap - binary) do
        {more_heap, more_binary, all?} ->
          size(heap + more_heap - spine(envs), binary + more_binary, all?)

        {more_heap, more_binary, all?, inner} ->
          environments(inner, heap + more_heap - spine(envs), binary + more_binary, all?, limit)
      end
    else
      size(heap, binary, false)
    end
  end

  # A tuple, because a fun holds its variables side by side, as a tuple does.
  defp environment(fun) do
    case :erlang.fun_info(fun, :env) do
      {:env, env} when is_list(env) -> List.to_tuple(env)
      _external -> {}
    end
  end

  # What holds the environments together here is in no fun: the list, and the tuples' headers.
  defp spine(envs) do
    Enum.reduce(envs, 0, fn env, bytes -> bytes + if(env == {}, do: 16, else: 24) end)
  end

  # Without its environment: what a fun is made of differs between releases. Neither of these two
  # holds anything, so the VM's own answer costs no walk.
  defp fun_bytes(fun) do
    case :erlang.fun_info(fun, :type) do
      {:type, :local} -> :erts_debug.flat_size(&fun_bytes/1) * 8
      {:type, :external} -> :erts_debug.flat_size(&:erlang.self/0) * 8
    end
  end

  defp size(heap, binary, complete?) do
    %{heap_bytes: heap, binary_bytes: binary, complete?: complete?}
  end
end
