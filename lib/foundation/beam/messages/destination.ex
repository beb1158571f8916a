defmodule Foundation.BEAM.Messages.Destination do
  @moduledoc false

  # Names become pids here, once, so that everything after works on one of three things: a process
  # of this node, something on another node, or nobody.

  alias Foundation.{Error, Options}

  @type t ::
          pid()
          | atom()
          | {atom(), node()}
          | {:via, module(), term()}
          | {:global, term()}

  @type target ::
          {:local, pid() | {atom(), node()}} | {:remote, pid() | {atom(), node()}} | :noproc

  @expected "a pid, a registered name, {name, node}, {:via, module, name} or {:global, name}"

  @doc "What the error messages say of a destination."
  @spec expected() :: String.t()
  def expected, do: @expected

  @doc "Whether the term can name a destination; whether anybody is there is another question."
  @spec valid?(term()) :: boolean()
  def valid?(dest) when is_pid(dest) or is_atom(dest), do: true
  def valid?({:global, _name}), do: true
  def valid?({name, node}) when is_atom(name) and is_atom(node), do: true
  def valid?({:via, module, _name}) when is_atom(module), do: registry?(module)
  def valid?(_), do: false

  @doc "Where messages to the destination go now; `:noproc` where a name is registered by nobody."
  @spec resolve(t(), String.t()) :: target()
  def resolve(pid, _where) when is_pid(pid) and node(pid) == node(), do: {:local, pid}
  def resolve(pid, _where) when is_pid(pid), do: {:remote, pid}
  def resolve(name, _where) when is_atom(name), do: found(Process.whereis(name))
  def resolve({:global, name}, _where), do: found(:global.whereis_name(name))

  # `send/2` to a name of this node in its long form is silent where nobody has the name.
  def resolve({name, node} = dest, _where) when is_atom(name) and node == node() do
    with :noproc <- found(Process.whereis(name)), do: {:local, dest}
  end

  def resolve({name, node} = dest, _where) when is_atom(name) and is_atom(node),
    do: {:remote, dest}

  def resolve({:via, module, _name} = dest, where) when is_atom(module),
    do: dest |> via(where) |> found()

  def resolve(other, where), do: raise(ArgumentError, invalid(other, where, @expected))

  defp via({:via, module, name} = dest, where) do
    registry?(module) ||
      raise ArgumentError, invalid(dest, where, "a module that exports whereis_name/1")

    try do
      module.whereis_name(name)
    rescue
      # How registries refuse what cannot be a name of theirs.
      error in [ArgumentError, FunctionClauseError] ->
        says = error |> Exception.message() |> String.slice(0, 120)
        text = invalid(dest, where, "a name that #{inspect(module)} takes (it says: #{says})")
        reraise ArgumentError, [message: text], __STACKTRACE__
    end
  end

  # What is loaded already is not asked of the code server.
  defp registry?(module) do
    function_exported?(module, :whereis_name, 1) or
      (Code.ensure_loaded?(module) and function_exported?(module, :whereis_name, 1))
  end

  defp invalid(dest, where, expected),
    do: "invalid destination in #{where}: expected #{expected}, got: #{Options.given(dest)}"

  defp found(pid) when is_pid(pid), do: resolve(pid, "")
  # Nobody, or a port: what a port takes is its own protocol, not any term.
  defp found(_), do: :noproc

  @doc "Raises as `send/2` does for a name that nobody has."
  @spec noproc!(t(), String.t()) :: no_return()
  def noproc!(dest, where) do
    raise ArgumentError, "no process is registered as #{Options.given(dest)} in #{where}"
  end

  @doc """
  Sends. With `:high` the sender neither connects to a node nor waits for a full link, and is told
  so; otherwise it does both, as `send/2`.
  """
  @spec send(pid() | {atom(), node()}, term(), :normal | :high) :: :ok | {:error, Error.t()}
  def send(to, message, :normal) do
    Kernel.send(to, message)
    :ok
  end

  def send(to, message, :high) do
    case :erlang.send(to, message, [:noconnect, :nosuspend]) do
      :ok -> :ok
      reason -> {:error, not_sent(reason, to)}
    end
  end

  @doc "The error of a message that was not sent, and whose sender asked not to wait."
  @spec not_sent(:noconnect | :nosuspend, term()) :: Error.t()
  def not_sent(:noconnect, dest) do
    Error.new(:noconnect, "there is no connection to the destination's node", %{destination: dest})
  end

  def not_sent(:nosuspend, dest) do
    Error.new(:nosuspend, "the link to the destination's node is full", %{destination: dest})
  end

  @doc "The node that the target is on."
  @spec node_of(pid() | {atom(), node()}) :: node()
  def node_of({_name, node}), do: node
  def node_of(pid), do: node(pid)
end
