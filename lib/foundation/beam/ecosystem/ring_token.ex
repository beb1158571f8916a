defmodule Foundation.BEAM.Ecosystem.RingToken do
  @moduledoc false

  # The current token of an ecosystem, in its table: `{:token, token, from}`, a row that is replaced only
  # if it is still the one that was read. So members pass the token among themselves, and no process
  # stands between them.
  #
  # Whoever replaces it sends it to its new holder: `{:ecosystem_token, token}`.
  #
  # No token is lost with a member. The steward takes a dead member off the list, then heals; who passes
  # the token replaces the row, then heals. Whichever of the two comes second sees what the first did:
  # a holder that is gone, in whose place its successor gets a new token. And who replaced the row, `from`,
  # may have died before it sent the token: then the steward sends it, maybe a second time.
  #
  # A token that has ended stays in its row, `{:token, {:ended, token}, from}`: the one after it is later.

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Token

  @type table :: :ets.tab()
  # The members as they are when it is called, read anew for each try: all of them, or those that matter.
  # To pass a token, these are its holder and whoever comes next; to heal, its holder if that lives, and
  # whoever comes next only if not.
  @type members :: (:all | {:pass | :heal, Token.t()} -> Token.members())

  @doc """
  Gives a member a token, the first one unless it is named; where there is a token already, that stays
  (`:exists`).
  """
  @spec start(table(), members(), Topology.role() | nil) ::
          {:ok, Token.t()} | {:error, :exists} | :error
  def start(table, members, role \\ nil) do
    row = List.first(:ets.lookup(table, :token))

    with {:ok, previous} <- previous(row),
         living = Enum.filter(members.(:all), &(role in [nil, elem(&1, 0)])),
         {:ok, token} <- Token.new(living, previous) do
      if place(table, row, token),
        # Its holder may have died since it was read.
        do: heal(table, members),
        else: {:error, :exists}
    end
  end

  defp previous(nil), do: {:ok, nil}
  defp previous({:token, {:ended, token}, _from}), do: {:ok, token}
  defp previous({:token, _current, _from}), do: {:error, :exists}

  defp place(table, nil, token) do
    won? = :ets.insert_new(table, {:token, token, self()})
    if won?, do: hand_over(token)
    won?
  end

  defp place(table, {:token, ended, _from}, token), do: replace(table, ended, token)

  @doc "The current token."
  @spec current(table()) :: {:ok, Token.t()} | :error
  def current(table) do
    case :ets.lookup(table, :token) do
      [{:token, %Token{} = token, _from}] -> {:ok, token}
      _none -> :error
    end
  end

  @doc "Passes the token that somebody has on to the successor; `{:error, :stale}` if it is not the current one."
  @spec pass(table(), term(), members()) :: {:ok, Token.t()} | {:error, :stale} | :error
  def pass(table, presented, members) do
    with {:ok, current} <- current(table),
         :ok <- valid(current, presented),
         {:ok, next} <- Token.pass(current, presented, members.({:pass, current})) do
      if replace(table, current, next) do
        heal(table, members)
        {:ok, next}
      else
        # Nobody else can have passed it: it was taken for lost.
        {:error, :stale}
      end
    end
  end

  defp valid(current, presented),
    do: if(Token.valid?(current, presented), do: :ok, else: {:error, :stale})

  @doc """
  After a change of members: the current token, which is a new one if the holder is gone.

  `gone` is the process that has died, if one has, `:unknown` where nobody can tell.
  """
  @spec heal(table(), members(), pid() | :unknown | nil) :: {:ok, Token.t()} | :error
  def heal(table, members, gone \\ nil) do
    with [{:token, %Token{} = current, from}] <- :ets.lookup(table, :token),
         {:ok, healed} <- Token.heal(current, members.({:heal, current})) do
      if healed == current do
        if gone in [from, :unknown], do: hand_over(current)
        {:ok, current}
      else
        # Whether this or another has replaced it: the next holder may be gone by now as well.
        replace(table, current, healed)
        heal(table, members, gone)
      end
    else
      _nobody -> :error
    end
  end

  @doc "Ends it: every token that anybody has is stale for good."
  @spec stop(table()) :: :ok
  def stop(table) do
    case current(table) do
      # It may have been passed on since it was read.
      {:ok, token} -> if exchange(table, token, {:ended, token}), do: :ok, else: stop(table)
      :error -> :ok
    end
  end

  defp replace(table, current, next) do
    won? = exchange(table, current, next)
    if won?, do: hand_over(next)
    won?
  end

  defp exchange(table, current, next) do
    guard = {:"=:=", :"$1", {:const, current}}
    spec = [{{:token, :"$1", :_}, [guard], [{{:token, {:const, next}, self()}}]}]
    :ets.select_replace(table, spec) == 1
  end

  defp hand_over(%Token{holder: {_role, pid}} = token), do: send(pid, {:ecosystem_token, token})
end
