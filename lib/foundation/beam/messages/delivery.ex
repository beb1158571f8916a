defmodule Foundation.BEAM.Messages.Delivery do
  @moduledoc false

  # From a destination, or a list of them, to the strategies: resolve all, measure once, choose and
  # pack once for this node and once for others, deliver, put the results together.

  alias Foundation.BEAM.{Messages, SharedTerm}
  alias Messages.{Choice, Destination, Shape, Strategy}
  alias Messages.Strategy.{Binary, Direct, FlowControlled, Reference}
  alias Foundation.Error

  @strategies %{
    direct: Direct,
    ets_reference: Reference,
    binary_sharing: Binary,
    flow_controlled: FlowControlled
  }

  @type result :: {:ok, Strategy.value()} | {:error, Error.t()}

  @doc "Sends the data to one destination or to each of a list."
  @spec run(Destination.t() | [Destination.t()], term(), map(), String.t()) :: result()
  def run(dests, data, opts, where) when is_list(dests) do
    receivers = resolve(dests, dests, where)

    case deliver(receivers, data, opts, where) do
      {value, []} -> {:ok, value}
      {value, failed} -> {:error, send_failed(value, failed, length(receivers))}
    end
  end

  def run(dest, data, opts, where),
    do: to_one({dest, Destination.resolve(dest, where)}, data, opts, where)

  @doc "Sends the data to a destination that is resolved already."
  @spec to_one(Strategy.receiver(), term(), map(), String.t()) :: result()
  def to_one({_dest, target} = receiver, data, opts, where) do
    {policy, size} = measure(data, opts)

    case choose(scope(target), [receiver], policy, size, opts, where) |> hand(data, size, opts) do
      {value, []} ->
        {:ok, value}

      {value, [{_dest, error}]} ->
        drop(value)
        {:error, error}
    end
  end

  @doc "The message for `receivers` processes of a scope, and its value; nothing is sent."
  @spec pack(term(), map(), Choice.scope(), pos_integer()) ::
          {:ok, Shape.t(), Strategy.value()} | {:error, Error.t()}
  def pack(data, opts, scope, receivers) do
    {policy, size} = measure(data, opts)
    message(data, scope, Choice.choose(size, policy, opts, scope, receivers), size, opts)
  end

  @doc "Lets go of a packed message that nobody got."
  @spec drop(Strategy.value()) :: :ok
  def drop(handle) when is_reference(handle) do
    _ = SharedTerm.release(handle)
    :ok
  end

  def drop(_value), do: :ok

  defp resolve([dest | rest], all, where),
    do: [{dest, Destination.resolve(dest, where)} | resolve(rest, all, where)]

  defp resolve([], _all, _where), do: []

  defp resolve(_tail, all, where) do
    raise ArgumentError,
          "invalid destination in #{where}: expected a proper list of destinations, " <>
            "got: #{Foundation.Options.given(all)}"
  end

  defp deliver([], _data, _opts, _where), do: {:sent, []}

  defp deliver(receivers, data, opts, where) do
    {policy, size} = measure(data, opts)

    # All choices come before the first send: a name that nobody has raises while nothing is sent.
    receivers
    |> Enum.group_by(fn {_dest, target} -> scope(target) end)
    |> Enum.map(fn {scope, some} -> choose(scope, some, policy, size, opts, where) end)
    |> Enum.map(&hand(&1, data, size, opts))
    |> Enum.reduce(&join/2)
  end

  defp scope({:remote, _to}), do: :remote
  defp scope(_local_or_nobody), do: :local

  defp choose(scope, receivers, policy, size, opts, where) do
    choice = Choice.choose(size, policy, opts, scope, length(receivers))
    {scope, somebody!(receivers, choice.strategy, where), choice}
  end

  # Flow control has an error for it; `send/2` raises.
  defp somebody!(receivers, :flow_controlled, _where), do: receivers

  defp somebody!(receivers, _strategy, where) do
    case List.keyfind(receivers, :noproc, 1) do
      nil -> receivers
      {dest, :noproc} -> Destination.noproc!(dest, where)
    end
  end

  defp hand({scope, receivers, choice}, data, size, opts) do
    case message(data, scope, choice, size, opts) do
      {:ok, message, value} ->
        {value, @strategies[choice.strategy].deliver(receivers, message, opts)}

      {:error, error} ->
        {:sent, Enum.map(receivers, fn {dest, _target} -> {dest, error} end)}
    end
  end

  defp message(data, scope, choice, size, opts) do
    @strategies[choice.strategy].message(data, scope, choice.compression, size, opts)
  end

  # The data as it is needs no size.
  defp measure(_data, %{strategy: forced} = opts) when forced in [:direct, :flow_controlled],
    do: {Choice.policy(opts), nil}

  defp measure(data, opts) do
    policy = Choice.policy(opts)
    {policy, Choice.measure(data, policy)}
  end

  # Of two values the one that the sender can do something with: a handle, else a size.
  defp join({value, failed}, {other, also}), do: {better(value, other), failed ++ also}

  defp better(handle, _other) when is_reference(handle), do: handle
  defp better(_other, handle) when is_reference(handle), do: handle
  defp better(:sent, other), do: other
  defp better(value, _other), do: value

  defp send_failed(value, failed, count) do
    text = "the message was not sent to #{length(failed)} of #{count} destinations"
    sent = count - length(failed)
    if sent == 0, do: drop(value)
    Error.new(:send_failed, text, %{failed: failed, sent: sent, value: value})
  end
end
