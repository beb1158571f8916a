defmodule Foundation.TopologyPropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.{Ring, Router, Token}

  defp role, do: oneof([:coordinator, bind(integer(1, 12), &{:worker, &1})])
  defp members, do: bind(non_empty(list(role())), &Topology.order/1)
  defp topology, do: oneof(Router.names())

  # Members, and some of them, which may be the same.
  defp members_and(count) do
    bind(members(), fn members ->
      {members, bind(vector(count, oneof(members)), &List.to_tuple/1)}
    end)
  end

  property "a way begins and ends where it should, and each step of it is to a neighbour",
    runs: 500 do
    forall {name, {members, {from, to}}} <- {topology(), members_and(2)} do
      case Router.route(name, members, from, to) do
        {:ok, path} ->
          List.first(path) == from and List.last(path) == to and Enum.uniq(path) == path and
            path
            |> Enum.chunk_every(2, 1, :discard)
            |> Enum.all?(fn [a, b] -> b in Router.neighbours(name, members, a) end)

        {:error, _no_route} ->
          name == :tree and :coordinator not in members
      end
    end
  end

  property "going to the next hop again and again is the way", runs: 300 do
    forall {name, {members, {from, to}}} <- {topology(), members_and(2)} do
      case Router.route(name, members, from, to) do
        {:ok, path} -> hops(name, members, from, to) == path
        {:error, _} -> match?({:error, _}, Router.next_hop(name, members, from, to))
      end
    end
  end

  property "neighbours are each other's, and never oneself", runs: 300 do
    forall {name, {members, {one}}} <- {topology(), members_and(1)} do
      neighbours = Router.neighbours(name, members, one)

      one not in neighbours and Enum.uniq(neighbours) == neighbours and
        Enum.all?(neighbours, &(one in Router.neighbours(name, members, &1)))
    end
  end

  property "in a mesh the neighbours are all others" do
    forall {members, {one}} <- members_and(1) do
      Enum.sort([one | Router.neighbours(:mesh, members, one)]) == members
    end
  end

  property "in a tree workers reach each other by the coordinator" do
    forall {members, {from, to}} <- members_and(2) do
      members = Topology.order([:coordinator | members])
      {:ok, path} = Router.route(:tree, members, from, to)
      from == to or :coordinator in [from, to] or path == [from, :coordinator, to]
    end
  end

  property "successors visit every member once before they come back, predecessors the same way back" do
    forall {members, {one}} <- members_and(1) do
      round = around(members, one, &Ring.successor/2)
      back = around(members, one, &Ring.predecessor/2)
      Enum.sort(round) == members and back == [one | Enum.reverse(tl(round))]
    end
  end

  property "without some of its members a ring is the ring of the others, in the same order" do
    forall {{members, {one}}, gone} <- {members_and(1), list(role())} do
      left = members -- List.delete(gone, one)
      left = if one in left, do: left, else: Topology.order([one | left])
      # The round of all, without those that are gone, is the round of those that are left.
      around(left, one, &Ring.successor/2) ==
        Enum.filter(around(members, one, &Ring.successor/2), &(&1 in left))
    end
  end

  property "what one tells all, each other member that can be reached gets once", runs: 500 do
    forall {name, {members, {origin}}} <- {topology(), members_and(1)} do
      told = told(name, members, origin, [origin], [])

      reached =
        Enum.filter(members, fn to ->
          to != origin and match?({:ok, _}, Router.route(name, members, origin, to))
        end)

      Enum.sort(told) == reached
    end
  end

  # The member that holds a message may die only after it has passed it on, or the message is lost
  # with it: no function of members brings it back.
  property "who lives through a round of the ring gets its message once, whoever dies or joins",
    runs: 500 do
    forall {{members, {origin}}, changes} <- {members_and(1), list({role(), boolean()})} do
      {seen, last} = round_with_changes(members, origin, changes)

      lived =
        for role <- members, role in last, role != origin, {role, false} not in changes, do: role

      Enum.uniq(seen) == seen and Enum.all?(lived, &(&1 in seen))
    end
  end

  property "there is one valid token, held by a living member, whatever is passed, dies, joins or ends",
    runs: 500 do
    forall {members, commands} <- {members(), list(command())} do
      members = for role <- members, do: {role, 0}
      {:ok, token} = Token.new(members)
      state = %{token: token, handed: [token], members: members, life: 0}

      commands
      |> Enum.scan(state, &run/2)
      |> then(&[state | &1])
      |> Enum.chunk_every(2, 1, :discard)
      |> Enum.all?(fn [before, now] -> one_token?(now) and later?(before.token, now.token) end)
    end
  end

  # Messages travel over links that keep their order, at any pace; a member sends only while it holds
  # the token, and passes on what it receives, the token too, in the order in which it comes.
  property "with a token all members see what all send in one order", runs: 300 do
    forall {count, senders, schedule} <- {integer(2, 6), list(integer(1, 3)), list(integer(0, 5))} do
      members = Topology.order(for n <- 1..count, do: {:worker, n})
      logs = ordered(members, senders, schedule)
      sent = Enum.to_list(1..length(logs.sent)//1)

      Enum.all?(members, fn member ->
        others = for {seq, ^member} <- logs.sent, do: seq
        Enum.reverse(Map.get(logs.seen, member, [])) == sent -- others
      end)
    end
  end

  defp hops(_name, _members, to, to), do: [to]

  defp hops(name, members, from, to) do
    {:ok, next} = Router.next_hop(name, members, from, to)
    [from | hops(name, members, next, to)]
  end

  defp around(members, one, step) do
    one
    |> Stream.iterate(fn role ->
      case step.(members, role) do
        {:ok, next} -> next
        :error -> one
      end
    end)
    |> Enum.take(length(members))
  end

  # What goes round without end is cut off: it has then been told twice.
  defp told(_name, members, _origin, at, told) when at == [] or length(told) > length(members),
    do: told

  defp told(name, members, origin, [at | rest], told) do
    next = Router.forward(name, members, origin, at)
    told(name, members, origin, rest ++ next, next ++ told)
  end

  defp round_with_changes(members, origin, changes) do
    step(members, origin, origin, changes, [])
  end

  # Told twice as well: there are thirteen roles.
  defp step(members, _origin, _at, _changes, seen) when length(seen) > 13, do: {seen, members}

  defp step(members, origin, at, changes, seen) do
    {members, changes} = change(members, at, changes)

    case Router.forward(:ring, members, origin, at) do
      [next] -> step(members, origin, next, changes, [next | seen])
      [] -> {seen, members}
    end
  end

  defp change(members, _at, []), do: {members, []}
  defp change(members, at, [{at, false} | rest]), do: {members, rest}
  defp change(members, _at, [{role, false} | rest]), do: {List.delete(members, role), rest}
  defp change(members, _at, [{role, true} | rest]), do: {Topology.order([role | members]), rest}

  # Passing any token that was ever handed out, by whoever had it; dying; joining, also again.
  defp command do
    oneof([
      :pass,
      bind(integer(0, 30), &{:pass, &1}),
      bind(role(), &{:die, &1}),
      :die,
      bind(role(), &{:join, &1}),
      :ring_again
    ])
  end

  defp run(:pass, state), do: pass(state, state.token)

  defp run({:pass, n}, state),
    do: pass(state, Enum.at(state.handed, rem(n, length(state.handed))))

  defp run(:die, state), do: run({:die, elem(state.token.holder, 0)}, state)

  # The last one stays: without members there is nobody to hold a token.
  defp run({:die, _role}, %{members: [_last]} = state), do: state

  defp run({:die, role}, state) do
    heal(%{state | members: List.keydelete(state.members, role, 0)})
  end

  # It is no ring any more, and then one again.
  defp run(:ring_again, state) do
    {:ok, token} = Token.new(state.members, state.token)
    %{state | token: token, handed: [token | state.handed]}
  end

  # In the place of one of the same role, it is that one's death too, of which nobody was told apart.
  defp run({:join, role}, state) do
    life = state.life + 1
    members = Enum.sort([{role, life} | List.keydelete(state.members, role, 0)])
    heal(%{state | members: members, life: life})
  end

  defp pass(state, presented) do
    case Token.pass(state.token, presented, state.members) do
      {:ok, token} -> %{state | token: token, handed: [token | state.handed]}
      {:error, :stale} -> state
    end
  end

  defp heal(state) do
    {:ok, token} = Token.heal(state.token, state.members)
    %{state | token: token, handed: Enum.uniq([token | state.handed])}
  end

  defp one_token?(state) do
    valid = Enum.filter(state.handed, &Token.valid?(state.token, &1))
    match?([_], valid) and hd(valid).holder in state.members
  end

  defp later?(%Token{} = before, %Token{} = now) do
    now == before or {now.epoch, now.seq} > {before.epoch, before.seq}
  end

  # `links` holds what is on its way to each member. `senders` says how many messages each holder in
  # turn sends before it passes the token, `schedule` whose link moves next; then all moves.
  defp ordered([first | _] = members, senders, schedule) do
    state = %{links: %{}, seen: %{}, sent: [], senders: senders, members: members}
    state = hold(state, first)
    state = Enum.reduce(schedule, state, &move(&2, Enum.at(members, rem(&1, length(members)))))
    state = settle(state)
    %{state | sent: Enum.sort(state.sent)}
  end

  defp hold(%{senders: []} = state, _holder), do: state

  defp hold(%{senders: [count | rest]} = state, holder) do
    state =
      Enum.reduce(1..count, %{state | senders: rest}, fn _, state -> emit(state, holder) end)

    {:ok, next} = Ring.successor(state.members, holder)
    put(state, next, :token)
  end

  defp emit(state, holder) do
    seq = length(state.sent) + 1
    state = %{state | sent: [{seq, holder} | state.sent]}
    pass_on(state, {seq, holder}, holder)
  end

  defp pass_on(state, {_seq, origin} = message, at) do
    :ring
    |> Router.forward(state.members, origin, at)
    |> Enum.reduce(state, &put(&2, &1, message))
  end

  defp put(state, to, message), do: update_in(state.links[to], &((&1 || []) ++ [message]))

  defp move(state, at) do
    case state.links[at] do
      [:token | rest] ->
        hold(put_in(state.links[at], rest), at)

      [{seq, _origin} = message | rest] ->
        state = put_in(state.links[at], rest)
        state = %{state | seen: Map.update(state.seen, at, [seq], &[seq | &1])}
        pass_on(state, message, at)

      _nothing ->
        state
    end
  end

  defp settle(state) do
    case Enum.find(state.members, &(state.links[&1] not in [nil, []])) do
      nil -> state
      member -> state |> move(member) |> settle()
    end
  end
end
