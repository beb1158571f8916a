defmodule Foundation.EcosystemElsewhereTest do
  # Ecosystems in a VM that has no room for more processes, or whose application is stopped under them.
  use ExUnit.Case, async: true

  alias Foundation.{Elsewhere, Error, Peer}

  @quiet [~c"-kernel", ~c"logger_level", ~c"none"]

  defp call(node, function, args), do: :erpc.call(node, Elsewhere, function, args, 60_000)

  describe "where the VM has room for so many processes" do
    for {layout, opts} <- [
          flat: [],
          nested: [fault_tolerance: :self_healing, supervision: :rest_for_one],
          parts: [workers: {Foundation.Members.Server, count: 40}]
        ] do
      test "a start fails with an error, and nothing is left: #{layout}" do
        {_peer, node} = Peer.start!([~c"+P", ~c"1024"] ++ @quiet)
        opts = [start_timeout: 500, shutdown_timeout: 100] ++ unquote(opts)
        # What is loaded or started once is there.
        assert {{:ok, :ok}, _, _} = call(node, :crowded, [:spawn, opts, 200])

        results =
          for how <- [:spawn, :link], free <- Enum.to_list(0..8) ++ [44, 60] do
            {outcome, left, after_all} = call(node, :crowded, [how, opts, free])
            assert {how, free, left} == {how, free, [links: [], monitors: [], messages: []]}
            assert {how, free, after_all} == {how, free, {true, true, []}}
            with {:error, %Error{error_type: type}} <- outcome, do: {free, type}
          end

        assert {0, :start_failed} in results
        assert {:ok, :ok} in results
        assert Enum.all?(results, &(match?({:ok, :ok}, &1) or match?({_, :start_failed}, &1)))
      end
    end

    test "the configuration counts all that an ecosystem is made of" do
      # Where nobody else starts and ends processes.
      {_peer, node} = Peer.start!(@quiet)
      # Supervisors and the coordinator need room as well.
      assert [error, {:ok, _plan}] = call(node, :configured, [[1, 2_000]])
      assert {:error, %Error{error_type: :validation_error}} = error
    end
  end

  test "an ecosystem of a tree of one's own outlives the application, and is found again" do
    {_peer, node} = Peer.start!(@quiet)
    seen = call(node, :outlived, [])
    assert {:error, %Error{error_type: :not_started}} = seen.stopped.start_link
    assert {:error, %Error{error_type: :not_started}} = seen.stopped.spawn
    assert {seen.stopped.whereis, seen.stopped.list, seen.stopped.workers} == {nil, [], []}
    assert {:error, %Error{error_type: :not_found}} = seen.stopped.info
    assert {:error, %Error{error_type: :not_found}} = seen.stopped.by_pid
    assert seen.stopped.shutdown == :ok

    assert {top, {:error, %Error{error_type: :already_exists} = error}} = seen.at_once
    assert {top, error.context.supervisor} == {seen.top, seen.top}
    assert seen.back?
    assert seen.ended?
    assert seen.gone?
  end
end
