defmodule Foundation.BEAM.Ecosystem.StartTest do
  # What goes wrong while members start: an error that says who and why, and nothing left running.
  use ExUnit.Case, async: false
  use Foundation.Ecosystems

  import ExUnit.CaptureLog

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.Error

  # Supervisors report members that do not start.
  @moduletag :capture_log

  defp failed(opts, member) do
    assert {:error, %Error{error_type: :start_failed} = error} = Member.ecosystem(opts, member)
    assert_nothing_left()
    {error.context.role, error.context.reason, error.message}
  end

  describe "a failing init" do
    test "of the coordinator, in each way, flat and nested" do
      for supervision <- [:one_for_one, :one_for_all] do
        opts = [supervision: supervision, fault_tolerance: :self_healing]
        member = fn init -> [at: [:coordinator], init: init] end
        assert {:coordinator, :no, _} = failed(opts, member.({:error, :no}))
        assert {:coordinator, :ignore, _} = failed(opts, member.(:ignore))
        assert {:coordinator, :no, _} = failed(opts, member.(:exit))
        assert {:coordinator, {%RuntimeError{}, _}, _} = failed(opts, member.(:raise))
      end
    end

    test "of a worker, in each way" do
      member = fn init -> [at: [{:worker, 2}], init: init] end
      assert {{:worker, 2}, :no, message} = failed([], member.({:error, :no}))
      assert message =~ "worker 2 failed: :no"
      assert {{:worker, 2}, :ignore, _} = failed([], member.(:ignore))
      assert {{:worker, 2}, :no, _} = failed([], member.(:exit))
      assert {{:worker, 2}, {%RuntimeError{}, _}, _} = failed([], member.(:raise))
    end

    test "of the last of many workers, of whom those before have started" do
      assert {{:worker, 600}, :no, _} =
               failed([count: 600], at: [{:worker, 600}], init: {:error, :no}, test: nil)
    end

    test "lets those that have started end in order" do
      assert {{:worker, 3}, :no, _} =
               failed([], at: [{:worker, 3}], init: {:error, :no}, trap: true)

      for role <- [{:worker, 1}, {:worker, 2}, :coordinator], do: up(role)
      assert {:terminated, {:worker, _}, _, :shutdown} = next_ended()
      assert {:terminated, {:worker, _}, _, :shutdown} = next_ended()
      assert {:terminated, :coordinator, _, :shutdown} = next_ended()
    end

    test "frees the id" do
      failed([id: :again], at: [:coordinator], init: {:error, :no})
      assert Processes.whereis(:again) == nil
      Member.ecosystem!(id: :again)
    end
  end

  defp next_ended do
    receive do
      {:terminated, _role, _pid, _reason} = message -> message
    end
  end

  describe "what start_link gives that is none of OTP's results" do
    defmodule Odd do
      def start_link(opts), do: opts[:fun].()
    end

    test "is a failed start" do
      for {result, reason} <- [
            {:ok, {:bad_return, {Odd, :start_link, ":ok"}}},
            {{:ok, 1}, {:bad_return, {Odd, :start_link, "{:ok, 1}"}}},
            {{:error, :mine}, :mine}
          ] do
        config = Member.config(workers: {Odd, fun: fn -> result end})
        assert {:error, %Error{context: context}} = Processes.spawn_ecosystem(config)
        assert context.role == {:worker, 1}
        assert context.reason == reason
      end
    end

    test "a third element of the tuple is let through" do
      start = fn -> with {:ok, pid} <- Member.start_link(test: nil), do: {:ok, pid, :more} end

      {:ok, ecosystem} =
        Processes.spawn_ecosystem(Member.config(workers: {Odd, fun: start, count: 2}))

      assert length(ecosystem.workers) == 2
      :ok = Processes.shutdown_ecosystem(ecosystem)
    end
  end

  describe "a start that takes too long" do
    test "of the coordinator, flat and nested, that traps exits" do
      for supervision <- [:one_for_one, :rest_for_one] do
        opts = [supervision: supervision, fault_tolerance: :self_healing]
        hang = hang_beyond(start_timeout: 200)

        assert {:coordinator, {:timeout, 200}, message} =
                 failed(opts, at: [:coordinator], init: hang, trap: true)

        assert message =~ "the coordinator took more than 200 ms"
      end
    end

    test "of a worker that traps exits" do
      member = [at: [{:worker, 2}], init: hang_beyond(start_timeout: 200), trap: true]
      assert {{:worker, 2}, {:timeout, 200}, _} = failed([], member)
    end

    test "of one worker of each of many supervisors" do
      hanging = :counters.new(1, [])

      hang = fn opts ->
        :counters.add(hanging, 1, 1)
        {:ok, {_supervisor, table}} = Roster.whereis(opts[:ecosystem_id])

        # When both hang, nobody before them is late; where there is one supervisor, one of them does.
        both? = :counters.get(hanging, 1) == min(2, Roster.plan(table).parts)
        if both?, do: limit(table, start_timeout: 400)
        receive(do: (:never -> :ok))
      end

      member = [at: [{:worker, 300}, {:worker, 301}], init: hang, trap: true, test: nil]
      assert {{:worker, number}, {:timeout, 400}, _} = failed([count: 600], member)

      assert number in [300, 301]
    end

    test "in start_link itself, before there is a process" do
      test = self()

      start = fn ->
        send(test, {:starting, self()})
        limit_of(:itself, start_timeout: 200)
        receive(do: (:never -> :ok))
      end

      config = Member.config(id: :itself, workers: {__MODULE__.Odd, fun: start})
      assert {:error, %Error{context: context}} = Processes.spawn_ecosystem(config)
      assert {context.role, context.reason} == {{:worker, 1}, {:timeout, 200}}
      assert_received {:starting, _supervisor}
    end

    test "as a whole, though each member is in time" do
      slow = fn ->
        receive(do: (:never -> :ok), after: (30 -> Member.start_link(test: nil)))
      end

      config =
        Member.config(
          workers: {__MODULE__.Odd, fun: slow, count: 100_000},
          startup_timeout: 100,
          start_timeout: 60_000
        )

      assert {:error, %Error{context: context} = error} = Processes.spawn_ecosystem(config)
      assert context.reason == {:timeout, 100}
      assert error.message =~ "took more than 100 ms"
    end
  end

  describe "the process that starts it" do
    test "dies meanwhile: so does all that it has started" do
      config = Member.config([], at: [{:worker, 2}], init: :hang, trap: true)
      caller = spawn(fn -> Processes.spawn_ecosystem(config) end)
      assert_receive {:hangs, {:worker, 2}, hanging}
      Process.exit(caller, :kill)
      assert ended(hanging) == :killed
      assert_nothing_left()
    end

    test "does not keep others that start theirs" do
      config = Member.config([id: :slow], at: [:coordinator], init: :hang)
      slow = Task.async(fn -> Processes.spawn_ecosystem(config) end)
      assert_receive {:hangs, :coordinator, hanging}
      Member.ecosystem!()
      Process.exit(hanging, :kill)
      assert {:error, %Error{context: %{role: :coordinator, reason: :killed}}} = Task.await(slow)
    end
  end

  test "no event of a start or an end is sent of what did not start" do
    Foundation.Events.listen([:foundation, :ecosystem, :started])
    Foundation.Events.listen([:foundation, :ecosystem, :stopped])
    failed([], at: [{:worker, 2}], init: {:error, :no})
    refute_received {:event, _, _, _}
  end

  test "without the application there is an error" do
    capture_log(fn ->
      Application.stop(:foundation)
      assert type(Member.ecosystem()) == :not_started
      Application.start(:foundation)
    end)
  end
end
