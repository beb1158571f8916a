defmodule Foundation.BEAM.Ecosystem.RingTokenTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Ecosystem.RingToken
  alias Foundation.BEAM.Topology.Token

  setup do
    table = :ets.new(:ecosystem, [:set, :public, read_concurrency: true])
    topology(table, :ring, 1)
    {:ok, table: table, members: fn _token -> members(table) end}
  end

  defp topology(table, name, change), do: :ets.insert(table, {:topology, name, change, 0})

  defp members(table),
    do: Enum.sort(for {{:member, role}, pid} <- :ets.tab2list(table), do: {role, pid})

  # Passes on to the test what it gets.
  defp join(table, role) do
    test = self()
    pid = spawn_link(fn -> relay(test, role) end)
    :ets.insert(table, {{:member, role}, pid})
    pid
  end

  defp relay(test, role) do
    receive do: ({:ecosystem_token, token} -> send(test, {role, token}))
    relay(test, role)
  end

  test "the first member is handed it, then each successor", %{table: table, members: members} do
    for role <- [{:worker, 2}, :coordinator, {:worker, 1}], do: join(table, role)
    {:ok, token} = RingToken.start(table, members)
    assert_receive {:coordinator, ^token}

    last =
      for role <- [{:worker, 1}, {:worker, 2}, :coordinator], reduce: token do
        token ->
          assert {:ok, next} = RingToken.pass(table, token, members)
          assert_receive {^role, ^next}
          assert RingToken.current(table) == {:ok, next}
          next
      end

    assert last.seq == 3
  end

  test "there is one: a second is not started, an old one not passed", %{
    table: table,
    members: members
  } do
    for role <- [:coordinator, {:worker, 1}], do: join(table, role)
    {:ok, token} = RingToken.start(table, members)
    assert RingToken.start(table, members) == {:error, :exists}
    {:ok, next} = RingToken.pass(table, token, members)
    assert RingToken.pass(table, token, members) == {:error, :stale}
    assert RingToken.current(table) == {:ok, next}

    topology(table, :mesh, 2)
    assert RingToken.start(table, members) == {:error, :no_ring}

    for {name, change} <- [mesh: 2, ring: 3] do
      topology(table, name, change)
      assert RingToken.pass(table, next, members) == :error
      assert RingToken.current(table) == :error
      assert RingToken.heal(table, members) == :error
    end
  end

  test "the successor of a holder that is gone gets a new one", %{table: table, members: members} do
    for role <- [:coordinator, {:worker, 1}, {:worker, 2}], do: join(table, role)
    {:ok, token} = RingToken.start(table, members)
    assert RingToken.heal(table, members) == {:ok, token}

    :ets.delete(table, {:member, :coordinator})

    assert {:ok, %Token{epoch: 2, holder: {{:worker, 1}, _}} = healed} =
             RingToken.heal(table, members)

    assert_receive {{:worker, 1}, ^healed}
    assert RingToken.pass(table, token, members) == {:error, :stale}
  end

  test "one that is passed to somebody who has just gone is not lost", %{table: table} do
    for role <- [:coordinator, {:worker, 1}, {:worker, 2}], do: join(table, role)
    {:ok, token} = RingToken.start(table, fn _token -> members(table) end)

    # Worker 1 goes after the list was read, and before the token is its own.
    going = fn _token ->
      list = members(table)
      :ets.delete(table, {:member, {:worker, 1}})
      list
    end

    assert {:ok, %Token{holder: {{:worker, 1}, _}}} = RingToken.pass(table, token, going)
    assert {:ok, %Token{epoch: 2, holder: {{:worker, 2}, _}} = healed} = RingToken.current(table)
    assert_receive {{:worker, 2}, ^healed}
  end

  test "one whose passer died before it could send it is sent by whoever heals",
       %{table: table, members: members} do
    for role <- [:coordinator, {:worker, 1}], do: join(table, role)
    {:ok, token} = RingToken.start(table, members)
    assert_receive {:coordinator, ^token}

    # What the passer leaves when it dies between the two: the row, and no message.
    {:ok, next} = Token.pass(token, token, members.(nil))
    passer = spawn(fn -> :ok end)
    :ets.insert(table, {:token, next, passer, 1})

    {:ok, ^next} = RingToken.heal(table, members)
    {:ok, ^next} = RingToken.heal(table, members, self())
    {:ok, ^next} = RingToken.heal(table, members, passer)
    assert_receive {{:worker, 1}, ^next}
    {:ok, ^next} = RingToken.heal(table, members, :unknown)
    assert_receive {{:worker, 1}, ^next}
    # Once for each of the two, not for the others.
    refute_received {{:worker, 1}, _}
  end

  test "of all that pass the same token at once, one does", %{table: table, members: members} do
    for role <- [:coordinator, {:worker, 1}, {:worker, 2}], do: join(table, role)
    {:ok, token} = RingToken.start(table, members)
    test = self()

    # Each has read the current token when it asks for the members, and goes on when all have.
    together = fn _token ->
      unless Process.put(:asked, true) do
        send(test, {:asked, self()})
        receive do: (:go_on -> :ok)
      end

      members.(nil)
    end

    for _ <- 1..20, reduce: token do
      token ->
        tries = for _ <- 1..4, do: Task.async(fn -> RingToken.pass(table, token, together) end)
        for %{pid: pid} <- tries, do: assert_receive({:asked, ^pid})
        for %{pid: pid} <- tries, do: send(pid, :go_on)
        {won, lost} = tries |> Task.await_many() |> Enum.split_with(&match?({:ok, _}, &1))
        assert [{:ok, next}] = won
        assert Enum.all?(lost, &(&1 == {:error, :stale}))
        assert next.seq == token.seq + 1
        next
    end
  end

  # The topology changes when who starts the token has read which ring it is, and asks for the members.
  describe "of a start in between two rings" do
    defp start_while(table, changes) do
      RingToken.start(table, fn _asked ->
        unless Process.put(:changed, true), do: changes.()
        members(table)
      end)
    end

    setup %{table: table} do
      for role <- [:coordinator, {:worker, 1}], do: join(table, role)
      :ok
    end

    test "nothing is left where the second is none", %{table: table} do
      assert start_while(table, fn -> topology(table, :tree, 2) end) == {:error, :no_ring}
      topology(table, :ring, 3)
      assert RingToken.current(table) == :error
    end

    test "the token is the second one's", %{table: table, members: members} do
      assert {:ok, token} = start_while(table, fn -> topology(table, :ring, 3) end)
      assert RingToken.current(table) == {:ok, token}
      assert {:ok, _next} = RingToken.pass(table, token, members)
    end

    test "a token that another starts in the second stays", %{table: table, members: members} do
      others = fn ->
        topology(table, :ring, 3)
        send(self(), RingToken.start(table, members, {:worker, 1}))
      end

      assert start_while(table, others) == {:error, :exists}
      assert_received {:ok, token}
      assert RingToken.current(table) == {:ok, token}

      # Also where there was one in the first.
      others = fn ->
        topology(table, :ring, 7)
        send(self(), RingToken.start(table, members, {:worker, 1}))
      end

      topology(table, :ring, 5)
      Process.delete(:changed)
      assert start_while(table, others) == {:error, :exists}
      assert_received {:ok, token}
      assert RingToken.current(table) == {:ok, token}
    end
  end

  # Members that pass the token as soon as they have it, die with it or without it, and come back.
  test "it goes on round while members die and come back, and no pass is won twice",
       %{table: table, members: members} do
    roles = [:coordinator | for(n <- 1..4, do: {:worker, n})]
    passes = :ets.new(:passes, [:set, :public])
    for role <- roles, do: passer(table, role, passes)
    {:ok, _} = RingToken.start(table, members)

    for n <- 1..300 do
      role = Enum.at(roles, rem(n * 7, 5))
      [{_, pid}] = :ets.lookup(table, {:member, role})
      :killed = Foundation.ConcurrentTestHelpers.kill(pid)
      # As the steward does: off the list, then healed; back on the list, then healed.
      :ets.delete(table, {:member, role})
      assert {:ok, _} = RingToken.heal(table, members, pid)
      passer(table, role, passes)
      assert {:ok, _} = RingToken.heal(table, members)
    end

    # It still goes round: it is seen with each of them.
    for role <- roles,
        do: assert(Foundation.Eventually.eventually?(fn -> held_by?(table, role) end))

    assert Foundation.Eventually.eventually?(fn -> :ets.info(passes, :size) > 300 end)
    for {_role, pid} <- members.(nil), do: Foundation.ConcurrentTestHelpers.kill(pid)
    assert Enum.all?(:ets.tab2list(passes), fn {_seq, count} -> count == 1 end)
  end

  defp held_by?(table, role) do
    {:ok, %Token{holder: {holder, _pid}}} = RingToken.current(table)
    holder == role
  end

  defp passer(table, role, passes) do
    pid = spawn(fn -> pass_on(table, passes) end)
    :ets.insert(table, {{:member, role}, pid})
  end

  defp pass_on(table, passes) do
    receive do: ({:ecosystem_token, token} -> pass_it(table, passes, token))
    pass_on(table, passes)
  end

  defp pass_it(table, passes, token) do
    with {:ok, next} <- RingToken.pass(table, token, fn _token -> members(table) end),
         do: :ets.update_counter(passes, next.seq, 1, {next.seq, 0})

    # The same token again is stale, whoever has it by now.
    {:error, :stale} = RingToken.pass(table, token, fn _token -> members(table) end)
  end
end
