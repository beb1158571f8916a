defmodule Foundation.RingTokenPropertyTest do
  # The token in its table: whatever is done to it and in whatever order, also when the ring ends and is
  # one again, what is handed out later has larger numbers, and what was before is worth nothing.
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Ecosystem.RingToken

  defp role, do: oneof([:coordinator, bind(integer(1, 5), &{:worker, &1})])

  defp command do
    oneof([
      :start,
      bind(role(), &{:start, &1}),
      :pass,
      bind(integer(0, 20), &{:pass, &1}),
      :die,
      bind(role(), &{:die, &1}),
      bind(role(), &{:join, &1}),
      :stop
    ])
  end

  property "later tokens have larger numbers, and one at most can be passed, over all rings",
    runs: 500 do
    forall commands <- list(command()) do
      table = :ets.new(:ring, [:set, :public])
      :ets.insert(table, {:topology, :ring, 0, 0})
      state = %{table: table, members: [coordinator: life()], handed: []}

      {_state, right?} =
        Enum.reduce(commands, {state, true}, fn command, {state, right?} ->
          {state, as_expected?} = run(command, state)
          {state, handed?} = look(state)
          {state, right? and as_expected? and handed? and only_the_newest?(state)}
        end)

      :ets.delete(table)
      right?
    end
  end

  # A process of its own for each life; nobody asks whether it lives.
  defp life, do: spawn(fn -> :ok end)

  defp members(state), do: fn _asked -> state.members end
  defp current(state), do: RingToken.current(state.table)

  defp run(:start, state), do: start(state, nil)
  defp run({:start, role}, state), do: start(state, role)
  defp run(:pass, state), do: pass(state, List.first(state.handed))

  defp run({:pass, _n}, %{handed: []} = state), do: {state, true}

  defp run({:pass, n}, state),
    do: pass(state, Enum.at(state.handed, rem(n, length(state.handed))))

  defp run(:die, state) do
    case current(state) do
      {:ok, token} -> run({:die, elem(token.holder, 0)}, state)
      :error -> {state, true}
    end
  end

  defp run({:die, role}, state), do: changed(state, List.keydelete(state.members, role, 0))

  defp run({:join, role}, state),
    do: changed(state, Enum.sort(List.keystore(state.members, role, 0, {role, life()})))

  defp run(:stop, state) do
    # None, and one again.
    :ets.update_counter(state.table, :topology, {3, 2})
    {state, current(state) == :error}
  end

  defp start(state, role) do
    before = current(state)
    there? = Enum.any?(state.members, &(role in [nil, elem(&1, 0)]))
    started = RingToken.start(state.table, members(state), role)

    case before do
      {:ok, _token} -> {state, started == {:error, :exists}}
      :error -> {state, if(there?, do: started == current(state), else: started == :error)}
    end
  end

  defp pass(state, token) do
    before = current(state)
    passed = RingToken.pass(state.table, token, members(state))

    right? =
      case before do
        :error -> passed == :error
        # The last holder is gone, and nobody has come after it.
        {:ok, ^token} when state.members == [] -> passed == :error
        {:ok, ^token} -> passed == current(state)
        {:ok, _other} -> passed == {:error, :stale}
      end

    {state, right?}
  end

  defp changed(state, members) do
    state = %{state | members: members}
    RingToken.heal(state.table, members(state))
    {state, true}
  end

  # A new one is later than all before; while anybody lives, a member has it.
  defp look(%{handed: handed} = state) do
    case current(state) do
      :error ->
        {state, true}

      {:ok, token} when token == hd(handed) ->
        {state, state.members == [] or token.holder in state.members}

      {:ok, token} ->
        later? = Enum.all?(handed, &(token.seq > &1.seq and token.epoch >= &1.epoch))
        {%{state | handed: [token | handed]}, later? and token.holder in state.members}
    end
  end

  # All others are refused, and nothing comes of it.
  defp only_the_newest?(%{handed: []}), do: true

  defp only_the_newest?(%{handed: [_newest | earlier]} = state) do
    before = current(state)
    refused = if before == :error, do: :error, else: {:error, :stale}

    Enum.all?(earlier, &(RingToken.pass(state.table, &1, members(state)) == refused)) and
      current(state) == before
  end
end
