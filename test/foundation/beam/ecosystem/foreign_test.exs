defmodule Foundation.BEAM.Ecosystem.ForeignTest do
  # Ecosystems that are over, on another node, or none at all, given to every function.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.Error

  # {function, what it gives for an ecosystem that is not there}
  @functions [
    {&Processes.current/1, :error},
    {&Processes.ecosystem_info/1, :error},
    {&Processes.ecosystem_health/1, :error},
    {&Processes.failures/1, :error},
    {&Processes.shutdown_ecosystem/1, :ok},
    {&EcosystemSupervisor.get_coordinator/1, {:error, :not_found}},
    {&EcosystemSupervisor.list_workers/1, []},
    {&EcosystemSupervisor.get_ecosystem_info/1, :error},
    {&__MODULE__.add/1, :error},
    {&__MODULE__.remove/1, {:error, :not_found}},
    {&EcosystemSupervisor.shutdown/1, :ok}
  ]

  def add(ecosystem), do: EcosystemSupervisor.add_worker(ecosystem, Member, [])
  def remove(ecosystem), do: EcosystemSupervisor.remove_worker(ecosystem, self())

  defp functions, do: @functions

  test "ended ones are not found, by struct, pid or id" do
    ecosystem = Member.ecosystem!(id: :dead)
    :ok = Processes.shutdown_ecosystem(ecosystem)

    for {function, expected} <- functions(), ref <- [ecosystem, ecosystem.supervisor, :dead] do
      case {expected, function.(ref)} do
        {:error, result} ->
          assert {:error, %Error{error_type: :not_found, message: text}} = result
          assert text =~ "there is no ecosystem"

        {expected, result} ->
          assert result == expected
      end
    end

    assert Processes.whereis(:dead) == nil
  end

  test "a struct is of its own ecosystem, not of a later one with the same id" do
    old = Member.ecosystem!(id: :same)
    :ok = Processes.shutdown_ecosystem(old)
    new = Member.ecosystem!(id: :same)
    assert type(Processes.ecosystem_info(old)) == :not_found
    assert Processes.shutdown_ecosystem(old) == :ok
    assert Process.alive?(new.supervisor)
  end

  test "processes that are no ecosystem are not found" do
    {:ok, agent} = Agent.start_link(fn -> 1 end)
    Registry.register(Foundation.ProcessRegistry, {:production, :other}, %{})

    for pid <- [self(), agent, Process.whereis(Foundation.Supervisor)] do
      assert type(Processes.ecosystem_info(pid)) == :not_found
      assert Processes.shutdown_ecosystem(pid) == :ok
      assert Process.alive?(pid)
    end
  end

  test "those of another node say so" do
    ecosystem = Member.ecosystem!()
    {peer, node} = Foundation.Peer.start!()
    elsewhere = :erpc.call(node, :erlang, :whereis, [:init])
    assert node(elsewhere) == node

    for {function, expected} <- functions(),
        ref <- [elsewhere, %{ecosystem | supervisor: elsewhere}] do
      result = function.(ref)

      if expected in [:ok, :error],
        do: assert(type(result) == :foreign_node),
        else: assert(result == expected)
    end

    :peer.stop(peer)
    assert Process.alive?(ecosystem.supervisor)
  end

  test "structs that somebody has put together are not found" do
    ecosystem = Member.ecosystem!()
    own = :ets.new(:own, [:public])

    for {function, expected} <- functions(), table <- [own, :ets.new(:private, [:private])] do
      case {expected, function.(%{ecosystem | supervisor: self(), table: table})} do
        {:error, result} -> assert type(result) == :not_found
        {expected, result} -> assert result == expected
      end
    end

    assert :ets.tab2list(own) == []
  end

  test "other terms raise, with the name of the function" do
    for {function, _expected} <- functions(), other <- [nil, %{}, [], {:a, 1}, 1.5, make_ref()] do
      assert_raise ArgumentError,
                   ~r/expected an ecosystem .* in (Processes|EcosystemSupervisor)\./,
                   fn ->
                     function.(other)
                   end
    end
  end

  test "one that ends while it is read is not found" do
    for _ <- 1..50 do
      ecosystem = Member.ecosystem!([], test: nil)
      reader = Task.async(fn -> read(ecosystem) end)
      :ok = Processes.shutdown_ecosystem(ecosystem)
      assert Task.await(reader) == :not_found
    end
  end

  defp read(ecosystem) do
    with {:ok, _} <- Processes.ecosystem_info(ecosystem),
         {:ok, _} <- Processes.current(ecosystem),
         {:ok, _} <- Processes.failures(ecosystem),
         workers when is_list(workers) <- EcosystemSupervisor.list_workers(ecosystem) do
      read(ecosystem)
    else
      {:error, error} -> error.error_type
    end
  end
end
