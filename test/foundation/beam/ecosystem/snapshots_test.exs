defmodule Foundation.BEAM.Ecosystem.SnapshotsTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Ecosystem.{Inside, Snapshots}
  alias Foundation.BEAM.Ecosystem.Snapshots.Rounds
  alias Foundation.Members
  alias Foundation.Members.{Kept, Machine, Plain, Server}

  @mib 1_048_576

  setup do
    {:ok, table: :ets.new(:ecosystem, [:set, :public])}
  end

  defp start(module, arg) do
    {:ok, pid} = module.start_link(arg)
    pid
  end

  defp taken(table, number, pid, module \\ Server, most \\ @mib) do
    assert Snapshots.ask(table, number, pid, module, most, self()) == :asked
    assert_receive {:snapshot, ^number, ^pid, answer, _mark}
    answer
  end

  test "only a module with both functions has snapshots" do
    assert Snapshots.able?(Server)
    assert Snapshots.able?(Machine)
    for module <- [Kept, Plain, Enum, :no_such_module], do: refute(Snapshots.able?(module))
  end

  test "what one member left, the next one begins with", %{table: table} do
    first = start(Server, kept: %{jobs: [1, 2]})
    assert {:ok, bytes} = taken(table, 3, first)
    assert {:ok, %{bytes: ^bytes, taken_at: at}} = Snapshots.about(table, 3)
    assert_in_delta at, System.system_time(:millisecond), 5_000

    second = start(Server, other: :own)
    assert Snapshots.restore(table, 3, second, Server, 60_000) == :restored
    assert GenServer.call(second, :state) == [kept: %{jobs: [1, 2]}, other: :own]
    # To be had again, should this one die before its own is taken.
    assert Snapshots.restore(table, 3, start(Server, []), Server, 60_000) == :restored
  end

  test "a gen_statem's is of its state and its data", %{table: table} do
    assert {:ok, _} = taken(table, 0, start(Machine, kept: 7), Machine)
    second = start(Machine, [])
    assert Snapshots.restore(table, 0, second, Machine, 60_000) == :restored
    assert :gen_statem.call(second, :state) == {:on, [kept: 7]}
  end

  test "taking one leaves the member as it is", %{table: table} do
    state = [kept: 1, snapshot: fn state -> {:of, length(state)} end]
    pid = start(Server, state)
    assert {:ok, _} = taken(table, 1, pid)
    assert GenServer.call(pid, :state) == state
    assert [{_, _, _, {:of, 2}}] = :ets.lookup(table, {:snapshot, 1})
  end

  test "without a snapshot there is nothing to restore, and nobody is asked", %{table: table} do
    pid = start(Plain, test: self())
    assert Snapshots.restore(table, 1, pid, Server, 60_000) == :nothing
    assert Snapshots.about(table, 1) == :error
    refute_received {:got, _, _}
  end

  test "one that is too large is refused, and the one before is kept", %{table: table} do
    pid = start(Server, kept: "small")
    assert {:ok, _} = taken(table, 1, pid)

    for large <- [Enum.to_list(1..200_000), :binary.copy("x", @mib + 1), shared(60)] do
      pid = start(Server, snapshot: fn _ -> large_again(large) end)
      assert taken(table, 1, pid) == {:refused, {:too_large, @mib}}
      assert [{_, _, _, "small"}] = :ets.lookup(table, {:snapshot, 1})
    end
  end

  # Never sent anywhere: made where it is used.
  defp shared(depth), do: {:shared, depth}

  defp large_again({:shared, depth}),
    do: Enum.reduce(1..depth, [], fn _, term -> [term | term] end)

  defp large_again(other), do: other

  test "the limit is the bytes that a copy takes, with its binaries", %{table: table} do
    binary = :binary.copy("x", 1000)
    assert {:ok, bytes} = Snapshots.save(table, 1, [binary, binary], @mib)
    assert bytes > 2000
    assert {:ok, ^bytes} = Snapshots.save(table, 1, [binary, binary], bytes)

    assert Snapshots.save(table, 1, [binary, binary], bytes - 1) ==
             {:refused, {:too_large, bytes - 1}}
  end

  test "a module that fails to take one harms neither its member nor what was kept", %{
    table: table
  } do
    Snapshots.save(table, 1, :before, @mib)

    for {fun, seen} <- [
          {fn _ -> raise "no" end, %RuntimeError{message: "no"}},
          {fn _ -> throw(:thrown) end, :thrown},
          {fn _ -> exit(:left) end, :left}
        ] do
      pid = start(Server, snapshot: fun)
      assert taken(table, 1, pid) == {:refused, {:failed, seen}}
      assert GenServer.call(pid, :state) == [snapshot: fun]
      assert [{_, _, _, :before}] = :ets.lookup(table, {:snapshot, 1})
    end
  end

  test "a module that fails to restore one leaves its member as it was started", %{table: table} do
    Snapshots.save(table, 1, :odd, @mib)
    state = [restore: fn {_state, :odd} -> raise "odd" end]
    pid = start(Server, state)

    assert {:failed, %RuntimeError{message: "odd"}} =
             Snapshots.restore(table, 1, pid, Server, 60_000)

    assert GenServer.call(pid, :state) == state
  end

  test "a fault that carries the state is told in words, and never leaves the member whole", %{
    table: table
  } do
    fail = fn state -> Map.fetch!(%{state: state, deep: large_again({:shared, 60})}, :none) end
    pid = start(Server, snapshot: fail)
    assert {:refused, {:failed, {:too_large, text}}} = taken(table, 1, pid)
    assert text =~ "KeyError" and byte_size(text) < 2_000

    Snapshots.save(table, 1, :kept, @mib)
    fail = fn _ -> :erlang.error({:badmatch, large_again({:shared, 60})}) end
    pid = start(Server, restore: fail)
    assert {:failed, {:too_large, text}} = Snapshots.restore(table, 1, pid, Server, 60_000)
    assert text =~ "badmatch"
    assert GenServer.call(pid, :state) == [restore: fail]
  end

  test "a restored state is copied nowhere", %{table: table} do
    Snapshots.save(table, 1, 60, @mib)
    deep = fn {state, depth} -> [{:deep, large_again({:shared, depth})} | state] end
    pid = start(Server, restore: deep)
    assert Snapshots.restore(table, 1, pid, Server, 60_000) == :restored
    assert Inside.look(pid, &Keyword.has_key?(&1, :deep), 60_000) == {:ok, true}
  end

  test "a gen_statem's that is no pair any more is refused", %{table: table} do
    # Of a pair of state and kept data, `restore/2` makes a pair; the kept state is none.
    Snapshots.save(table, 1, :no_pair, @mib)
    pid = start(Machine, [])

    assert {:failed, %FunctionClauseError{} = _} =
             Snapshots.restore(table, 1, pid, Machine, 60_000) |> normalized()

    assert {:failed, {:badmatch, :no_pair}} = Inside.replace(pid, fn _ -> :no_pair end, 60_000)
    assert :gen_statem.call(pid, :state) == {:on, []}
  end

  defp normalized({:failed, reason}), do: {:failed, Exception.normalize(:error, reason, [])}

  test "nobody waits for a busy member; it is taken when the member is back", %{table: table} do
    {pid, go_on} = Members.busy()
    assert Snapshots.ask(table, 1, pid, Server, @mib, self()) == :asked
    refute_received {:snapshot, _, _, _, _}
    go_on.()
    assert_receive {:snapshot, 1, ^pid, {:ok, _}, _mark}
    assert Snapshots.about(table, 1) != :error
  end

  test "a member that is busy after its start restores when it is back", %{table: table} do
    Snapshots.save(table, 1, :saved, @mib)
    {pid, go_on} = Members.busy()
    assert Snapshots.restore(table, 1, pid, Server, 1) == :later
    go_on.()
    assert GenServer.call(pid, :state) == [kept: :saved]
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "what is none of OTP's servers is sent nothing", %{table: table} do
    pid = start(Plain, test: self())
    Snapshots.save(table, 1, :saved, @mib)
    assert Snapshots.restore(table, 1, pid, Server, 60_000) == :impossible
    refute_received {:got, _, _}
  end

  test "the table tells what all take; a member that leaves takes its own along", %{table: table} do
    {:ok, one} = Snapshots.save(table, 1, :binary.copy("x", 100), @mib)
    {:ok, two} = Snapshots.save(table, 2, :two, @mib)
    :ets.insert(table, {1, self(), :other_rows})
    assert Snapshots.total(table) == %{count: 2, bytes: one + two}
    Snapshots.forget(table, 1)
    assert Snapshots.total(table) == %{count: 1, bytes: two}
  end

  test "when the ecosystem's table is gone, its member lives on", %{table: table} do
    {pid, go_on} = Members.busy()
    assert Snapshots.ask(table, 1, pid, Server, @mib, self()) == :asked
    :ets.delete(table)
    go_on.()
    assert_receive {:snapshot, 1, ^pid, {:refused, {:failed, %ArgumentError{}}}, _mark}
    assert GenServer.call(pid, :state) == []
  end

  describe "rounds" do
    setup do
      {:ok, a: spawn(fn -> :ok end), b: spawn(fn -> :ok end)}
    end

    test "who has not answered is not asked again, the others are", %{a: a, b: b} do
      {due, rounds} = Rounds.due(Rounds.new(), [{0, a}, {1, b}])
      assert due == [{0, a}, {1, b}]
      assert {[], ^rounds} = Rounds.due(rounds, due)

      {:taken, rounds} = Rounds.answered(rounds, 1, b, {:ok, 10})
      assert {[{1, ^b}], _} = Rounds.due(rounds, due)
    end

    test "one that took another's place is asked, and the other's answer is not heard", %{
      a: a,
      b: b
    } do
      {_, rounds} = Rounds.due(Rounds.new(), [{1, a}])
      assert {[{1, ^b}], rounds} = Rounds.due(rounds, [{1, b}])
      assert {:quiet, ^rounds} = Rounds.answered(rounds, 1, a, {:ok, 10})
      assert {:quiet, ^rounds} = Rounds.answered(rounds, 1, a, {:refused, :too_large})
      assert {[], _} = Rounds.due(rounds, [{1, b}])
    end

    test "a refusal is told once, until a snapshot was taken in between", %{a: a} do
      ask = fn rounds -> elem(Rounds.due(rounds, [{1, a}]), 1) end
      answer = fn rounds, answer -> rounds |> ask.() |> Rounds.answered(1, a, answer) end

      {:tell, rounds} = answer.(Rounds.new(), {:refused, {:too_large, 1}})
      {:quiet, rounds} = answer.(rounds, {:refused, {:too_large, 1}})
      {:taken, rounds} = answer.(rounds, {:ok, 1})
      {:tell, rounds} = answer.(rounds, {:refused, {:too_large, 1}})
      assert Rounds.forget(ask.(rounds), 1) == Rounds.new()
    end

    test "a refusal that the ticker has not asked for is told as well, and as often", %{a: a} do
      {:tell, rounds} = Rounds.answered(Rounds.new(), 1, a, {:refused, {:too_large, 1}})
      {:quiet, rounds} = Rounds.answered(rounds, 1, a, {:refused, {:too_large, 1}})
      {:taken, rounds} = Rounds.answered(rounds, 1, a, {:ok, 1})
      {:tell, _} = Rounds.answered(rounds, 1, a, {:refused, {:too_large, 1}})
    end

    test "what is known of a member is known of that process", %{a: a, b: b} do
      assert Rounds.mark(Rounds.new(), 1, a) == :unknown
      {:taken, rounds} = Rounds.answered(Rounds.new(), 1, a, {:ok, 1}, 700)
      assert {Rounds.mark(rounds, 1, a), Rounds.mark(rounds, 1, b)} == {700, :unknown}
      {:tell, rounds} = Rounds.answered(rounds, 1, a, {:refused, :no}, 800)
      assert Rounds.mark(rounds, 1, a) == nil
      assert Rounds.keep(rounds, %{1 => true}) == rounds
      assert Rounds.keep(rounds, %{}) == Rounds.new()
    end
  end
end
