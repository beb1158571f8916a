defmodule Foundation.KernelsTogetherTest do
  # Jobs that meet: each has its own result, whoever else works, and whatever their callers do.
  # Changes the schedulers of the VM: not beside other tests.
  use ExUnit.Case
  use Foundation.NativeBytes

  import Foundation.KernelLoad

  alias Foundation.BEAM.Schedulers

  setup_all do
    make_data()
  end

  setup do
    on_exit(fn -> assert slots_free?() end)
    {:ok, alone: Map.new(all(), &{&1, digest(run(&1))})}
  end

  # The results themselves would be kept with the test.
  defp digest(result), do: :erlang.phash2(result, 0x1_0000_0000)

  defp at_once(jobs) do
    jobs |> Enum.map(&Task.async(fn -> {&1, digest(run(&1))} end)) |> Task.await_many(60_000)
  end

  defp assert_same(results, alone),
    do: for({job, digest} <- results, do: assert({job, digest} == {job, alone[job]}))

  test "a hundred callers at once have each its own result", %{alone: alone} do
    jobs = Enum.shuffle(for _ <- 1..7, job <- all(), do: job)
    assert length(jobs) > 100
    assert_same(at_once(jobs), alone)
  end

  test "dirty schedulers go offline and come back while jobs run", %{alone: alone} do
    # Where the parts of a sum of floats are others, its last bit may be.
    jobs = Enum.reject(all(), &match?({_data, :variance, _opts}, &1))
    online = :erlang.system_info(:dirty_cpu_schedulers_online)
    Foundation.Online.again()

    switching =
      spawn_link(fn ->
        Stream.cycle([1, online])
        |> Stream.each(fn count ->
          :erlang.system_flag(:dirty_cpu_schedulers_online, count)
          spin(2_000)
        end)
        |> Stream.run()
      end)

    for _ <- 1..3, do: assert_same(at_once(jobs), alone)
    Process.unlink(switching)
    monitor = Process.monitor(switching)
    Process.exit(switching, :kill)
    assert_receive {:DOWN, ^monitor, :process, _, :killed}

    :erlang.system_flag(:dirty_cpu_schedulers_online, 1)
    assert_same(at_once(jobs), alone)
  end

  test "the progress function runs other jobs", %{alone: alone} do
    inner = {:packed, :sort, [parallel: true]}

    for job <- [{:packed, :sort, []}, inner, {:text, :words, []}] do
      told = :counters.new(1, [])

      tell = fn _figures ->
        :counters.add(told, 1, 1)
        if :counters.get(told, 1) <= 3, do: assert(digest(run(inner)) == alone[inner])
      end

      assert digest(run(job, progress: tell, progress_interval: 0)) == alone[job]
      assert :counters.get(told, 1) > 1
    end
  end

  test "what the progress function raises ends the job, and leaves nothing" do
    for job <- all() do
      tell = fn _figures -> raise "enough" end

      assert_raise RuntimeError, "enough", fn ->
        run(job, progress: tell, progress_interval: 0)
      end
    end

    refute_received _
    assert Process.info(self(), :monitors) == {:monitors, []}
  end

  # A binary that was made by appending lies in a larger one, which moves when more is appended.
  test "a binary that its owner appends to meanwhile" do
    chunk = :crypto.strong_rand_bytes(100_000)

    append = fn binary, times ->
      for _ <- 1..times, reduce: binary, do: (binary -> <<binary::bitstring, chunk::binary>>)
    end

    for shift <- [0, 3], opts <- [[], [parallel: true]] do
      whole = append.(<<0::size(shift)>>, 20)
      <<_::size(shift), data::binary>> = whole
      Process.put(:whole, whole)
      tell = fn _figures -> Process.put(:whole, append.(Process.get(:whole), 2)) end
      opts = [progress: tell, progress_interval: 0] ++ opts

      for {data, copy, kernel} <- [
            {{:u64, data}, {:u64, :binary.copy(data)}, :sort},
            {[data, data], [:binary.copy(data), :binary.copy(data)], :compress_many}
          ] do
        expected = Schedulers.cpu_intensive(copy, {:native, kernel})
        assert Schedulers.cpu_intensive(data, {:native, kernel}, opts) == expected
      end

      assert bit_size(Process.delete(:whole)) > bit_size(whole)
    end
  end

  test "a caller with a long message queue that traps exits", %{alone: alone} do
    Process.flag(:trap_exit, true)
    for n <- 1..20_000, do: send(self(), {:message, n})
    assert_same(Enum.map(all(), &{&1, digest(run(&1))}), alone)
    assert {:messages, messages} = Process.info(self(), :messages)
    assert messages == for(n <- 1..20_000, do: {:message, n})
  end
end
