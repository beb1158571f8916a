defmodule Foundation.BEAM.Memory.IsolationFailureTest do
  use ExUnit.Case, async: false
  use Foundation.Isolated

  import ExUnit.CaptureLog

  alias Foundation.BEAM.Memory
  alias Foundation.Error

  @mib 1_048_576

  describe "work that fails" do
    test "raises, throws or exits" do
      assert failed(fn -> raise "boom" end) == {:error, %RuntimeError{message: "boom"}}
      assert failed(fn -> throw({:a, 1}) end) == {:throw, {:a, 1}}
      assert failed(fn -> exit(:reason) end) == {:exit, :reason}
      assert failed(fn -> exit(:normal) end) == {:exit, :normal}
      assert failed(fn -> exit(:kill) end) == {:exit, :kill}
      assert {:error, %ArithmeticError{}} = failed(fn -> :erlang.apply(Kernel, :div, [1, 0]) end)
      assert {:error, %ArgumentError{}} = failed(fn -> :erlang.binary_to_atom(<<255>>) end)

      assert {:error, %UndefinedFunctionError{}} =
               failed(fn -> apply(:no_module, :no_fun, []) end)

      assert {:error, %ErlangError{original: :odd}} = failed(fn -> :erlang.error(:odd) end)
    end

    test "says where" do
      {:error, error} = isolate(fn -> raise "boom" end)
      assert error.message == "the work failed: ** (RuntimeError) boom"
      assert [{__MODULE__, _, _, location} | _] = error.context.stacktrace
      assert location[:file] |> to_string() =~ "isolation_failure_test.exs"
      assert Exception.format_stacktrace(error.context.stacktrace) =~ "isolation_failure_test.exs"
    end

    test "says nothing in the log" do
      assert capture_log(fn ->
               failed(fn -> raise "boom" end)
               failed(fn -> exit(:reason) end)
               isolate(fn -> Process.exit(self(), :kill) end)
             end) == ""
    end

    test "is killed, by itself or by others" do
      assert {:error, error} = isolate(fn -> Process.exit(self(), :kill) end)
      assert {error.error_type, error.context} == {:killed, %{}}
      # The VM does not say by whom.
      kill = fn -> Process.exit(self(), :kill) end
      assert type(isolate(kill, max_heap_size: 10_000)) == :heap_limit
      assert type(isolate(kill, max_binary_bytes: 10_000)) == :killed

      assert failed(fn -> Process.exit(self(), :mine) && Process.sleep(:infinity) end) ==
               {:exit, :mine}

      assert failed(fn -> Process.exit(self(), :normal) && Process.sleep(:infinity) end) ==
               {:exit, :normal}
    end

    @tag :capture_log
    test "by a process that it is linked to" do
      work = fn ->
        spawn_link(fn -> exit(:child) end)
        Process.sleep(:infinity)
      end

      assert failed(work) == {:exit, :child}
    end

    test "with a large reason brings a short text" do
      large = words(1_000_000)
      binary = :binary.copy("x", 10 * @mib)

      for held <- [large, binary, 2 ** 1_000_000] do
        assert {:exit, text} = failed(fn -> exit({:held, held}) end)
        assert is_binary(text) and byte_size(text) < 500
        assert {:throw, text} = failed(fn -> throw({:held, held}) end)
        assert is_binary(text) and byte_size(text) < 500

        assert {:error, %Error{error_type: :too_large, message: text}} =
                 failed(fn -> raise KeyError, key: :a, term: held end)

        assert text =~ "KeyError, of more than 65536 bytes"
        assert byte_size(text) < 1000
        # The VM's own, which hold the arguments in their stacktrace.
        assert {:error, %ArgumentError{}} =
                 failed(fn -> apply(:erlang, :binary_to_atom, [{held, binary}]) end)

        assert {:error, %FunctionClauseError{}} =
                 failed(fn -> apply(List, :first, [%{held: held}, 1]) end)
      end

      assert {:error, %RuntimeError{}} = failed(fn -> raise :binary.copy("x", 60_000) end)
      assert {:error, error} = isolate(fn -> exit(large) end)
      assert error.message == "the work failed: (exit) [1, 2, 3, 4, 5, :...]"
    end

    test "with an exception whose own functions fail" do
      large = words(1_000_000)

      for module <- [Foundation.Isolated.Unshown, :no_module] do
        exception = %{__struct__: module, __exception__: true, held: 1}
        assert {:error, ^exception} = failed(fn -> :erlang.error(exception) end)
        assert {:throw, ^exception} = failed(fn -> throw(exception) end)
        exception = %{exception | held: large}
        assert {:error, %Error{}} = failed(fn -> :erlang.error(exception) end)
        assert {:exit, text} = failed(fn -> exit(exception) end)
        assert is_binary(text)
      end
    end

    test "with a reason that takes for ever to be shown" do
      reason = %Foundation.Isolated.Unending{held: 1}
      crash = [{__MODULE__, :run, 0, []}]

      for reason <- [reason, {:held, [reason]}, {reason, crash}] do
        end_work = fn -> Process.exit(self(), reason) && Process.sleep(:infinity) end
        assert failed(end_work) == {:exit, reason}
        assert failed(fn -> exit(reason) end) == {:exit, reason}
        assert failed(fn -> throw(reason) end) == {:throw, reason}

        linked = fn ->
          spawn_link(fn -> exit(reason) end)
          Process.sleep(:infinity)
        end

        assert failed(linked) == {:exit, reason}
      end

      # Its own text is asked for in the work alone, where the time limit holds.
      assert type(isolate(fn -> raise reason end, timeout: 50)) == :timeout
    end

    test "with a large reason from outside, which never comes to the caller" do
      for make <- [fn -> words(1_000_000) end, fn -> {List.duplicate(?x, 500_000), []} end] do
        work = fn -> Process.exit(self(), make.()) && Process.sleep(:infinity) end

        Task.async(fn ->
          {:memory, before} = Process.info(self(), :memory)
          assert {:exit, text} = failed(work)
          {:memory, now} = Process.info(self(), :memory)
          assert is_binary(text) and byte_size(text) < 500
          assert now - before < 1_000_000
        end)
        |> Task.await()
      end
    end

    test "by a crash of a process that it is linked to, in words" do
      # As the VM does, which would log it too.
      die = fn fun ->
        try do
          fun.()
        catch
          :error, reason -> exit({reason, __STACKTRACE__})
        end
      end

      crash = fn fun ->
        {:error, error} =
          isolate(fn ->
            spawn_link(fn -> die.(fun) end)
            Process.sleep(:infinity)
          end)

        assert {_reason, [_ | _]} = error.context.reason
        error.message
      end

      assert crash.(fn -> raise "inner" end) =~
               "the work failed: (exit) an exception was raised: ** (RuntimeError) inner ("

      text = crash.(fn -> raise KeyError, key: :a, term: %{} end)
      assert text =~ "the work failed: (exit) an exception was raised: ** (KeyError) %{"
      assert text =~ "key: :a"

      assert crash.(fn -> :erlang.error({:odd, [1, 2]}) end) =~
               "the work failed: (exit) an error was raised: {:odd, [1, 2]} ("
    end

    test "whose guard is killed is ended with it" do
      test = self()

      work = fn ->
        send(test, {:worker, self()})
        Process.sleep(:infinity)
      end

      task = Task.async(fn -> Memory.isolate(work) end)
      assert_receive {:worker, worker}
      # The worker and its guard.
      assert helpers?(2)
      for pid <- helpers(), pid != worker, do: Process.exit(pid, :kill)
      assert type(Task.await(task)) == :killed
    end

    test "with a reason that shares its parts without end" do
      for kind <- [:exit, :throw, :error] do
        assert {^kind, _short} = failed(fn -> :erlang.raise(kind, exploding(), []) end)
        assert {:error, %{}} = failed(fn -> apply(List, :first, [%{a: exploding()}, 1]) end)
      end
    end
  end

  describe "processes around it" do
    test "that it has linked itself to end with it, those only spawned do not" do
      work = fn ->
        wait = fn -> Process.sleep(:infinity) end
        {spawn_link(wait), spawn(wait)}
      end

      assert {:ok, {linked, spawned}} = isolate(work)
      monitor = Process.monitor(linked)
      assert_receive {:DOWN, ^monitor, :process, ^linked, reason}
      assert reason in [:shutdown, :noproc]
      assert Process.alive?(spawned)
      Process.exit(spawned, :kill)
    end

    test "what it sends to the caller is a message like any other" do
      test = self()
      junk = [{make_ref(), {:ok, :junk}}, {:DOWN, make_ref(), :process, test, :junk}, :junk]

      work = fn ->
        for message <- junk, do: send(test, message)
        :done
      end

      assert Memory.isolate(work) == {:ok, :done}
      for message <- junk, do: assert_received(^message)
      refute_received _anything
    end

    test "a caller that is killed takes the work with it" do
      for opts <- [[], [max_binary_bytes: @mib]] do
        test = self()

        caller =
          spawn(fn ->
            Memory.isolate(
              fn ->
                send(test, {:worker, self()})
                Process.flag(:trap_exit, true)
                Process.sleep(:infinity)
              end,
              opts
            )
          end)

        assert_receive {:worker, worker}
        monitor = Process.monitor(worker)
        # The worker and its guard.
        assert helpers?(2)
        Process.exit(caller, :kill)
        assert_receive {:DOWN, ^monitor, :process, ^worker, :killed}
      end
    end

    test "callers killed at any moment leave no work behind" do
      for n <- 1..200 do
        {caller, monitor} =
          spawn_monitor(fn -> Memory.isolate(fn -> Process.sleep(:infinity) end) end)

        for _ <- 1..rem(n, 20)//1, do: :erlang.yield()
        Process.exit(caller, :kill)
        assert_receive {:DOWN, ^monitor, _, _, _}
      end

      assert helpers?(0)
    end

    test "a caller with a full mailbox keeps it" do
      for n <- 1..1000, do: send(self(), n)
      assert Memory.isolate(fn -> :ok end) == {:ok, :ok}
      assert type(Memory.isolate(fn -> exit(:a) end)) == :work_failed
      for n <- 1..1000, do: assert_received(^n)
      refute_received _anything
    end

    test "isolation within isolation" do
      assert isolate(fn -> Memory.isolate(fn -> Memory.isolate(fn -> 1 end) end) end) ==
               {:ok, {:ok, {:ok, 1}}}
    end
  end
end
