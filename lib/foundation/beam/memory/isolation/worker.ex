defmodule Foundation.BEAM.Memory.Isolation.Worker do
  @moduledoc false

  # Runs the function, and sends what came of it in one message of a known size: a term that shares its
  # parts would be copied without end, and an exception can hold all that the work was about.

  alias Foundation.BEAM.Memory.Isolation.{Guard, Reason}
  alias Foundation.BEAM.{SharedTerm, Term.Size}
  alias Foundation.Error

  # The most characters of an exception's text, and entries of its stacktrace.
  @text 500
  @entries 50

  @spec run((() -> term()), reference(), [pid()], pid(), map()) :: no_return()
  def run(fun, reply, callers, guard, opts) do
    Guard.await(guard)
    Process.put(:"$callers", callers)
    send(reply, {reply, outcome(fun, opts)})
    # Not `:normal`: processes that the function has linked itself to end with it.
    exit(:shutdown)
  end

  @doc "The error for work that did not come to its end."
  @spec failure(:error | :exit | :throw, term(), Exception.stacktrace()) :: Error.t()
  def failure(kind, reason, stacktrace) do
    stacktrace = short(stacktrace)
    bounded = bounded(kind, reason, stacktrace)
    text = if kind == :error, do: text(bounded), else: "(#{kind}) #{Reason.text(reason)}"
    context = %{kind: kind, reason: bounded, stacktrace: stacktrace}
    Error.new(:work_failed, "the work failed: " <> text, context)
  end

  @spec too_large(String.t(), pos_integer()) :: Error.t()
  def too_large(what, max) do
    text = "#{what} larger than #{max} bytes, or cannot be measured"
    Error.new(:too_large, text, %{max_size: max})
  end

  defp outcome(fun, opts) do
    pack(fun.(), opts)
  catch
    kind, reason -> {:error, failure(kind, reason, __STACKTRACE__)}
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

  # Errors of the VM are made exceptions from their code alone: with the arguments at hand, a sentence
  # would be written about each of them, in a time that grows with its size.
  defp bounded(kind, reason, stacktrace) do
    cond do
      not Reason.small?(reason) -> shortened(kind, reason)
      kind == :error -> Exception.normalize(:error, reason, stacktrace)
      true -> reason
    end
  end

  defp shortened(:error, reason) do
    what = if is_exception(reason), do: inspect(reason.__struct__), else: "error"
    text = "#{what}, of more than #{Reason.size()} bytes: #{Reason.text(reason)}"
    Error.new(:too_large, text, %{max_size: Reason.size()})
  end

  defp shortened(_kind, reason), do: Reason.text(reason)

  # Without the arguments of calls.
  defp short(stacktrace) do
    for {module, function, arity, location} <- Enum.take(stacktrace, @entries) do
      arity = if is_list(arity), do: length(arity), else: arity
      {module, function, arity, Keyword.take(location, [:file, :line])}
    end
  end

  # The exception's own functions run under the time limit. A copy, so that of a long text nothing
  # else stays.
  defp text(exception) do
    :error |> Exception.format_banner(exception) |> String.slice(0, @text) |> :binary.copy()
  catch
    _, _ -> "an error that cannot be shown"
  end
end
