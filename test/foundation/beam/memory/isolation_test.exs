defmodule Foundation.BEAM.Memory.IsolationTest do
  use ExUnit.Case, async: false
  use Foundation.Isolated

  import ExUnit.CaptureLog

  alias Foundation.BEAM.{Memory, SharedTerm}
  alias Foundation.BEAM.Memory.Isolation
  alias Foundation.Error

  @mib 1_048_576

  describe "the result" do
    test "comes back, of any kind" do
      for result <- [nil, :ok, {:error, :mine}, "x", make_ref(), words(100_000), self()] do
        assert isolate(fn -> result end) == {:ok, result}
      end
    end

    test "was made in another process, which knows its caller and prints where the caller does" do
      test = self()
      Process.put(:"$callers", [:above])
      run = fn -> {self(), Process.get(:"$callers"), Process.group_leader()} end
      assert {:ok, {worker, callers, leader}} = isolate(run)
      assert worker != test
      assert callers == [test, :above]
      assert leader == Process.group_leader()
    end

    test "as a shared term" do
      assert {:ok, handle} = isolate(fn -> %{a: words(10_000)} end, result: :shared_term)
      assert SharedTerm.fetch_in(handle, [:a, 4999]) == {:ok, 5000}
      SharedTerm.release(handle)
    end

    test "as a binary in external format" do
      term = %{a: words(10_000), b: 1.5}
      assert {:ok, binary} = isolate(fn -> term end, result: :binary)
      assert :erlang.binary_to_term(binary) == term
    end

    test "above max_size is refused, in each form" do
      for as <- [:copy, :shared_term, :binary] do
        opts = [result: as, max_size: 1600]
        assert {:ok, _} = isolate(fn -> words(200) end, opts)
        assert {:error, error} = isolate(fn -> words(202) end, opts)
        assert error.error_type == :too_large
        assert error.context == %{max_size: 1600}
      end
    end

    test "in external format may be larger than on the heap, and is refused as well" do
      atom = String.to_atom(String.duplicate("ł", 255))
      work = fn -> List.duplicate(atom, 1000) end
      assert {:ok, [_ | _]} = isolate(work, max_size: 100_000)
      assert {:error, error} = isolate(work, max_size: 100_000, result: :binary)
      assert {error.error_type, error.context} == {:too_large, %{max_size: 100_000}}
      assert error.message =~ "the result in external format is larger than 100000 bytes"
      assert {:ok, binary} = isolate(work, max_size: 520_000, result: :binary)
      assert byte_size(binary) in 510_000..520_000
    end

    test "that shares its parts without end is refused" do
      for as <- [:copy, :shared_term, :binary] do
        assert type(isolate(fn -> exploding() end, result: as, max_size: @mib)) == :too_large
      end
    end

    test "variables that share their parts without end are refused" do
      task =
        Task.async(fn ->
          held = exploding()
          Memory.isolate(fn -> length(held) end)
        end)

      assert {:ok, {:error, %Error{error_type: :too_large}}} =
               Task.yield(task, 20_000) || Task.shutdown(task, :brutal_kill)
    end

    test "nothing of the heap stays with the caller" do
      Task.async(fn ->
        {:total_heap_size, before} = Process.info(self(), :total_heap_size)
        {:ok, 1_000_000} = Memory.isolate(fn -> 1..1_000_000 |> Enum.to_list() |> length() end)
        {:total_heap_size, now} = Process.info(self(), :total_heap_size)
        assert now - before < 10_000
      end)
      |> Task.await()
    end
  end

  describe "max_heap_size" do
    test "ends the work, on both sides of it" do
      assert {:ok, 50_000} = isolate(fn -> length(words(100_000)) end, max_heap_size: 1_000_000)
      assert {:error, error} = isolate(fn -> length(words(2_000_000)) end, max_heap_size: 100_000)
      assert error.error_type == :heap_limit
      assert error.context == %{max_heap_size: 100_000}
    end

    test "says nothing in the log" do
      assert capture_log(fn ->
               assert :heap_limit ==
                        type(isolate(fn -> words(10_000_000) end, max_heap_size: 1000))
             end) == ""
    end

    test "ends work that grows for ever, also when it catches everything" do
      grow = fn grow, held -> grow.(grow, [held | held]) end

      work = fn ->
        Process.flag(:trap_exit, true)

        try do
          grow.(grow, [])
        catch
          _, _ -> :caught
        end
      end

      assert type(isolate(work, max_heap_size: 100_000)) == :heap_limit
    end

    test "counts what the function holds, from the first collection on" do
      held = words(2_000_000)
      work = fn -> :erlang.garbage_collect() && length(held) end
      assert type(isolate(work, max_heap_size: 100_000)) == :heap_limit
      assert isolate(work, max_heap_size: 10_000_000) == {:ok, 1_000_000}
    end

    test "the smallest and the largest that the VM takes" do
      assert {:ok, 1} = isolate(fn -> 1 end, max_heap_size: 233)
      assert {:ok, 1} = isolate(fn -> 1 end, max_heap_size: 0x7FF_FFFF_FFFF_FFFF)
    end
  end

  describe "min_heap_size" do
    test "is what the work begins with, and keeps it from collecting" do
      work = fn ->
        _held = words(100_000)
        {_, collector} = Process.info(self(), :garbage_collection)
        {collector[:min_heap_size], collector[:minor_gcs]}
      end

      assert {:ok, {_, collected}} = isolate(work)
      assert collected > 0
      assert {:ok, {words, 0}} = isolate(work, min_heap_size: 200_000)
      assert words >= 200_000
    end

    test "above max_heap_size, also by rounding, is a mistake that is named" do
      for {min, max} <- [{1000, 999}, {1000, 1000}, {134_217_728, 1000}] do
        error =
          assert_raise ArgumentError, fn ->
            Memory.isolate(fn -> 1 end, min_heap_size: min, max_heap_size: max)
          end

        assert error.message =~ "invalid options in Memory.isolate/2: expected a :min_heap_size"
        assert error.message =~ "got: #{min} and #{max}"
        refute_received _anything
      end
    end
  end

  describe "max_binary_bytes" do
    # Holds what the function makes, and waits for its end.
    defp hold(make) do
      fn ->
        held = make.()

        receive do
          :never -> held
        end
      end
    end

    test "ends work whose binaries the heap does not show" do
      for make <- [
            fn -> :binary.copy("x", 20 * @mib) end,
            fn -> for _ <- 1..20, do: :binary.copy("x", @mib) end,
            # OTP 25 lists none that are being appended to.
            fn -> Enum.reduce(1..20, <<>>, fn _, all -> all <> :binary.copy("x", @mib) end) end,
            fn -> Process.put(:held, :binary.copy("x", 20 * @mib)) end,
            fn -> send(self(), {:held, :binary.copy("x", 20 * @mib)}) end
          ] do
        opts = [max_binary_bytes: 10 * @mib, max_heap_size: 1_000_000, timeout: 10_000]
        assert {:error, error} = isolate(hold(make), opts)
        assert error.error_type == :binary_limit
        assert %{max_binary_bytes: 10_485_760, bytes: bytes} = error.context
        assert bytes > 10 * @mib
      end
    end

    test "ends work that never stops appending" do
      grow = fn grow, held -> grow.(grow, held <> "0123456789") end
      work = fn -> grow.(grow, <<>>) end
      assert type(isolate(work, max_binary_bytes: 10 * @mib, timeout: 30_000)) == :binary_limit
    end

    test "what it was given counts" do
      given = :binary.copy("x", 20 * @mib)
      work = hold(fn -> given end)
      assert type(isolate(work, max_binary_bytes: 10 * @mib)) == :binary_limit
      # One that is not reached.
      assert type(isolate(work, max_binary_bytes: 30 * @mib, timeout: 100)) == :timeout
    end

    test "a binary that came many times counts once" do
      given = :binary.copy("x", 2 * @mib)
      table = :ets.new(:given, [:public])
      :ets.insert(table, {:given, given})
      work = hold(fn -> for _ <- 1..20, do: :ets.lookup(table, :given) end)
      assert type(isolate(work, max_binary_bytes: 10 * @mib, timeout: 200)) == :timeout
    end

    test "garbage that nobody has collected yet does not count" do
      # Three in the old generation, one after the other: too little for the VM to look there itself.
      old = fn _ ->
        held = :binary.copy("x", 100_000)
        for _ <- 1..2, do: :erlang.garbage_collect(self(), type: :minor)
        byte_size(held)
      end

      work = hold(fn -> Enum.map(1..3, old) end)
      assert type(isolate(work, max_binary_bytes: 200_000, timeout: 100)) == :timeout
    end

    test "garbage does not count" do
      # A thousand binaries of a megabyte, one after the other, over a longer time than one look.
      work = fn ->
        until = System.monotonic_time(:millisecond) + 200

        through = fn through ->
          :binary.copy("x", @mib)
          if(System.monotonic_time(:millisecond) < until, do: through.(through), else: :done)
        end

        through.(through)
      end

      assert isolate(work, max_binary_bytes: 4 * @mib) == {:ok, :done}
    end
  end

  describe "timeout" do
    test "ends the work, whatever it does" do
      loop = fn loop -> loop.(loop) end

      for work <- [
            fn -> Process.sleep(:infinity) end,
            fn -> loop.(loop) end,
            fn ->
              Process.flag(:trap_exit, true)
              Process.flag(:priority, :high)

              receive do
                :never -> :ok
              end
            end,
            # Its stack, and with it whoever would send a result, is gone.
            fn -> :erlang.hibernate(Function, :identity, [1]) end
          ],
          timeout <- [0, 50] do
        assert {:error, error} = isolate(work, timeout: timeout)
        assert error.error_type == :timeout
        assert error.context == %{timeout: timeout}
      end
    end

    test "is not delayed by native code that cannot be asked" do
      work = fn -> Foundation.BEAM.Term.Size.measure(exploding()) end

      for opts <- [[], [max_binary_bytes: @mib]] do
        # Once at least: a busy machine may hold up the caller itself.
        assert Enum.any?(1..5, fn _ ->
                 {took, result} = :timer.tc(fn -> isolate(work, [timeout: 50] ++ opts) end)
                 assert type(result) == :timeout
                 took < 2_000_000
               end)
      end
    end

    test "a late result goes nowhere" do
      test = self()

      work = fn ->
        send(test, {:worker, self()})

        receive do
          :go -> :late
        end
      end

      worker =
        Enum.find_value([20, 200, 2_000, 20_000], fn timeout ->
          {:error, %Error{error_type: :timeout}} = Memory.isolate(work, timeout: timeout)
          # On a busy machine it may not have begun by then.
          receive do: ({:worker, worker} -> worker), after: (0 -> nil)
        end)

      send(worker, :go)
      monitor = Process.monitor(worker)
      assert_receive {:DOWN, ^monitor, :process, ^worker, _}
      refute_received _anything
    end

    test "and neither does whatever comes to the reply address afterwards" do
      for {work, opts} <- [
            {fn -> :ok end, []},
            {fn -> receive(do: (:never -> :ok)) end, [timeout: 10]}
          ] do
        %Isolation{alias: reply} = started = Isolation.start(work, opts)
        Isolation.await(started)
        send(reply, {reply, {:ok, :late}})
        refute_received _anything
      end
    end

    test "results that race it leave nothing behind" do
      for _ <- 1..500 do
        case isolate(fn -> :ok end, timeout: 0) do
          {:ok, :ok} -> :ok
          {:error, %Error{error_type: :timeout}} -> :ok
        end
      end
    end

    test "ends work that was started apart" do
      work = Isolation.start(fn -> Process.sleep(:infinity) end, timeout: 30)
      {worker, monitor} = {work.worker, Process.monitor(work.worker)}
      assert type(Isolation.await(work)) == :timeout
      assert_receive {:DOWN, ^monitor, :process, ^worker, :killed}
    end

    test ":infinity" do
      assert isolate(fn -> 1 end, timeout: :infinity) == {:ok, 1}
    end
  end

  describe "mistakes in the call" do
    test "what is no function of arity 0 is named" do
      for fun <- [nil, :fun, 1, fn _ -> 1 end, &Enum.map/2, {__MODULE__, :run, []}] do
        assert_raise ArgumentError,
                     ~r/^expected a function of arity 0 in Memory.isolate\/2/,
                     fn ->
                       Memory.isolate(fun)
                     end
      end
    end

    test "options of a wrong type or out of bounds are named" do
      for {name, values} <- [
            max_heap_size: [0, -1, 232, 1.0, nil, 2 ** 59, 2 ** 100],
            min_heap_size: [-1, 1.0, :infinity, 134_217_729, 2 ** 100],
            max_binary_bytes: [0, -1, nil],
            timeout: [-1, 1.0, nil, 2 ** 32],
            max_size: [0, :infinity],
            result: [nil, :ets, "copy"]
          ],
          value <- values do
        error = assert_raise ArgumentError, fn -> Memory.isolate(fn -> 1 end, [{name, value}]) end
        assert error.message =~ "invalid option #{inspect(name)} in Memory.isolate/2"
      end

      assert_raise ArgumentError, ~r/unknown option :heap/, fn ->
        Memory.isolate(fn -> 1 end, heap: 1)
      end
    end
  end
end
