defmodule Foundation.BEAM.Term.Size do
  @moduledoc false

  # The size of a term, whatever it is. The walk is native; what it cannot enter, the environments
  # of funs, comes back as terms and is measured here. So do bitstrings, on a VM whose layout is not
  # known.

  alias Foundation.Native

  # A walk this long takes about 30 us; what is larger is walked on a dirty scheduler.
  @normal_limit 262_144
  # The native side ends every walk there (see `measure.rs`).
  @largest 0x10_0000_0000

  # What the walk has counted of a term that it hands back.
  @fun_counted 40
  @bitstring_counted 16

  @type t :: %{
          heap_bytes: non_neg_integer(),
          binary_bytes: non_neg_integer(),
          complete?: boolean()
        }

  @doc "Where every walk ends, in bytes."
  @spec largest() :: pos_integer()
  def largest, do: @largest

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
      {heap, binary, true, apart} -> apart(apart, heap, binary, limit)
    end
  end

  defp walk(term, limit) when limit <= @normal_limit, do: Native.measure_term(term, limit)

  # What is small is answered by the first walk, whatever the limit.
  defp walk(term, limit) do
    case Native.measure_term(term, @normal_limit) do
      {_, _, true} = complete -> complete
      {_, _, true, _apart} = complete -> complete
      _limited -> Native.measure_term_dirty(term, limit)
    end
  end

  # One pass for each level of funs within funs.
  defp apart(apart, heap, binary, limit) do
    {heap, binary} = Enum.reduce(apart, {heap, binary}, &own/2)
    envs = for fun <- apart, is_function(fun), do: environment(fun)

    cond do
      heap + binary > limit -> size(heap, binary, false)
      envs == [] -> size(heap, binary, true)
      true -> envs |> walk(limit - heap - binary) |> join(heap - spine(envs), binary, limit)
    end
  end

  defp join({more_heap, more_binary, complete?}, heap, binary, _limit),
    do: size(heap + more_heap, binary + more_binary, complete?)

  defp join({more_heap, more_binary, true, inner}, heap, binary, limit),
    do: apart(inner, heap + more_heap, binary + more_binary, limit)

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

  # A fun without its environment: what it is made of differs between releases. Neither of the two
  # holds anything, so the VM's own answer costs no walk.
  defp own(fun, {heap, binary}) when is_function(fun) do
    like =
      case :erlang.fun_info(fun, :type) do
        {:type, :local} -> &own/2
        {:type, :external} -> &:erlang.self/0
      end

    {heap + :erts_debug.flat_size(like) * 8 - @fun_counted, binary}
  end

  # A leaf to the VM: this costs no walk either.
  defp own(bits, {heap, binary}) do
    payload = if byte_size(bits) > 64, do: byte_size(bits), else: 0
    {heap + :erts_debug.flat_size(bits) * 8 - @bitstring_counted, binary + payload}
  end

  defp size(heap, binary, complete?) do
    %{heap_bytes: heap, binary_bytes: binary, complete?: complete?}
  end
end
