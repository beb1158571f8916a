defmodule Foundation.BEAM.Ecosystem.RingToken do
  @moduledoc false

  # The current token of an ecosystem, in its table: `{:token, token, from, ring}`, a row that is replaced
  # only if it is still the one that was read. So members pass the token among themselves, and no process
  # stands between them.
  #
  # `ring` is the change of the topology that has made the ring, which the token ends with: at once, as
  # nobody need do anything for it. It stays in its row: the one after it is later.
  #
  # Whoever replaces it sends it to its new holder: `{:ecosystem_token, token}`.
  #
  # No token is lost with a member. The steward takes a dead member off the list, then heals; who passes
  # the token replaces the row, then heals. Whichever of the two comes second sees what the first did:
  # a holder that is gone, in whose place its successor gets a new token. And who replaced the row, `from`,
  # may have died before it sent the token: then the steward sends it, maybe a second time. (It hears of
  # members; whoever is none has it done, see `Arrangement`.)

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Token

  @type table :: :ets.tab()
  # The members as they are when it is called, read anew for each try: all of them, or those that matter.
  # To pass a token, these are its holder and whoever comes next; to heal, its holder if that lives, and
  # whoever comes next only if not.
  @type members :: (:all | {:pass | :heal, Token.t()} -> Token.members())

  @typep ring :: non_neg_integer()

  @doc """
  Gives a member a token, the first one unless it is named; where there is a token already, that stays
  (`:exists`).
  """
  @spec start(table(), members(), Topology.role() | nil) ::
          {:ok, Token.t()} | {:error, :exists | :no_ring} | :error
  def start(table, members, role \\ nil) do
    with {:ok, ring} <- ring(table),
         row = List.first(:ets.lookup(table, :token)),
         {:ok, previous} <- previous(row, ring),
         living = Enum.filter(members.(:all), &(role in [nil, elem(&1, 0)])),
         {:ok, token} <- Token.new(living, previous) do
      # Where not, another was there before, maybe for an earlier ring.
      if place(table, row, token, ring),
        do: placed(table, members, role, ring),
        else: start(table, members, role)
    else
      :later -> start(table, members, role)
      no_token -> no_token
    end
  end

  # Its holder may have died since it was read, or the ring have ended.
  defp placed(table, members, role, ring) do
    healed = heal(table, members)
    if ring(table) == {:ok, ring}, do: healed, else: start(table, members, role)
  end

  defp previous(nil, _ring), do: {:ok, nil}
  defp previous({:token, _token, _from, ring}, ring), do: {:error, :exists}
  defp previous({:token, token, _from, earlier}, ring) when earlier < ring, do: {:ok, token}
  # It is another ring by now.
  defp previous({:token, _token, _from, _later}, _ring), do: :later

  defp place(table, nil, token, ring) do
    won? = :ets.insert_new(table, {:token, token, self(), ring})
    if won?, do: hand_over(token)
    won?
  end

  defp place(table, {:token, ended, _from, _earlier}, token, ring),
    do: replace(table, ended, token, ring)

  @doc "Which ring it is now."
  @spec ring(table()) :: {:ok, ring()} | {:error, :no_ring}
  def ring(table) do
    case :ets.lookup(table, :topology) do
      [{:topology, :ring, change, _told}] -> {:ok, change}
      _another -> {:error, :no_ring}
    end
  end

  @doc "The current token."
  @spec current(table()) :: {:ok, Token.t()} | :error
  def current(table) do
    with {:ok, {token, _from, _ring}} <- now(table), do: {:ok, token}
  end

  # The topology first: the token of a ring is there after it.
  defp now(table) do
    with {:ok, ring} <- ring(table),
         [{:token, token, from, ^ring}] <- :ets.lookup(table, :token) do
      {:ok, {token, from, ring}}
    else
      _none -> :error
    end
  end

  @doc "Passes the token that somebody has on to the successor; `{:error, :stale}` if it is not the current one."
  @spec pass(table(), term(), members()) :: {:ok, Token.t()} | {:error, :stale} | :error
  def pass(table, presented, members) do
    with {:ok, {current, _from, ring}} <- now(table),
         :ok <- valid(current, presented),
         {:ok, next} <- Token.pass(current, presented, members.({:pass, current})) do
      if replace(table, current, next, ring) do
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
    with {:ok, {current, from, ring}} <- now(table),
         {:ok, healed} <- Token.heal(current, members.({:heal, current})) do
      if healed == current do
        if gone in [from, :unknown], do: hand_over(current)
        {:ok, current}
      else
        # Whether this or another has replaced it: the next holder may be gone by now as well.
        replace(table, current, healed, ring)
        heal(table, members, gone)
      end
    else
      _nobody -> :error
    end
  end

  defp replace(table, current, next, ring) do
    guard = {:"=:=", :"$1", {:const, current}}
    row = {:token, {:const, next}, self(), ring}
    won? = :ets.select_replace(table, [{{:token, :"$1", :_, :_}, [guard], [{row}]}]) == 1
    if won?, do: hand_over(next)
    won?
  end

  defp hand_over(%Token{holder: {_role, pid}} = token), do: send(pid, {:ecosystem_token, token})
end
