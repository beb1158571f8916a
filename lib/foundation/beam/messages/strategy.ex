defmodule Foundation.BEAM.Messages.Strategy do
  @moduledoc false

  # A strategy makes the message, once for all receivers of a scope, and brings it to them.

  alias Foundation.BEAM.Messages.Destination
  alias Foundation.BEAM.Term.Size
  alias Foundation.Error

  @type name :: :direct | :ets_reference | :binary_sharing | :flow_controlled
  @type compression :: :none | :low | :default | :high

  @typedoc "What the sender gets back: `:sent`, the handle, or the size of the binary."
  @type value :: :sent | reference() | pos_integer()
  @type receiver :: {Destination.t(), Destination.target()}
  @type failure :: {Destination.t(), Error.t()}

  @doc "The message for receivers of this node (`:local`) or of others (`:remote`)."
  @callback message(
              data :: term(),
              scope :: :local | :remote,
              compression(),
              Size.t() | nil,
              opts :: map()
            ) :: {:ok, term(), value()} | {:error, Error.t()}

  @doc "Brings the message to each, and says to whom it could not."
  @callback deliver([receiver()], message :: term(), opts :: map()) :: [failure()]

  @names [:direct, :ets_reference, :binary_sharing, :flow_controlled]

  @doc "The names that the `strategy:` option takes."
  @spec names() :: [name()]
  def names, do: @names

  @doc "Sends to each in turn: what all strategies do that do not wait."
  @spec send_each([receiver()], term(), map()) :: [failure()]
  def send_each([{dest, {_scope, to}} | rest], message, opts) do
    case Destination.send(to, message, opts.priority) do
      :ok -> send_each(rest, message, opts)
      {:error, error} -> [{dest, error} | send_each(rest, message, opts)]
    end
  end

  def send_each([], _message, _opts), do: []
end
