defmodule Foundation.BEAM.SharedStore.Flights do
  @moduledoc false

  # One computation of a value at a time. What a caller does between its miss and its result; the
  # store is two functions: `look` gives the value, `:missing` or an error, `keep` puts what was
  # computed and gives the result for everybody.
  #
  # No computation is done twice: one that ended between a caller's miss and its joining has put its
  # value before it landed, and whoever leads looks once more before it computes. The same look
  # tells those whose leader ended whether that was before or after it had put the value.

  alias Foundation.BEAM.SharedStore.Coordinator
  alias Foundation.Error

  @type result :: {:ok, term()} | {:error, Error.t()}
  @type store :: %{look: (() -> result() | :missing), keep: (term() -> result())}

  @spec run(Coordinator.flight(), store(), (() -> term()), map()) :: result()
  def run(flight, store, fun, %{timeout: timeout, on_crash: on_crash}) do
    deadline = if timeout == :infinity, do: :infinity, else: now() + timeout
    attempt(%{flight: flight, store: store, fun: fun, on_crash: on_crash, deadline: deadline})
  end

  defp attempt(call) do
    case Coordinator.join(call.flight, left(call.deadline)) do
      {:lead, lead} -> lead(lead, call)
      {:landed, result} -> result
      {:crashed, kind, reason} -> crashed(call, kind, reason)
      :timeout -> error(:timeout, "the computation of another process took too long")
      :reentrant -> error(:reentrant, "the computation of this key asks for this key")
      :not_started -> error(:not_started, "the :foundation application is not started")
    end
  end

  defp lead(lead, %{store: store, fun: fun}) do
    with :missing <- store.look.(), do: store.keep.(fun.())
  catch
    kind, reason ->
      reason =
        if kind == :error, do: Exception.normalize(:error, reason, __STACKTRACE__), else: reason

      Coordinator.crash(lead, kind, reason)
      :erlang.raise(kind, reason, __STACKTRACE__)
  else
    result ->
      Coordinator.land(lead, result)
      result
  end

  defp crashed(%{on_crash: on_crash} = call, kind, reason) do
    case call.store.look.() do
      :missing when on_crash == :retry -> attempt(call)
      :missing -> failed(kind, reason)
      result -> result
    end
  end

  defp failed(kind, reason) do
    text = "the process that computed the value failed"
    {:error, Error.new(:computation_failed, text, %{kind: kind, reason: reason})}
  end

  defp error(type, text), do: {:error, Error.new(type, text)}

  defp left(:infinity), do: :infinity
  defp left(deadline), do: max(deadline - now(), 0)

  defp now, do: System.monotonic_time(:millisecond)
end
