defmodule Foundation.ConcurrentTestHelpersTest do
  # It starts nodes, and measures the memory of the VM.
  use ExUnit.Case, async: false

  import Foundation.ConcurrentTestHelpers

  alias ExUnit.AssertionError
  alias Foundation.ProcessRegistry

  defp waiting, do: spawn(fn -> receive do: (:stop -> :ok) end)

  describe "assert_eventually/2" do
    test "gives what came true, as soon as it did" do
      counter = :counters.new(1, [])

      look = fn ->
        :counters.add(counter, 1, 1)
        if :counters.get(counter, 1) == 4, do: :four
      end

      assert assert_eventually(look) == :four
      assert :counters.get(counter, 1) == 4
    end

    test "waits past errors and exits: what is looked at may not be there yet" do
      counter = :counters.new(1, [])

      look = fn ->
        :counters.add(counter, 1, 1)

        case :counters.get(counter, 1) do
          1 -> raise "not yet"
          2 -> GenServer.call(:nobody_has_this_name, :anything)
          3 -> true
        end
      end

      assert assert_eventually(look)
    end

    test "fails with what the last look gave or raised" do
      error = assert_raise AssertionError, fn -> assert_eventually(fn -> nil end, 5) end
      assert error.message =~ "within 5 ms; the last look gave nil"

      error = assert_raise AssertionError, fn -> assert_eventually(fn -> raise "odd" end, 0) end
      assert error.message =~ "raised: odd"
    end

    test "leaves other messages alone" do
      send(self(), :mine)
      counter = :counters.new(1, [])

      assert_eventually(fn ->
        :counters.add(counter, 1, 1)
        :counters.get(counter, 1) > 3
      end)

      assert Process.info(self(), :messages) == {:messages, [:mine]}
    end
  end

  test "wait_for_condition/2 says whether it came true" do
    assert wait_for_condition(fn -> 1 end, 0) == :ok
    assert wait_for_condition(fn -> false end, 3) == {:error, :timeout}
  end

  describe "assert_down/2" do
    test "gives the reasons, of those that are gone already too" do
      one = waiting()
      two = waiting()
      assert kill(one) == :killed
      send(two, :stop)
      assert %{^one => :noproc, ^two => reason} = assert_down([one, two, one])
      assert reason in [:normal, :noproc]
      assert Process.info(self(), [:messages, :monitors]) == [messages: [], monitors: []]
    end

    test "fails with those that live on, and stops watching them" do
      pid = waiting()
      error = assert_raise AssertionError, fn -> assert_down(pid, 5) end
      assert error.message =~ "live on after 5 ms: [#{inspect(pid)}]"
      kill(pid)
      assert Process.info(self(), [:messages, :monitors]) == [messages: [], monitors: []]
    end
  end

  test "descendants/1 knows who was started below a process, when it is gone too" do
    {:ok, top} = Agent.start(fn -> nil end)
    child = Agent.get(top, fn _ -> elem(Agent.start(fn -> nil end), 1) end)
    grandchild = Agent.get(child, fn _ -> elem(Agent.start(fn -> nil end), 1) end)
    other = elem(Agent.start(fn -> nil end), 1)
    assert Enum.sort(descendants(top)) == Enum.sort([child, grandchild])
    kill(top)
    assert Enum.sort(descendants(top)) == Enum.sort([child, grandchild])
    for pid <- [child, grandchild, other], do: kill(pid)
    assert descendants(top) == []
  end

  test "process_memory/1 counts what processes keep, and nothing for the dead" do
    {:ok, small} = Agent.start_link(fn -> nil end)
    {:ok, large} = Agent.start_link(fn -> Enum.to_list(1..100_000) end)
    assert process_memory(large) > process_memory(small) + 1_000_000

    assert_in_delta process_memory([small, large]),
                    process_memory(small) + process_memory(large),
                    20_000

    dead = waiting()
    kill(dead)
    assert process_memory(dead) == 0
  end

  test "measure_memory_usage/1 gives the result and the differences by kind" do
    # What tests before have left may go meanwhile.
    assert Enum.any?(1..5, fn _ ->
             {binary, usage} = measure_memory_usage(fn -> :binary.copy("x", 50_000_000) end)
             assert byte_size(binary) == 50_000_000
             assert Keyword.keys(usage) == Keyword.keys(:erlang.memory())
             usage[:binary] > 40_000_000
           end)
  end

  describe "verify_ecosystem_cleanup/2" do
    setup do
      test = self()
      id = make_ref()

      # What an ecosystem is made of: a supervisor with a name and a table, and members below it.
      {:ok, supervisor} =
        Agent.start(fn ->
          :ok = ProcessRegistry.register(:production, {:ecosystem_supervisor, id})
          table = :ets.new(:ecosystem, [:public])
          members = for _ <- 1..3, do: elem(Agent.start(fn -> nil end), 1)
          send(test, {:made, table, members})
        end)

      assert_receive {:made, table, [coordinator | workers]}

      on_exit(fn ->
        for pid <- [supervisor, coordinator | workers], do: Process.exit(pid, :kill)
      end)

      ecosystem = %{
        id: id,
        supervisor: supervisor,
        coordinator: coordinator,
        workers: workers,
        table: table
      }

      {:ok, ecosystem: ecosystem}
    end

    test "is :ok when all is gone, and waits for that", %{ecosystem: ecosystem} do
      all = [ecosystem.supervisor, ecosystem.coordinator | ecosystem.workers]
      test = self()

      spawn_link(fn ->
        receive do: (:begin -> :ok)
        for pid <- all, do: kill(pid)
        send(test, :killed)
      end)
      |> send(:begin)

      assert verify_ecosystem_cleanup(ecosystem) == :ok
      assert_receive :killed
    end

    test "names whoever lives on, also members that the struct does not know", %{
      ecosystem: ecosystem
    } do
      [unknown | known] = ecosystem.workers
      for pid <- [ecosystem.supervisor, ecosystem.coordinator | known], do: kill(pid)

      assert verify_ecosystem_cleanup(%{ecosystem | workers: known}, 10) ==
               {:error, {:processes_still_alive, [unknown]}}

      assert Process.alive?(unknown)
    end

    test "names the supervisor, and members that do not know what they stand below",
         %{ecosystem: ecosystem} do
      plain = waiting()
      for pid <- [ecosystem.coordinator | ecosystem.workers], do: kill(pid)

      assert verify_ecosystem_cleanup(%{ecosystem | workers: [plain]}, 10) ==
               {:error, {:processes_still_alive, [ecosystem.supervisor, plain]}}

      kill(plain)
    end

    test "a coordinator that is dead already is nobody to wait for", %{ecosystem: ecosystem} do
      for pid <- [ecosystem.supervisor, ecosystem.coordinator | ecosystem.workers], do: kill(pid)
      assert verify_ecosystem_cleanup(%{ecosystem | coordinator: nil}, 1_000) == :ok
      assert verify_ecosystem_cleanup(%{coordinator: nil, workers: []}, 0) == :ok
    end

    test "a table that is left is told of", %{ecosystem: ecosystem} do
      for pid <- [ecosystem.supervisor, ecosystem.coordinator | ecosystem.workers], do: kill(pid)
      table = :ets.new(:left, [])

      assert verify_ecosystem_cleanup(%{ecosystem | table: table}, 1_000) ==
               {:error, {:table_left, table}}
    end

    test "an id that somebody else has by now is nothing of it", %{ecosystem: ecosystem} do
      for pid <- [ecosystem.supervisor, ecosystem.coordinator | ecosystem.workers], do: kill(pid)
      :ok = ProcessRegistry.register(:production, {:ecosystem_supervisor, ecosystem.id})
      assert verify_ecosystem_cleanup(ecosystem, 1_000) == :ok
    end
  end

  test "start_test_cluster/1 connects its nodes with each other" do
    [one, two] = start_test_cluster(2)
    assert two in :erpc.call(one, Node, :list, [])
    assert node() in :erpc.call(two, Node, :list, [])
    apps = :erpc.call(one, Application, :started_applications, [])
    assert List.keymember?(apps, :foundation, 0)
  end
end
