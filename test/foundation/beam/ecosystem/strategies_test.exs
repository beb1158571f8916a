defmodule Foundation.BEAM.Ecosystem.StrategiesTest do
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  alias Foundation.BEAM.Ecosystem.Strategies
  alias Foundation.Members
  alias Foundation.Members.{Handlers, Kept, Machine, Plain, Server, Tasked, Unnamed}

  # What the VM gives, and what it makes of a number of words.
  @vm Map.new(:erlang.system_info(:garbage_collection))

  defp effective(flags) do
    pid = :erlang.spawn_opt(fn -> receive do: (:never -> :ok) end, [:link | flags])
    settings(pid)
  end

  defp settings(pid) do
    {:garbage_collection, settings} = Process.info(pid, :garbage_collection)
    Map.new(Keyword.take(settings, [:min_heap_size, :min_bin_vheap_size, :fullsweep_after]))
  end

  # Where the machine is held up meanwhile, a member has not come to it yet.
  defp start(module, argument, flags, tries \\ 5) do
    case Strategies.start_link(module, argument, flags, false) do
      {_started, :later} when tries > 1 -> start(module, argument, flags, tries - 1)
      started_and_how -> started_and_how
    end
  end

  test "each memory strategy has its figures, by role" do
    figures =
      for memory <- Strategies.memory(), role <- [:coordinator, {:worker, 7}] do
        {memory, role, Enum.sort(Strategies.flags(memory, nil, role))}
      end

    assert figures == [
             {:default, :coordinator, []},
             {:default, {:worker, 7}, []},
             {:isolated_heaps, :coordinator, [fullsweep_after: 10, min_heap_size: 1000]},
             {:isolated_heaps, {:worker, 7}, [fullsweep_after: 10, min_heap_size: 500]},
             {:shared_heap, :coordinator, []},
             {:shared_heap, {:worker, 7}, []},
             {:shared_binaries, :coordinator, [min_bin_vheap_size: 46_368]},
             {:shared_binaries, {:worker, 7}, [min_bin_vheap_size: 46_368]},
             {:frequent_gc, :coordinator, [fullsweep_after: 5, min_heap_size: 100]},
             {:frequent_gc, {:worker, 7}, [fullsweep_after: 5, min_heap_size: 100]},
             {:low_latency, :coordinator, [fullsweep_after: 20, min_heap_size: 2000]},
             {:low_latency, {:worker, 7}, [fullsweep_after: 20, min_heap_size: 2000]}
           ]
  end

  test "a GC strategy wins in what is said of collection, and leaves heaps alone" do
    assert Strategies.gc() == [:standard, :frequent_minor]

    for memory <- Strategies.memory() do
      heap = Keyword.delete(Strategies.flags(memory, nil, :worker), :fullsweep_after)
      assert Strategies.flags(memory, :standard, :worker) == heap

      assert Enum.sort(Strategies.flags(memory, :frequent_minor, :worker)) ==
               Enum.sort([{:fullsweep_after, 10} | heap])
    end
  end

  test "the tables of the documentation have every value, with its figures" do
    docs = Strategies.docs()

    for name <- Strategies.memory() ++ Strategies.gc(),
        do: assert(docs =~ "\n| `#{inspect(name)}` |")

    for {name, value} <- Strategies.flags(:isolated_heaps, nil, :coordinator),
        do: assert(docs =~ "`#{name}` #{value}")
  end

  describe "a member that has started" do
    for memory <- Strategies.memory(), gc <- [nil | Strategies.gc()] do
      test "has what #{memory} and #{inspect(gc)} say" do
        {memory, gc} = {unquote(memory), unquote(gc)}

        for module <- [Server, Machine, Unnamed, Kept], role <- [:coordinator, :worker] do
          flags = Strategies.flags(memory, gc, role)
          {{:ok, pid}, how} = start(module, [a: 1], flags)
          assert how == if(flags == [], do: :none, else: :set)
          assert settings(pid) == effective(flags)
        end
      end
    end

    test "is as it was started apart from that" do
      flags = Strategies.flags(:low_latency, nil, :worker)
      {{:ok, pid}, :set} = start(Server, [a: 1], flags)
      assert GenServer.call(pid, :state) == [a: 1]
      assert Process.info(self(), :messages) == {:messages, []}
    end

    test "has the figures that the VM is known to make of them" do
      assert effective(min_heap_size: 1000).min_heap_size == 1598
      assert effective(min_heap_size: 500).min_heap_size == 610
      assert effective(min_heap_size: 2000).min_heap_size == 2586
      assert effective(min_heap_size: 100).min_heap_size == 233
      assert effective(fullsweep_after: 10).fullsweep_after == 10
      assert effective(min_bin_vheap_size: 46_368).min_bin_vheap_size >= 46_368
    end
  end

  test "a module that takes spawn options in start_link/2 is started by it" do
    flags = Strategies.flags(:isolated_heaps, nil, :coordinator)
    {{:ok, pid}, :given} = Strategies.start_link(Server, [a: 1], flags, true)
    assert settings(pid) == effective(flags)
    assert GenServer.call(pid, :state) == [a: 1]
  end

  test "what is none of OTP's servers is left alone" do
    flags = Strategies.flags(:isolated_heaps, nil, :worker)

    for module <- [Plain, Tasked, Handlers] do
      {{:ok, pid}, :impossible} = start(module, [test: self()], flags)
      assert settings(pid).fullsweep_after == @vm.fullsweep_after
    end

    refute_received {:got, _, _}
  end

  test "a member that is busy gets them when it is back" do
    {pid, go_on} = Members.busy()
    flags = Strategies.flags(:low_latency, nil, :worker)
    assert Strategies.set(pid, flags, 1) == :later
    assert settings(pid).fullsweep_after == @vm.fullsweep_after

    go_on.()
    GenServer.call(pid, :state)
    assert settings(pid) == effective(flags)
  end

  test "a start that fails is handed on as it is" do
    defmodule Refuses do
      def start_link(_arg), do: {:error, :not_today}
    end

    assert Strategies.start_link(Refuses, [], [fullsweep_after: 1], false) ==
             {{:error, :not_today}, :none}
  end

  test "where nothing can be set the log says so, once for each module" do
    table = :ets.new(:ecosystem, [:set, :public])

    log =
      capture_log(fn ->
        assert Strategies.warn_once(table, "mine", Plain)
        for _ <- 1..3, do: refute(Strategies.warn_once(table, "mine", Plain))
        assert Strategies.warn_once(table, "mine", Tasked)
      end)

    assert [_, _] = Regex.scan(~r/ecosystem "mine"/, log)
    assert log =~ "members of Foundation.Members.Plain run without"
    assert log =~ "members of Foundation.Members.Tasked run without"
  end
end
