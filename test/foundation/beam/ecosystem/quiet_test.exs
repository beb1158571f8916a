defmodule Foundation.BEAM.Ecosystem.QuietTest do
  # Members that have done nothing are left alone, and those that answer nobody hold up nobody.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Inside, Roster, Snapshots, Strategies}
  alias Foundation.BEAM.Ecosystem.Snapshots.Quiet
  alias Foundation.Members.{Kept, Plain, Server}
  alias Foundation.Stuck

  defmodule Timed do
    @moduledoc "Sets a timeout of its own when it is sent `{:timeout, milliseconds, pid}`, and tells of it."
    use GenServer

    def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

    @impl true
    def init(opts), do: {:ok, opts}

    @impl true
    def handle_info({:timeout, milliseconds, pid}, _state), do: {:noreply, pid, milliseconds}

    def handle_info(:timeout, pid) do
      send(pid, {:timeout, self()})
      {:noreply, pid}
    end

    def handle_info(:ignored, state), do: {:noreply, state}

    def snapshot(_state), do: :kept
    def restore(state, :kept), do: state
  end

  defp start(module, arg \\ []) do
    {:ok, pid} = module.start_link(arg)
    pid
  end

  defp mark(pid, module) do
    table = :ets.new(:ecosystem, [:set, :public])
    Snapshots.ask(table, 1, pid, module, 1_000_000, self())
    assert_receive {:snapshot, 1, ^pid, {:ok, _bytes}, mark}
    mark
  end

  defp verdict(pid, mark, back), do: Quiet.verdicts([{pid, mark}], back)[pid]

  for kind <- [:gen_server, :gen_statem] do
    test "a #{kind} is left alone until it does something, however little" do
      back = Quiet.back()
      {pid, module} = least(unquote(kind))

      # A look while it is on its way back, and a collection, are work as well: not always at once.
      assert eventually?(fn -> verdict(pid, mark(pid, module), back) == :leave end)

      for _ <- 1..200 do
        mark = mark(pid, module)
        send(pid, :ignored)
        assert eventually?(fn -> verdict(pid, mark, back) == :ask end)
      end
    end
  end

  defp least(:gen_server), do: {start(Timed), Timed}

  defp least(:gen_statem) do
    {:ok, pid} = :gen_statem.start_link(Quiet, nil, [])
    {pid, Quiet}
  end

  test "who is not known is looked at, who has refused is asked" do
    plain = start(Plain, test: self())
    agent = start(Kept)

    assert Quiet.verdicts([{plain, :unknown}, {agent, :unknown}], Quiet.back()) == %{
             plain => :impossible,
             agent => :ask
           }

    assert Quiet.verdicts([{agent, nil}], Quiet.back()) == %{agent => :ask}
    assert Quiet.verdicts([], Quiet.back()) == %{}
    refute_received {:got, _, _}
  end

  defp ecosystem!(module, opts) do
    defaults = [
      coordinator: module,
      workers: {module, Keyword.get(opts, :member, count: 2)},
      fault_tolerance: :self_healing,
      snapshot_interval: 600_000
    ]

    Member.ecosystem!(Keyword.merge(defaults, Keyword.delete(opts, :member)))
  end

  # When it returns, all have answered.
  defp whole_round(ecosystem) do
    ticker = Roster.get(ecosystem.table, :ticker)
    send(ticker, :snapshots)
    assert eventually?(fn -> :sys.get_state(ticker, 30_000).rounds.asked == %{} end)
  end

  test "members that are idle are asked once" do
    counter = :counters.new(1, [])
    count = fn _state -> :counters.add(counter, 1, 1) end
    ecosystem = ecosystem!(Server, member: [count: 2, snapshot: count])

    assert eventually?(fn ->
             before = :counters.get(counter, 1)
             whole_round(ecosystem)
             before > 0 and :counters.get(counter, 1) == before
           end)

    before = :counters.get(counter, 1)
    GenServer.call(hd(ecosystem.workers), :state)
    whole_round(ecosystem)
    assert :counters.get(counter, 1) > before
  end

  test "a member's own timeout comes, however often there are snapshots" do
    ecosystem = ecosystem!(Timed, snapshot_interval: 5)
    worker = hd(ecosystem.workers)
    send(worker, {:timeout, 300, self()})
    assert_receive {:timeout, ^worker}, 10_000
  end

  describe "inside a native function" do
    @describetag :two_schedulers

    defp stick(pid) do
      test = self()
      Stuck.start!(fn -> GenServer.cast(pid, {:run, fn -> Stuck.enter(test) end}) && pid end)
    end

    test "nobody waits to find out what a process is" do
      idle = start(Server)
      Stuck.at_first(idle)
      back = Quiet.back()
      stuck = stick(start(Server))
      assert Inside.look(stuck, & &1, 20) == :later
      assert Strategies.set(stuck, [fullsweep_after: 7], 20) == :later
      verdicts = fn -> Quiet.verdicts([{stuck, :unknown}, {idle, :unknown}], back) end
      # Who answers late, as the machine was held up, is left as well.
      assert eventually?(fn -> verdicts.() == %{stuck => :leave, idle => :ask} end)
      assert Stuck.still?(stuck)
      # It does what it was asked when it is out.
      assert eventually?(fn -> fullsweep(stuck) == 7 end, 60_000)
    end

    defp fullsweep(pid),
      do: pid |> Process.info(:garbage_collection) |> elem(1) |> Keyword.get(:fullsweep_after)

    # Where the machine is held up, the one inside may be out first: so it is once in three times.
    test "one member keeps nobody's snapshot from being taken" do
      assert Enum.any?(1..3, fn _try -> taken_meanwhile?() end)
    end

    defp taken_meanwhile? do
      test = self()
      tell = fn _state -> send(test, {:taken, self()}) end
      ecosystem = ecosystem!(Server, member: [count: 2, snapshot: tell])
      [busy, other] = ecosystem.workers
      ticker = Roster.get(ecosystem.table, :ticker)
      for pid <- [ticker, other], do: Stuck.at_first(pid)
      # It is measured with processes that might share the other scheduler.
      :sys.replace_state(ticker, &%{&1 | back: Quiet.back()})
      stick(busy)
      taken?(ticker, other, busy)
    end

    # Who shows too late what it is, is asked the next time.
    defp taken?(ticker, other, busy) do
      send(ticker, :snapshots)
      # Not by looking again and again: who shares the other scheduler needs this one.
      taken? = receive(do: ({:taken, ^other} -> true), after: (300 -> false))
      Stuck.still?(busy) and (taken? or taken?(ticker, other, busy))
    end
  end
end
