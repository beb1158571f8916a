defmodule Foundation.BEAM.Memory.Isolation.Failure do
  @moduledoc false

  # The error for work that did not come to its end: made by the worker of what its function does, by
  # the guard of how the worker ended.

  alias Foundation.{Error, Reason}

  # The most characters of an exception's text, and entries of its stacktrace.
  @text 500
  @entries 50

  @doc "The error for work that did not come to its end."
  @spec new(:error | :exit | :throw, term(), Exception.stacktrace()) :: Error.t()
  def new(kind, reason, stacktrace) do
    stacktrace = short(stacktrace)
    bounded = bounded(kind, reason, stacktrace)
    text = if kind == :error, do: text(bounded), else: "(#{kind}) #{Reason.text(reason)}"
    context = %{kind: kind, reason: bounded, stacktrace: stacktrace}
    Error.new(:work_failed, "the work failed: " <> text, context)
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
