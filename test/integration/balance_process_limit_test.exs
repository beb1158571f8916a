defmodule Foundation.BalanceProcessLimitTest do
  # A VM that has room for about a thousand processes, and keeps to itself that it has no more.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers
  alias Foundation.Peer

  defp call(node, module, function, args),
    do: :erpc.call(node, module, function, args, 30_000)

  test "where there is no room for the processes, those that have begun are ended" do
    {_peer, node} = Peer.start!([~c"+P", ~c"1024", ~c"-kernel", ~c"logger_level", ~c"none"])
    assert call(node, :erlang, :system_info, [:process_limit]) == 1024
    before = call(node, :erlang, :system_info, [:process_count])
    items = Enum.to_list(1..1024)

    for _ <- 1..3 do
      {result, left} =
        call(node, Peer, :traces_of, [
          Schedulers,
          :balance_work_across_schedulers,
          [items, &Integer.to_string/1, [max_concurrency: 1024]]
        ])

      assert {:raised, %SystemLimitError{}} = result
      assert left == [links: [], monitors: [], messages: []]
      assert Foundation.Eventually.eventually?(fn -> count(node) <= before + 5 end)
    end

    # There is room again for what fits.
    result =
      call(node, Schedulers, :balance_work_across_schedulers, [items, &Integer.to_string/1])

    assert result == Enum.map(items, &Integer.to_string/1)
  end

  defp count(node) do
    call(node, :erlang, :system_info, [:process_count])
  rescue
    # Not even for this is there room yet.
    ErlangError -> 1024
  end
end
