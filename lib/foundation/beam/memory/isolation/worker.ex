defmodule Foundation.BEAM.Memory.Isolation.Worker do
  @moduledoc false

  # Runs the function, and sends what came of it in one message of a known size: a term that shares its
  # parts would be copied without end, and an exception can hold all that the work was about.

  alias Foundation.BEAM.Memory.Isolation.{Failure, Guard}
  alias Foundation.BEAM.{SharedTerm, Term.Size}
  alias Foundation.Error

  @spec run((() -> term()), reference(), [pid()], pid(), map()) :: no_return()
  def run(fun, reply, callers, guard, opts) do
    Guard.await(guard)
    Process.put(:"$callers", callers)
    send(reply, {reply, outcome(fun, opts)})
    # Not `:normal`: processes that the function has linked itself to end with it.
    exit(:shutdown)
  end

  @spec too_large(String.t(), pos_integer()) :: Error.t()
  def too_large(what, max) do
    text = "#{what} larger than #{max} bytes, or cannot be measured"
    Error.new(:too_large, text, %{max_size: max})
  end

  defp outcome(fun, opts) do
    pack(fun.(), opts)
  catch
    kind, reason -> {:error, Failure.new(kind, reason, __STACKTRACE__)}
  end

  defp pack(result, %{result: :shared_term, max_size: max}) do
    case SharedTerm.new(result, max_size: max) do
      {:error, _} = error -> error
      handle -> {:ok, handle}
    end
  end

  defp pack(result, %{result: as, max_size: max}) do
    cond do
      not Size.measure(result, max).complete? -> {:error, too_large("the result is", max)}
      as == :binary -> external(result, max)
      true -> {:ok, result}
    end
  end

  # An atom is a word of the heap, and up to a kilobyte of this format.
  defp external(result, max) do
    if :erlang.external_size(result) <= max,
      do: {:ok, :erlang.term_to_binary(result)},
      else: {:error, too_large("the result in external format is", max)}
  end
end
