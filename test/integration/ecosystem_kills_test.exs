defmodule Foundation.EcosystemKillsTest do
  # Whatever process of an ecosystem is killed, its supervisors and its steward as well: it comes to
  # rest with every role once, every worker knowing the coordinator, and nothing waiting in the steward.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.{Reaper, Roster}

  @moduletag :capture_log

  for {supervision, count, rounds} <- [
        {:one_for_one, 5, 60},
        {:rest_for_one, 5, 60},
        {:one_for_all, 5, 60},
        {:one_for_one, 300, 10}
      ] do
    test "#{supervision} with #{count} workers" do
      opts = [supervision: unquote(supervision), count: unquote(count)]
      # A failure counts as one of lately for an hour.
      more = [fault_tolerance: :self_healing, max_restarts: 1_000_000, max_seconds: 3_600]
      ecosystem = Member.ecosystem!(opts ++ more, test: nil)
      processes = length(tree(ecosystem.supervisor))

      for _round <- 1..unquote(rounds) do
        for _ <- 1..Enum.random(1..5), do: kill_any(ecosystem)
        assert eventually?(fn -> at_rest?(ecosystem, unquote(count), processes) end)
      end

      # All are there; that they have just failed is what degrades it.
      {:ok, health} = Processes.ecosystem_health(ecosystem)
      assert {health.status, health.coordinator} == {:degraded, :alive}
      assert health.workers.alive == unquote(count) and health.workers.total == unquote(count)
      assert :ok = Processes.shutdown_ecosystem(ecosystem)
    end
  end

  defp kill_any(ecosystem) do
    # There may be none for a moment.
    with [_ | _] = pids <- tree(ecosystem.supervisor), do: Process.exit(Enum.random(pids), :kill)
  end

  defp tree(pid), do: pid |> Reaper.children() |> Enum.flat_map(&[&1 | tree(&1)])

  defp at_rest?(ecosystem, count, processes) do
    {:ok, current} = Processes.current(ecosystem)

    length(current.workers) == count and is_pid(current.coordinator) and
      length(tree(ecosystem.supervisor)) == processes and
      Enum.all?(Enum.with_index(current.workers, 1), &knows?(&1, current.coordinator)) and
      nothing_waits?(:sys.get_state(Roster.get(ecosystem.table, :steward)))
  catch
    # Who was asked has died in between.
    :exit, _reason -> false
  end

  defp knows?({worker, number}, coordinator) do
    opts = GenServer.call(worker, :opts)
    opts[:worker_id] == number and opts[:coordinator] == coordinator
  end

  defp nothing_waits?(steward), do: steward.pending == %{} and steward.early == %{}
end
