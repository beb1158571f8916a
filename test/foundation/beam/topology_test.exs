defmodule Foundation.BEAM.TopologyTest do
  use ExUnit.Case, async: true

  doctest Foundation.BEAM.Topology
  doctest Foundation.BEAM.Topology.Tree
  doctest Foundation.BEAM.Topology.Mesh
  doctest Foundation.BEAM.Topology.Ring
  doctest Foundation.BEAM.Topology.Router

  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.{Ring, Router}
  alias Foundation.Error

  @workers for n <- 1..4, do: {:worker, n}
  @members [:coordinator | @workers]

  test "every topology is known by its name, and no other is" do
    for name <- Router.names(), do: assert(Router.neighbours(name, [], :coordinator) == [])

    for wrong <- [:star, "tree", nil, Foundation.BEAM.Topology.Tree] do
      assert_raise ArgumentError, ~r/expected a topology \(:tree, :mesh or :ring\)/, fn ->
        Router.neighbours(wrong, @members, :coordinator)
      end
    end
  end

  test "the order is by number, not by text, and the coordinator is first" do
    workers = for n <- [10, 9, 100, 1], do: {:worker, n}

    assert Topology.order(workers ++ [:coordinator]) ==
             [:coordinator, {:worker, 1}, {:worker, 9}, {:worker, 10}, {:worker, 100}]
  end

  describe "tree" do
    test "the coordinator is next to all, each worker to it alone" do
      assert Router.neighbours(:tree, @members, :coordinator) == @workers

      for worker <- @workers,
          do: assert(Router.neighbours(:tree, @members, worker) == [:coordinator])
    end

    test "without coordinator nobody is next to anybody and nothing gets through" do
      for worker <- @workers do
        assert Router.neighbours(:tree, @workers, worker) == []
        assert Router.forward(:tree, @workers, worker, worker) == []
      end

      assert {:error, %Error{error_type: :no_route, context: context}} =
               Router.next_hop(:tree, @workers, {:worker, 1}, {:worker, 2})

      assert context == %{topology: :tree, from: {:worker, 1}, to: {:worker, 2}}
    end

    test "a worker's word to all goes by the coordinator, once to each" do
      assert Router.forward(:tree, @members, {:worker, 2}, {:worker, 2}) == [:coordinator]

      assert Router.forward(:tree, @members, {:worker, 2}, :coordinator) ==
               [{:worker, 1}, {:worker, 3}, {:worker, 4}]

      assert Router.forward(:tree, @members, {:worker, 2}, {:worker, 3}) == []
    end

    test "also when it has ended since it spoke" do
      assert Router.forward(:tree, [:coordinator, {:worker, 1}], {:worker, 2}, :coordinator) ==
               [{:worker, 1}]
    end
  end

  describe "mesh" do
    test "loses nothing but the member itself when one is gone" do
      left = List.delete(@members, :coordinator)
      assert Router.neighbours(:mesh, left, {:worker, 1}) == Enum.drop(@workers, 1)
      assert Router.next_hop(:mesh, left, {:worker, 1}, {:worker, 4}) == {:ok, {:worker, 4}}
      assert {:error, _} = Router.next_hop(:mesh, left, {:worker, 1}, :coordinator)
    end
  end

  describe "ring" do
    test "of one has no neighbours, of two each the other, once" do
      assert Router.neighbours(:ring, [:coordinator], :coordinator) == []
      assert Ring.predecessor([:coordinator], :coordinator) == :error

      assert Router.neighbours(:ring, [:coordinator, {:worker, 7}], :coordinator) == [
               {:worker, 7}
             ]
    end

    test "closes over members that are gone" do
      left = @members -- [{:worker, 1}, {:worker, 2}]
      assert Ring.successor(left, :coordinator) == {:ok, {:worker, 3}}
      assert Ring.predecessor(left, {:worker, 3}) == {:ok, :coordinator}

      assert Router.route(:ring, left, :coordinator, {:worker, 4}) ==
               {:ok, [:coordinator, {:worker, 3}, {:worker, 4}]}
    end

    test "of nobody, no one comes next" do
      assert Ring.successor([], :coordinator) == :error
      assert Ring.predecessor([], {:worker, 1}) == :error
      assert Router.forward(:ring, [], :coordinator, :coordinator) == []
    end
  end

  test "who is no member has no neighbours and no ways, and passes nothing on" do
    for name <- Router.names(), stranger <- [{:worker, 9}, :nobody, {:worker, 0}] do
      assert Router.neighbours(name, @members, stranger) == []
      assert {:error, %Error{}} = Router.route(name, @members, stranger, {:worker, 1})
      assert {:error, %Error{}} = Router.route(name, @members, {:worker, 1}, stranger)
      assert {:error, %Error{}} = Router.next_hop(name, @members, stranger, stranger)
      assert Router.forward(name, @members, stranger, stranger) == []
    end
  end

  test "a member is where it is, and nothing needs to be passed on for that" do
    for name <- Router.names() do
      assert Router.route(name, @members, {:worker, 2}, {:worker, 2}) == {:ok, [{:worker, 2}]}
      assert {:error, %Error{}} = Router.next_hop(name, @members, {:worker, 2}, {:worker, 2})
    end
  end
end
