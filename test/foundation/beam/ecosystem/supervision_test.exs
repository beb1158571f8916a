defmodule Foundation.BEAM.Ecosystem.SupervisionTest do
  # A supervisor that restarts too often ends, and may be heard of before the member whose end was too much.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Events

  alias Foundation.BEAM.Ecosystem.{Roster, Supervision}

  @moduletag :capture_log

  # The state of a steward, as far as that looks at it.
  defp state(table, more) do
    %{table: table, ending?: false, over: nil, exhausted?: false, pending: %{}}
    |> Map.merge(Map.new(more))
  end

  defp handle({number, _monitor, :process, pid, reason}, state) do
    failure = if reason != :shutdown, do: %{reason: reason}
    %{state | pending: Map.put(state.pending, pid, {number, failure, 1, 0})}
  end

  # From another process, whenever that comes to it.
  defp told(downs) do
    test = self()
    spawn(fn -> for {number, pid, reason} <- downs, do: send(test, down(number, pid, reason)) end)
  end

  defp down(number, pid, reason), do: {number, make_ref(), :process, pid, reason}

  test "what is told later is waited for, past those who were only asked to end" do
    ecosystem = Member.ecosystem!()
    [first, second | _] = ecosystem.workers
    told([{2, second, :shutdown}, {1, first, :killed}])
    state = Supervision.why(state(ecosystem.table, exhausted?: true), &handle/2)
    assert {1, %{reason: :killed}, _, _} = state.pending[first]
    assert {2, nil, _, _} = state.pending[second]
  end

  test "nobody waits who knows why, or was asked to end, or whose coordinator lives" do
    ecosystem = Member.ecosystem!()
    known = %{self() => {1, %{reason: :no}, 1, 0}}

    for more <- [
          [exhausted?: true, pending: known],
          [exhausted?: true, ending?: true],
          [exhausted?: true, over: %{role: :coordinator}],
          []
        ] do
      state = state(ecosystem.table, more)
      assert Supervision.why(state, fn _down, _state -> flunk("it has waited") end) == state
    end
  end

  test "a coordinator that is dead, and not marked as such, is waited for" do
    ecosystem = Member.ecosystem!()
    :sys.suspend(Roster.get(ecosystem.table, :steward))
    Process.exit(ecosystem.coordinator, :kill)
    assert ended(ecosystem.coordinator) in [:killed, :noproc]
    told([{0, ecosystem.coordinator, :killed}])
    state = Supervision.why(state(ecosystem.table, []), &handle/2)
    assert {0, %{reason: :killed}, _, _} = state.pending[ecosystem.coordinator]
    :sys.resume(Roster.get(ecosystem.table, :steward))
  end

  test "an end of which nobody hears why is loud all the same" do
    listen([:foundation, :ecosystem, :stopped])
    ecosystem = Member.ecosystem!(fault_tolerance: :self_healing)
    steward = Roster.get(ecosystem.table, :steward)
    :sys.replace_state(steward, &%{&1 | exhausted?: true})
    Foundation.BEAM.Ecosystem.Reaper.end_all(ecosystem.supervisor)
    assert_receive {:event, _, %{failures: 0}, %{reason: :max_restarts}}, 5_000
  end
end
