defmodule Foundation.BEAM.Ecosystem.ApplicationEndTest do
  # What becomes of ecosystems under Foundation's supervisor when the application stops.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  alias Foundation.Raw

  @moduletag :capture_log

  @layouts [
    flat: [],
    nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
    parts: [count: 300]
  ]

  describe "the application's end" do
    for {name, opts} <- Keyword.take(@layouts, [:flat, :nested]) do
      test "asks workers before the coordinator, of all ecosystems at once: #{name}" do
        ids = [:a, :b]
        for id <- ids, do: Member.ecosystem!([id: id] ++ unquote(opts), trap: true)
        drop_ups(8)
        assert Foundation.Application.prep_stop(:state) == :state
        {:messages, messages} = Process.info(self(), :messages)
        terminated = for {:terminated, role, pid, :shutdown} <- messages, do: {role, pid}
        assert length(terminated) == 8
        roles = Enum.map(terminated, &elem(&1, 0))
        # Each has three workers: the first coordinator comes after its own.
        assert Enum.count(Enum.take_while(roles, &(&1 != :coordinator))) >= 3
        assert List.last(roles) == :coordinator
        assert Processes.list_ecosystems() == []
      end
    end

    test "asks those of no ecosystem later, because another takes long" do
      member = {Raw, test: self()}
      config = [coordinator: member, workers: member, shutdown_timeout: 0xFFFFFFFF]
      for _ <- 1..5, do: Processes.spawn_ecosystem!(config)
      ending = Task.async(fn -> Foundation.Application.prep_stop(nil) end)

      # Each waits for the others of its kind.
      for role <- [{:worker, 1}, :coordinator] do
        asked = for _ <- 1..5, do: assert_receive({:asked, ^role, _, :shutdown}) |> elem(2)
        refute_received {:asked, _, _, _}
        assert Enum.all?(asked, &Process.alive?/1)
        for pid <- asked, do: send(pid, :go)
      end

      Task.await(ending)
      assert Processes.list_ecosystems() == []
    end

    test "of the whole application" do
      {peer, node} = Foundation.Peer.start!()
      # What it sends comes from the other node.
      config = Member.config([], trap: true)
      {:ok, _} = :erpc.call(node, Processes, :spawn_ecosystem, [config])
      drop_ups(4)
      :erpc.call(node, :logger, :set_primary_config, [:level, :none])
      :ok = :erpc.call(node, Application, :stop, [:foundation])

      # By one connection, so in the order in which they were sent.
      roles = for _ <- 1..4, do: assert_receive({:terminated, _, _, :shutdown}) |> elem(1)
      assert [:coordinator, {:worker, _}, {:worker, _}, {:worker, _}] = Enum.reverse(roles)
      :peer.stop(peer)
    end
  end
end
