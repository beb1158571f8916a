defmodule Foundation.EcosystemChaosPropertyTest do
  # Whatever process of an ecosystem is killed, and whatever is changed in between, it comes to rest as it
  # should be. `bench/chaos.exs` does the same ten thousand times.
  use ExUnit.Case, async: false
  use Foundation.Property

  alias Foundation.BEAM.Ecosystem.{RingToken, Roster}
  alias Foundation.BEAM.Processes
  alias Foundation.{Chaos, ChaosModel, Talker}
  alias Foundation.ChaosModel.Real

  @moduletag :capture_log

  defp opts do
    bind(
      {oneof([:tree, :mesh, :ring]), oneof([:one_for_one, :rest_for_one, :one_for_all]),
       integer(2, 6)},
      fn {topology, supervision, count} ->
        [topology: topology, supervision: supervision, count: count]
      end
    )
  end

  defp at_rest_in_the_end(module, opts) do
    forall opts <- opts do
      forall commands <- :proper_statem.commands(ChaosModel, ChaosModel.new(module, opts)) do
        {_history, state, result} = :proper_statem.run_commands(ChaosModel, commands)
        result == :ok and ends_well?(module, state)
      end
    end
  end

  # The first command is the start; a run may have none.
  defp ends_well?(_module, %{ecosystem: nil}), do: true

  defp ends_well?(module, %{ecosystem: ecosystem, roles: roles, results: results}) do
    faults = module.settle(ecosystem, roles, results)
    faults == [] and Chaos.stop(ecosystem) == []
  end

  property "kills of any process leave it as it should be", runs: 300 do
    at_rest_in_the_end(Real, opts())
  end

  # Of three hundred workers there are several supervisors.
  test "of many workers as well" do
    ecosystem = Chaos.start(count: 300, topology: :ring)
    roles = [:coordinator | for(n <- 1..300, do: {:worker, n})]

    for _round <- 1..5 do
      for _ <- 1..5, do: Chaos.kill(ecosystem, :rand.uniform(1_000_000))
      assert Chaos.settle(ecosystem, roles, 20_000) == []
    end

    assert Chaos.stop(ecosystem) == []
  end

  describe "the checks can fail:" do
    defmodule Impatient do
      @moduledoc "Does not wait for what does not come."
      def settle(ecosystem, roles, results),
        do: Chaos.settle(ecosystem, Chaos.roles(roles, List.flatten(results)), 200)
    end

    defmodule Forgetful do
      @moduledoc "A twin whose workers do not come back."
      defdelegate start(opts), to: Real
      defdelegate pass(ecosystem), to: Real
      defdelegate add(ecosystem), to: Real
      defdelegate remove(ecosystem, place), to: Real
      defdelegate churn(ecosystem, kills, removals, additions, acts), to: Real
      defdelegate topology(ecosystem, name), to: Real
      defdelegate settle(ecosystem, roles, results), to: Impatient

      def kill(%{table: table}, _places) do
        with [{_role, pid} | _] <- Enum.reverse(Roster.living(table)),
             do: DynamicSupervisor.terminate_child(Roster.get(table, {:supervisor, 1}), pid)
      catch
        # Its supervisor has just been killed by the command before.
        :exit, _reason -> :ok
      end
    end

    defmodule Thief do
      @moduledoc "A twin in which the token is lost when it is passed."
      defdelegate start(opts), to: Real
      defdelegate add(ecosystem), to: Real
      defdelegate remove(ecosystem, place), to: Real
      defdelegate churn(ecosystem, kills, removals, additions, acts), to: Real
      defdelegate topology(ecosystem, name), to: Real
      defdelegate kill(ecosystem, places), to: Real
      defdelegate settle(ecosystem, roles, results), to: Impatient
      def pass(ecosystem), do: :ets.delete(ecosystem.table, :token)
    end

    defmodule Liar do
      @moduledoc "A twin that has removed nobody where it says so."
      defdelegate start(opts), to: Real
      defdelegate pass(ecosystem), to: Real
      defdelegate add(ecosystem), to: Real
      defdelegate topology(ecosystem, name), to: Real
      defdelegate kill(ecosystem, places), to: Real
      defdelegate settle(ecosystem, roles, results), to: Impatient
      def remove(_ecosystem, place), do: {:removed, {:worker, rem(place, 2) + 1}}

      def churn(ecosystem, kills, _removals, additions, acts),
        do: Real.churn(ecosystem, kills, [], additions, acts)
    end

    for twin <- [Forgetful, Thief, Liar] do
      test "the property finds the twin #{inspect(twin)}" do
        property = at_rest_in_the_end(unquote(twin), oneof([[topology: :ring]]))
        assert :proper.quickcheck(property, [:quiet, :noshrink, numtests: 50]) == false
      after
        for %{id: id} <- Processes.list_ecosystems(), do: Processes.shutdown_ecosystem(id)
      end
    end

    setup do
      ecosystem = Chaos.start(topology: :ring, count: 3)
      on_exit(fn -> Processes.shutdown_ecosystem(ecosystem) end)
      roles = [:coordinator | for(n <- 1..3, do: {:worker, n})]
      assert Chaos.settle(ecosystem, roles) == []
      {:ok, ecosystem: ecosystem, roles: roles}
    end

    defp faults(context), do: Keyword.keys(Chaos.faults(context.ecosystem, context.roles))

    test "a role that is missing, or too many", context do
      assert Keyword.keys(Chaos.faults(context.ecosystem, tl(context.roles))) == [:roles]

      assert :roles in Keyword.keys(
               Chaos.faults(context.ecosystem, context.roles ++ [{:worker, 4}])
             )
    end

    test "a token that is lost, and one that is there twice", %{ecosystem: ecosystem} = context do
      {:ok, token} = RingToken.current(ecosystem.table)
      [_holder, other | _rest] = Roster.living(ecosystem.table)
      send(elem(other, 1), {:ecosystem_token, token})
      assert faults(context) == [:token]
      :ets.insert(ecosystem.table, {:token, %{token | holder: other}, self(), 0})
      assert faults(context) == [:token]
      :ets.delete(ecosystem.table, :token)
      assert faults(context) == [:token]
    end

    test "a member that knows another coordinator, or others as members", context do
      worker = hd(context.ecosystem.workers)
      :sys.replace_state(worker, &%{&1 | coordinator: self()})
      assert faults(context) == [:coordinator]
      :sys.replace_state(worker, &%{&1 | coordinator: context.ecosystem.coordinator, known: %{}})
      assert faults(context) == [:members]
      :sys.replace_state(worker, &%{&1 | role: {:worker, 7}})
      assert :names in faults(context)
    end

    test "a process outside of the tree", context do
      ancestors = [context.ecosystem.supervisor]

      {orphan, _monitor} =
        spawn_monitor(fn ->
          Process.put(:"$ancestors", ancestors)
          receive(do: (:end -> :ok))
        end)

      assert Foundation.Eventually.eventually?(fn -> faults(context) == [:orphans] end)
      send(orphan, :end)
      assert_receive {:DOWN, _monitor, :process, ^orphan, :normal}
      assert faults(context) == []
    end

    test "rows of those who have gone", %{ecosystem: %{table: table}} = context do
      {gone, _monitor} = spawn_monitor(fn -> :ok end)
      assert_receive {:DOWN, _monitor, :process, ^gone, :normal}

      for row <- [{{:subscriber, gone}}, {{:own, 9}, []}, {{:snapshot, 9}, 0, 0, 0}, {:new, 1}] do
        :ets.insert(table, row)
        assert faults(context) == [:table]
        :ets.delete(table, elem(row, 0))
      end

      assert faults(context) == []
    end

    test "a steward that waits for one that does not come", %{ecosystem: ecosystem} = context do
      steward = Roster.get(ecosystem.table, :steward)
      :sys.replace_state(steward, &put_in(&1.early[self()], {0, 0, self()}))
      assert faults(context) == [:steward]
      :sys.replace_state(steward, &%{&1 | early: %{}})
    end

    test "a name that somebody else has", %{ecosystem: ecosystem} = context do
      :sys.replace_state(ecosystem.supervisor, fn state ->
        Foundation.ProcessRegistry.register(:chaos, :another)
        state
      end)

      assert faults(context) == [:registry]
    end

    test "what a shutdown leaves", context do
      supervisor = context.ecosystem.supervisor
      test = self()

      orphan =
        spawn_link(fn ->
          Process.put(:"$ancestors", [supervisor])
          send(test, :ready)
          receive(do: (:end -> :ok))
        end)

      assert_receive :ready
      assert Chaos.stop(context.ecosystem) == [orphans: [orphan]]
    end
  end

  # Nothing of a Talker's is left by any of them.
  test "nothing is left" do
    assert Foundation.Eventually.eventually?(fn ->
             for(
               pid <- Process.list(),
               {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
               dictionary[:"$initial_call"] == {Talker, :init, 1},
               do: pid
             ) == []
           end)
  end
end
