defmodule Foundation.BEAM.Processes.WorkTest do
  use ExUnit.Case, async: false
  use Foundation.Isolated

  alias Foundation.BEAM.Processes
  alias Foundation.Error

  defp work(fun, opts \\ []) do
    {:ok, pid} = Processes.isolate_memory_intensive_work(fun, opts)
    assert_receive {kind, result} when kind in [:work_complete, :work_error]

    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, _reason}
    {kind, result}
  end

  test "sends the result to the caller" do
    assert work(fn -> {:any, [1, 2]} end) == {:work_complete, {:any, [1, 2]}}
  end

  test "to another process, given as pid or option" do
    test = self()
    other = spawn_link(fn -> forward(test) end)

    for caller_or_opts <- [other, [caller: other]] do
      {:ok, _pid} = Processes.isolate_memory_intensive_work(fn -> 1 end, caller_or_opts)
      assert_receive {:forwarded, {:work_complete, 1}}
    end

    refute_received {:work_complete, _}
  end

  defp forward(to) do
    receive do
      message -> send(to, {:forwarded, message})
    end

    forward(to)
  end

  test "sends the exception, the thrown value or the reason" do
    assert work(fn -> raise ArgumentError, "no" end) ==
             {:work_error, %ArgumentError{message: "no"}}

    assert work(fn -> throw(:ball) end) == {:work_error, :ball}
    assert work(fn -> exit({:because, 1}) end) == {:work_error, {:because, 1}}
  end

  test "sends the error of a limit that was passed" do
    assert {:work_error, %Error{error_type: :timeout}} =
             work(fn -> receive(do: (:never -> 1)) end, timeout: 10)

    grow = fn -> Enum.to_list(1..10_000_000) end
    assert {:work_error, %Error{error_type: :heap_limit}} = work(grow, max_heap_size: 10_000)

    assert {:work_error, %Error{error_type: :too_large}} =
             work(fn -> words(1_000) end, max_size: 100)
  end

  test "limits that the VM refuses come as the exception" do
    assert {:work_error, %ArgumentError{}} =
             work(fn -> 1 end, min_heap_size: 10_000, max_heap_size: 300)
  end

  test "variables that share their parts without end are refused" do
    task =
      Task.async(fn ->
        held = exploding()
        Processes.isolate_memory_intensive_work(fn -> length(held) end)
      end)

    assert {:error, %Error{error_type: :too_large}} = Task.await(task, 20_000)
  end

  test "ends with the process that the result is for, and when its pid is killed" do
    test = self()
    hang = fn -> send(test, {:working, self()}) && receive(do: (:never -> 1)) end
    receiver = spawn(fn -> receive(do: (:never -> 1)) end)
    {:ok, _pid} = Processes.isolate_memory_intensive_work(hang, receiver)
    assert_receive {:working, worker}
    monitor = Process.monitor(worker)
    Process.exit(receiver, :kill)
    assert_receive {:DOWN, ^monitor, _, _, _}

    {:ok, pid} = Processes.isolate_memory_intensive_work(hang)
    assert_receive {:working, worker}
    monitor = Process.monitor(worker)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^monitor, _, _, _}
    refute_received _anything
  end

  test "does not link, and does not block" do
    {:ok, pid} = Processes.isolate_memory_intensive_work(fn -> receive(do: (:never -> 1)) end)
    refute pid in elem(Process.info(self(), :links), 1)
    Process.exit(pid, :kill)
  end

  test "the awaitable form gives what isolate/2 gives" do
    {:ok, work} = Processes.start_isolated_work(fn -> 1 end)
    assert Processes.await_isolated_work(work) == {:ok, 1}
    {:ok, work} = Processes.start_isolated_work(fn -> receive(do: (:never -> 1)) end, timeout: 10)
    assert {:error, %Error{error_type: :timeout}} = Processes.await_isolated_work(work)
    refute_received _anything
  end

  test "is awaited once, by the process that started it; anything else raises at once" do
    {:ok, work} = Processes.start_isolated_work(fn -> 1 end, timeout: :infinity)
    foreign = fn -> catch_error(Processes.await_isolated_work(work)) end
    assert %ArgumentError{message: message} = Task.await(Task.async(foreign))

    assert message ==
             "the work given to Processes.await_isolated_work/1 was started by another process, " <>
               "#{inspect(self())}: the one that starts it awaits it"

    # That has cost the owner nothing.
    assert Processes.await_isolated_work(work) == {:ok, 1}
    again = ~r/given to Processes.await_isolated_work\/1 has been awaited already/
    assert_raise ArgumentError, again, fn -> Processes.await_isolated_work(work) end

    {:ok, work} = Processes.start_isolated_work(fn -> Process.sleep(:infinity) end, timeout: 0)
    assert {:error, %Error{error_type: :timeout}} = Processes.await_isolated_work(work)
    assert_raise ArgumentError, again, fn -> Processes.await_isolated_work(work) end

    for other <- [nil, {:ok, work}, make_ref(), %{work | owner: nil}, Map.from_struct(work)] do
      assert_raise ArgumentError, ~r/Processes.await_isolated_work\/1/, fn ->
        Processes.await_isolated_work(other)
      end
    end
  end

  test "mistakes raise" do
    for {call, text} <- [
          {fn -> Processes.isolate_memory_intensive_work(1) end,
           "expected a function of arity 0 in Processes"},
          {fn -> Processes.isolate_memory_intensive_work(fn -> 1 end, colour: 1) end,
           "unknown option :colour"},
          {fn -> Processes.isolate_memory_intensive_work(fn -> 1 end, :a) end,
           "expected a keyword list"},
          {fn -> Processes.isolate_memory_intensive_work(fn -> 1 end, caller: :a) end,
           "invalid option :caller"},
          {fn -> Processes.start_isolated_work(fn _ -> 1 end) end,
           "expected a function of arity 0"}
        ] do
      assert_raise ArgumentError, ~r/#{text}/, call
    end
  end
end
