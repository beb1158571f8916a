defmodule Foundation.BEAM.Ecosystem.ConfigTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Ecosystem.Config
  alias Foundation.Error

  @member Foundation.Member
  @good %{coordinator: @member, workers: {@member, count: 2}}

  defp faults(config) do
    assert {:error, %Error{error_type: :validation_error} = error} = Config.new(config)
    for fault <- error.context.faults, do: assert(error.message =~ fault.message)
    Enum.map(error.context.faults, &{&1.key, &1.message})
  end

  defp fault(more) do
    assert [{key, message}] = faults(Map.merge(@good, Map.new(more)))
    {key, message}
  end

  describe "what is right" do
    test "has defaults" do
      assert {:ok, plan} = Config.new(@good)
      assert {plan.fault_tolerance, plan.supervision} == {:standard, :one_for_one}
      assert {plan.start_timeout, plan.startup_timeout} == {5_000, 60_000}
      assert {plan.shutdown_timeout, plan.max_seconds} == {5_000, 5}
      assert plan.config == @good
    end

    test "is a map or a keyword list, whose first value of a key counts" do
      assert {:ok, plan} = Config.new([id: :a] ++ Map.to_list(@good) ++ [id: :b])
      assert plan.id == :a
    end

    test "gives members their options without the count" do
      config = %{coordinator: {@member, a: 1}, workers: {@member, count: 4, b: 2}}
      assert {:ok, plan} = Config.new(config)
      assert {plan.coordinator, plan.worker, plan.count} == {{@member, a: 1}, {@member, b: 2}, 4}
    end

    test "counts one worker, or as many as schedulers" do
      count = fn opts -> elem(Config.new(%{@good | workers: {@member, opts}}), 1).count end
      assert count.([]) == 1
      assert count.(count: :cpu_count) == System.schedulers_online()
      assert count.(count: :auto_scale) == System.schedulers_online()
    end

    test "makes ids that differ" do
      ids = for _ <- 1..100, do: elem(Config.new(@good), 1).id
      assert ids |> Enum.uniq() |> length() == 100
    end
  end

  describe "what is wrong" do
    test "is told all at once, in an order that stays" do
      config = %{
        workers: {NoSuchModule, count: 0, role: :mine},
        distribution: :cluster_wide,
        supervision: :none,
        colour: :red
      }

      assert [
               colour: "unknown key :colour; known: " <> _,
               coordinator: ":coordinator is required: expected a module" <> _,
               distribution: distribution,
               supervision: "invalid option :supervision" <> _,
               workers: "invalid :count of :workers: expected an integer from 1" <> _,
               workers: "option :role of :workers is set by the ecosystem",
               workers: "the module NoSuchModule of :workers does not exist"
             ] = faults(config)

      assert distribution =~
               "expected `:local`, got: :cluster_wide (:cluster_wide is not available)"
    end

    test "an empty configuration lacks both" do
      assert [{:coordinator, _}, {:workers, _}] = faults(%{})
      assert [{:coordinator, _}, {:workers, _}] = faults([])
    end

    test "no configuration at all" do
      for none <- [
            nil,
            :a,
            "a",
            1,
            [1],
            [{"a", 1}],
            [:a | :b],
            {:a},
            %Error{error_type: :a, message: ""}
          ] do
        assert [config: "expected a map or a keyword list, got: " <> _] = faults(none)
      end
    end

    test "keys that are no atoms" do
      assert {"coordinator", "unknown key \"coordinator\"" <> _} = fault(%{"coordinator" => 1})
    end

    test "counts" do
      for count <- [0, -1, 1.0, nil, :many, "1", 2.5, []] do
        assert {:workers, "invalid :count of :workers" <> _} =
                 fault(workers: {@member, count: count})
      end
    end

    test "more workers than the VM has room for" do
      for count <- [10_000_000, :erlang.system_info(:process_limit), Bitwise.bsl(1, 100_000)] do
        assert {:workers, message} = fault(workers: {@member, count: count})
        assert message =~ "do not fit into the process limit of the VM"
        assert byte_size(message) < 300
      end
    end

    test "modules" do
      assert {:coordinator, "the module NoSuchModule" <> _} = fault(coordinator: NoSuchModule)
      assert {:coordinator, "the module Enum of" <> text} = fault(coordinator: Enum)
      assert text =~ "does not export start_link/1"
      assert {:workers, "the module :lists" <> _} = fault(workers: {:lists, count: 1})

      for bad <- [nil, true, "Agent", 1, {@member, :a}, {@member, [1]}, {@member}, {nil, []}, %{}] do
        assert {:coordinator, "invalid option :coordinator" <> _} = fault(coordinator: bad)
        assert {:workers, "invalid option :workers" <> _} = fault(workers: bad)
      end
    end

    test "options that the ecosystem sets itself" do
      for name <- [:ecosystem_id, :role, :coordinator, :worker_id] do
        assert {:workers, text} = fault(workers: {@member, [{name, 1}]})
        assert text == "option #{inspect(name)} of :workers is set by the ecosystem"
        assert {:coordinator, _} = fault(coordinator: {@member, [{name, 1}]})
      end
    end

    test "values of every key" do
      for {key, bad} <- [
            id: nil,
            id: {:a, 1},
            id: :_,
            id: :"$1",
            id: self(),
            fault_tolerance: :some,
            supervision: :simple_one_for_one,
            max_restarts: -1,
            max_seconds: 0,
            start_timeout: 0,
            start_timeout: :infinity,
            startup_timeout: 1.5,
            shutdown_timeout: 0x1_0000_0000,
            distribution: :remote,
            monitor: 1
          ] do
        assert {^key, "invalid option " <> _} = fault([{key, bad}])
      end
    end
  end

  # Served by what is not here yet: refused, not ignored.
  test "no key is taken in silence" do
    assert {:nodes, "unknown key :nodes" <> _} = fault(nodes: [node()])
  end
end
