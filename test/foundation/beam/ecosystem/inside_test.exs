defmodule Foundation.BEAM.Ecosystem.InsideTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Ecosystem.Inside
  alias Foundation.Members.{Handlers, Kept, Machine, Plain, Server, Tasked, Unnamed}

  defp start(module, arg \\ []) do
    {:ok, pid} = module.start_link(arg)
    pid
  end

  test "OTP's servers are known for what they are, from the moment that they have started" do
    for module <- [Server, Machine, Unnamed, Kept], _ <- 1..200 do
      assert Inside.possible?(start(module)), inspect(module)
    end

    {:ok, supervisor} = Supervisor.start_link([], strategy: :one_for_one)
    assert Inside.possible?(supervisor)
  end

  test "nobody else is taken for one, and none of them is sent anything" do
    for module <- [Plain, Tasked, Handlers],
        do: refute(Inside.possible?(start(module, test: self())))

    refute Inside.possible?(self())
    refute_received {:got, _, _}
  end

  test "who is dead, or on another node, cannot be entered" do
    pid = start(Server)
    ref = Process.monitor(pid)
    GenServer.stop(pid)
    assert_receive {:DOWN, ^ref, _, _, _}
    refute Inside.possible?(pid)
    assert Inside.look(pid, & &1, 100) == :later

    # A pid of a node that was never there, in the external format.
    foreign = :erlang.binary_to_term(<<131, 88, 100, 3::16, "a@b", 1::32, 0::32, 1::32>>)
    refute Inside.possible?(foreign)
  end

  test "a look sees the state and leaves it" do
    pid = start(Server, a: 1)
    assert Inside.look(pid, fn state -> {state, self()} end, 60_000) == {:ok, {[a: 1], pid}}
    assert GenServer.call(pid, :state) == [a: 1]

    machine = start(Machine, a: 1)
    assert Inside.look(machine, & &1, 60_000) == {:ok, {:on, [a: 1]}}
    assert :gen_statem.call(machine, :state) == {:on, [a: 1]}
  end

  test "a function that fails harms nobody" do
    pid = start(Server, a: 1)

    assert {:failed, %RuntimeError{message: "no"}} =
             Inside.look(pid, fn _ -> raise "no" end, 60_000)

    assert {:failed, :thrown} = Inside.replace(pid, fn _ -> throw(:thrown) end, 60_000)
    assert {:failed, :gone} = Inside.look(pid, fn _ -> exit(:gone) end, 60_000)
    assert GenServer.call(pid, :state) == [a: 1]
  end

  test "a replaced state is the new one" do
    pid = start(Server, a: 1)
    assert Inside.replace(pid, &[{:b, 2} | &1], 60_000) == {:ok, :replaced}
    assert GenServer.call(pid, :state) == [b: 2, a: 1]
  end

  test "a busy process does it when it comes to it, and its answer disturbs nobody" do
    test = self()
    pid = start(Server)

    GenServer.cast(
      pid,
      {:run,
       fn ->
         send(test, {:busy, self()})
         receive do: (:go_on -> :ok)
       end}
    )

    assert_receive {:busy, ^pid}
    assert Inside.ask(pid, fn _ -> send(test, :asked) end) == :asked
    assert Inside.look(pid, fn _ -> send(test, :looked) end, 1) == :later
    refute_received _either

    send(pid, :go_on)
    assert_receive :asked
    assert_receive :looked
    assert GenServer.call(pid, :state) == []
    assert Process.info(self(), :messages) == {:messages, []}
  end

  test "what comes back is what the function gave, not the state" do
    pid = start(Server, data: Enum.to_list(1..100_000))
    {:memory, before} = Process.info(self(), :memory)
    for _ <- 1..20, do: assert(Inside.look(pid, fn _ -> :seen end, 60_000) == {:ok, :seen})
    {:memory, later} = Process.info(self(), :memory)
    # The state takes 1.6 MB.
    assert later - before < 400_000
  end
end
