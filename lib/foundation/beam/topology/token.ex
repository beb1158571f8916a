defmodule Foundation.BEAM.Topology.Token do
  @moduledoc """
  The token of a ring: whoever holds it may act, everybody else waits.

  There is one current token. Its holder passes it to its successor; any other token that somebody
  presents, an older one or one of its own making, is refused. When the holder is gone, a token of a
  new epoch goes to its successor, and the old one is worth nothing, wherever it is.

      iex> alias Foundation.BEAM.Topology.Token
      iex> members = [{:coordinator, self()}, {{:worker, 1}, self()}]
      iex> {:ok, first} = Token.new(members)
      iex> {:ok, second} = Token.pass(first, first, members)
      iex> {second.seq, second.holder == {{:worker, 1}, self()}}
      {1, true}
      iex> Token.pass(second, first, members)
      {:error, :stale}

  These are functions: where the current token is kept, it is replaced only if it is still the one
  that a function got (in ETS by `:ets.select_replace/2`). Each of them gives `:error` where there is
  no member left who could hold it.

  A member is a role and which life of it: its pid. A worker that comes back under its old role
  starts without the token that it held.

  `seq` counts the passes of all epochs, so it orders what holders do: a later holder has a larger one.
  Both go on growing when a ring has ended and there is a token again (`new/2`), so whoever keeps the largest
  `{epoch, seq}` that it has seen can refuse what an earlier holder sends late.
  """

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Ring

  @enforce_keys [:epoch, :seq, :holder]
  defstruct [:epoch, :seq, :holder]

  @typedoc "A role and, so that one life of it is told from the next, its process."
  @type member :: {Topology.role(), pid()}

  @typedoc "The living members in the order of their roles."
  @type members :: [member()]

  @type t :: %__MODULE__{epoch: pos_integer(), seq: non_neg_integer(), holder: member()}

  @doc """
  The first token, held by the first member: the coordinator, if it is alive.

      iex> Foundation.BEAM.Topology.Token.new([{:coordinator, self()}])
      {:ok, %Foundation.BEAM.Topology.Token{epoch: 1, seq: 0, holder: {:coordinator, self()}}}
      iex> Foundation.BEAM.Topology.Token.new([])
      :error
  """
  @spec new(members()) :: {:ok, t()} | :error
  def new(members), do: new(members, nil)

  @doc """
  The same after another one, that of a ring which has ended; `nil` where there was none. It is of a
  later epoch, and the earlier one is stale for good.

      iex> alias Foundation.BEAM.Topology.Token
      iex> {:ok, first} = Token.new([{:coordinator, self()}])
      iex> {:ok, again} = Token.new([{:coordinator, self()}], first)
      iex> {again.epoch, again.seq, Token.valid?(again, first)}
      {2, 1, false}
  """
  @spec new(members(), previous :: t() | nil) :: {:ok, t()} | :error
  def new([], _previous), do: :error
  def new([first | _rest], nil), do: {:ok, %__MODULE__{epoch: 1, seq: 0, holder: first}}

  def new([first | _rest], %__MODULE__{epoch: epoch, seq: seq}),
    do: {:ok, %__MODULE__{epoch: epoch + 1, seq: seq + 1, holder: first}}

  @doc """
  Whether what somebody has is the current token.

      iex> {:ok, token} = Foundation.BEAM.Topology.Token.new([{:coordinator, self()}])
      iex> Foundation.BEAM.Topology.Token.valid?(token, %{token | epoch: 2})
      false
  """
  @spec valid?(current :: t(), presented :: term()) :: boolean()
  def valid?(%__MODULE__{} = current, presented), do: current === presented

  @doc """
  The token that the holder's successor gets; a holder that is alone passes it to itself.

  `{:error, :stale}` when what is presented is not the current token.

      iex> members = [{:coordinator, self()}]
      iex> {:ok, token} = Foundation.BEAM.Topology.Token.new(members)
      iex> {:ok, next} = Foundation.BEAM.Topology.Token.pass(token, token, members)
      iex> {next.holder == token.holder, next.seq}
      {true, 1}
  """
  @spec pass(current :: t(), presented :: term(), members()) ::
          {:ok, t()} | {:error, :stale} | :error
  def pass(%__MODULE__{} = current, presented, members) do
    if valid?(current, presented), do: hand_on(current, members), else: {:error, :stale}
  end

  @doc """
  The token after a change of members: the same while its holder is there, one of a new epoch, held
  by the successor, when it is not.

  Whoever changed the members calls it, and whoever passed the token, once it is passed: its new
  holder may have gone in between.

      iex> {:ok, token} = Foundation.BEAM.Topology.Token.new([{:coordinator, self()}])
      iex> {:ok, healed} = Foundation.BEAM.Topology.Token.heal(token, [{{:worker, 1}, self()}])
      iex> {healed.epoch, healed.holder == {{:worker, 1}, self()}}
      {2, true}
  """
  @spec heal(current :: t(), members()) :: {:ok, t()} | :error
  def heal(%__MODULE__{holder: holder} = current, members) do
    if holder in members do
      {:ok, current}
    else
      with {:ok, next} <- hand_on(current, members), do: {:ok, %{next | epoch: next.epoch + 1}}
    end
  end

  defp hand_on(%__MODULE__{holder: {role, _pid}, seq: seq} = current, members) do
    roles = Enum.map(members, &elem(&1, 0))

    case {Ring.successor(roles, role), members} do
      {{:ok, next}, _members} ->
        {:ok, %{current | seq: seq + 1, holder: List.keyfind(members, next, 0)}}

      {:error, [alone]} ->
        {:ok, %{current | seq: seq + 1, holder: alone}}

      {:error, []} ->
        :error
    end
  end
end
