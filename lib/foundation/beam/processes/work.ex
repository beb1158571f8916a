defmodule Foundation.BEAM.Processes.Work do
  @moduledoc false

  # Work whose result comes as a message. A process waits for it in the caller's place, by
  # `Memory.Isolation`, which also ends the work when that process is gone; and that process goes with
  # whom the result is for.

  alias Foundation.BEAM.Memory.{Isolation, Tether}
  alias Foundation.BEAM.Memory.Isolation.Worker
  alias Foundation.BEAM.Term.Size
  alias Foundation.{Error, Options}

  @schema Options.schema!(
            [
              caller: [
                type: :pid,
                doc:
                  "The process of this node that the result is sent to. Default: the calling one."
              ]
            ] ++ for(name <- Isolation.schema().order, do: {name, Isolation.schema().specs[name]})
          )

  @spec schema() :: Options.schema()
  def schema, do: @schema

  @spec start((() -> term()), keyword(), String.t()) :: {:ok, pid()} | {:error, Error.t()}
  def start(fun, opts, where) when is_function(fun, 0) do
    values = Options.validate!(opts, @schema, where)
    caller = local!(values.caller || self(), where)
    limits = Keyword.delete(opts, :caller)

    # A function that shares its variables' parts without end could not be copied.
    if Size.measure(fun, values.max_size).complete?,
      do: {:ok, spawn(fn -> run(fun, caller, limits, where) end)},
      else: {:error, Worker.too_large("the function's variables are", values.max_size)}
  end

  def start(fun, _opts, where) do
    raise ArgumentError, "expected a function of arity 0 in #{where}, got: #{Options.given(fun)}"
  end

  defp local!(caller, _where) when node(caller) == node(), do: caller

  defp local!(caller, where) do
    raise ArgumentError,
          "invalid option :caller in #{where}: expected a pid of this node, got: #{Options.given(caller)}"
  end

  defp run(fun, caller, limits, where) do
    Tether.to(caller)
    send(caller, outcome(fun, limits, where))
  end

  defp outcome(fun, limits, where) do
    case waited(Isolation.start(fun, limits, where)) do
      {:ok, result} ->
        {:work_complete, result}

      {:error, %Error{error_type: :work_failed, context: %{reason: reason}}} ->
        {:work_error, reason}

      {:error, error} ->
        {:work_error, error}
    end
  rescue
    # Limits that the VM refuses.
    error in ArgumentError -> {:work_error, error}
  end

  defp waited({:error, _too_large} = error), do: error
  defp waited(work), do: Isolation.await(work)
end
