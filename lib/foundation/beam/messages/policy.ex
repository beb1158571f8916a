defmodule Foundation.BEAM.Messages.Policy do
  @moduledoc false

  # The default policy of the application's configuration, where every send can read it in about
  # 20 ns. It is an atom: putting it there scans no process.

  @policies [:documented, :adaptive]
  @key {__MODULE__, :default}

  @type t :: :documented | :adaptive

  @doc "The policies that there are."
  @spec all() :: [t()]
  def all, do: @policies

  @doc "Takes `config :foundation, message_policy: ...`; called when the application starts."
  @spec load!() :: :ok
  def load! do
    case Application.get_env(:foundation, :message_policy, :documented) do
      policy when policy in @policies ->
        :persistent_term.put(@key, policy)

      other ->
        raise ArgumentError,
              "invalid config :foundation, message_policy: expected one of " <>
                "#{inspect(@policies)}, got: #{Foundation.Options.given(other)}"
    end
  end

  @doc "The policy of a call that names none."
  @spec default() :: t()
  def default, do: :persistent_term.get(@key, :documented)
end
