defmodule Foundation.BEAM.Ecosystem.ReasonsTest do
  # What errors and the log say of why a member did not start, or has failed: the words of who raised.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog
  import Foundation.Eventually

  alias Foundation.BEAM.Ecosystem.Failures
  alias Foundation.Reason

  @moduletag :capture_log

  defmodule Database do
    use GenServer

    def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

    @impl true
    def init(opts),
      do: if(opts[:down] == opts[:role], do: raise("no database"), else: {:ok, opts})

    @impl true
    def handle_cast(:query, _opts), do: raise("database gone")

    @impl true
    def handle_info(_any, opts), do: {:noreply, opts}
  end

  defmodule Pool do
    use Supervisor
    def start_link(opts), do: Supervisor.start_link(__MODULE__, opts)

    @impl true
    def init(opts) do
      Supervisor.init([{Database, down: :always, role: opts[:always]}], strategy: :one_for_one)
    end
  end

  defp spawn_ecosystem(opts, workers) do
    config = [coordinator: Database, workers: {Database, [count: 3] ++ workers}] ++ opts
    Processes.spawn_ecosystem(config)
  end

  defp ecosystem!(opts, workers) do
    {:ok, ecosystem} = spawn_ecosystem(opts, workers)
    on_exit(fn -> Processes.shutdown_ecosystem(ecosystem) end)
    settle(ecosystem)
  end

  test "an init that raises" do
    {:error, error} = spawn_ecosystem([], down: {:worker, 2})

    assert error.message =~
             "the ecosystem did not start: worker 2 failed: " <>
               "an exception was raised: ** (RuntimeError) no database ("

    assert error.message =~ "Database.init/1, line "
    assert {%RuntimeError{}, [_ | _]} = error.context.reason
  end

  test "an init that raises, of a worker that is added, and of a child that such a one has" do
    ecosystem = ecosystem!([], [])
    add = &EcosystemSupervisor.add_worker(ecosystem, &1, &2)

    {:error, error} = add.(Database, down: {:worker, 4})
    assert error.message =~ "the worker did not start: an exception was raised: ** (RuntimeError)"
    assert error.message =~ "no database ("

    {:error, error} = add.(Pool, always: :always)
    assert error.message =~ "the worker did not start: its child "

    assert error.message =~
             "did not start: an exception was raised: ** (RuntimeError) no database ("
  end

  test "failures that end the ecosystem, in the log" do
    ecosystem = ecosystem!([id: :loud, fault_tolerance: :self_healing, max_seconds: 600], [])
    monitor = Process.monitor(ecosystem.supervisor)

    log =
      capture_log(fn ->
        for n <- 1..3 do
          GenServer.cast(worker(ecosystem, 1), :query)
          assert eventually?(fn -> failures(ecosystem) == n end)
        end

        GenServer.cast(worker(ecosystem, 1), :query)
        assert_receive {:DOWN, ^monitor, :process, _pid, :shutdown}, 5_000
      end)

    assert log =~
             "ecosystem :loud ends: {:worker, 1} has failed more often than max_restarts allows"

    assert log =~
             "{:worker, 1} failed: an exception was raised: ** (RuntimeError) database gone ("
  end

  test "a reason too large to be kept is its text" do
    # 2 to the power of 200 elements, for whoever walks it.
    held = Enum.reduce(1..200, [:end], fn _, inner -> [inner | inner] end)
    raised = {%RuntimeError{message: "no database"}, [{Database, :query, [held], [line: 3]}]}
    kept = Failures.new(1, self(), raised).reason
    assert {:too_large, "an exception was raised: ** (RuntimeError) no database (" <> _} = kept
    assert Reason.text(kept) == elem(kept, 1)
  end
end
