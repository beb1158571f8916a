defmodule Foundation.BEAM.Schedulers.FeederTest do
  # How a job's data gets to those who work on it.
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Feeder

  # What the processes of a call send and begin with, as trace messages: the caller, and all that it
  # starts.
  defp traced(call) do
    test = self()

    caller =
      spawn_link(fn ->
        receive do: (:begin -> :ok)
        call.()
        send(test, :done)
        receive do: (:never -> :ok)
      end)

    :erlang.trace(caller, true, [:send, :procs, :set_on_spawn])
    send(caller, :begin)
    assert_receive :done, 30_000
    delivered = :erlang.trace_delivered(:all)
    assert_receive {:trace_delivered, :all, ^delivered}, 30_000
    {:messages, messages} = Process.info(self(), :messages)
    Enum.filter(messages, &(is_tuple(&1) and elem(&1, 0) == :trace))
  end

  # Waits in the items that it is told to, until it may go on; says which other items it has done.
  defp waiting(test, slow?) do
    fn chunk ->
      if Enum.any?(chunk, slow?) do
        send(test, {:slow, chunk, self()})
        receive do: (:go_on -> [chunk])
      else
        send(test, {:done, length(chunk)})
        [chunk]
      end
    end
  end

  defp call(items, work, opts) do
    test = self()
    spawn_link(fn -> send(test, {:returned, Schedulers.cpu_intensive(items, work, opts)}) end)
  end

  defp await_done(0), do: :ok

  defp await_done(left) do
    assert_receive {:done, count}, 30_000
    await_done(left - count)
  end

  # A feeder of the numbers up to `count`, and two workers, which hand on what they get.
  defp feeder(count, unit) do
    test = self()
    state = Feeder.new({:range, 1, 1, count}, unit, 2, self(), make_ref())
    workers = for _ <- 1..2, do: spawn_link(fn -> hand_on(test) end)
    [spawn_link(fn -> Feeder.run(state) end) | workers]
  end

  defp hand_on(test) do
    receive do: (answer -> send(test, {self(), answer}))
    hand_on(test)
  end

  # What the feeder answers to that worker.
  defp asked(feeder, worker, wanted) do
    send(feeder, {:want, worker, wanted})
    assert_receive {^worker, answer}
    Tuple.delete_at(answer, 0)
  end

  test "what is not begun of a batch is taken back when nothing else is left" do
    [feeder, one, two] = feeder(8, 1)
    assert {0, {:range, 1, 1, 2}, {claim, 2}} = asked(feeder, one, 100)
    for at <- 2..7, do: assert({^at, {:range, _, 1, 1}, _} = asked(feeder, two, 1))
    :atomics.put(claim, 1, 1)
    # The second item of the first batch.
    assert {1, {:range, 2, 1, 1}, _} = asked(feeder, two, 100)
    # Whoever has that finds everything begun.
    assert :atomics.get(claim, 1) == 2
    assert {:none} = asked(feeder, two, 100)
    assert {:none} = asked(feeder, one, 100)
  end

  test "a batch of one chunk, which its worker is about to begin, is not taken back" do
    [feeder, one, two] = feeder(3, 3)
    assert {0, {:range, 1, 1, 3}, _claim} = asked(feeder, one, 3)
    assert {:none} = asked(feeder, two, 3)
    assert {:none} = asked(feeder, one, 3)
  end

  test "a slow chunk keeps no other from being worked on, wherever it is" do
    for items <- [Enum.to_list(1..9_999), 1..9_999, Map.new(1..9_999, &{&1, &1})],
        size <- [1, 3] do
      slow = items |> Enum.at(5_000)

      opts = [
        chunk_size: size,
        max_concurrency: 2,
        progress: self(),
        progress_interval: 3_600_000
      ]

      call(items, waiting(self(), &(&1 == slow)), opts)
      assert_receive {:slow, _chunk, worker}, 30_000
      # Those that were given to the same worker after it are taken back.
      await_done(9_999 - size)
      send(worker, :go_on)
      assert_receive {:returned, result}, 30_000
      assert result == Enum.chunk_every(items, size)
      assert_receive {:cpu_progress, _, %{done: 9_999, total: 9_999}}
    end
  end

  test "heavy items that are neighbours are shared out" do
    heavy? = &(&1 in 5_001..5_016)
    call(Enum.to_list(1..10_000), waiting(self(), heavy?), chunk_size: 1, max_concurrency: 4)

    # Every worker is in one of them at once, as long as there are enough.
    for _ <- 1..4 do
      workers =
        for _ <- 1..4 do
          assert_receive {:slow, [_], worker}, 30_000
          worker
        end

      assert length(Enum.uniq(workers)) == 4
      Enum.each(workers, &send(&1, :go_on))
    end

    assert_receive {:returned, result}, 30_000
    assert result == Enum.map(1..10_000, &[&1])
  end

  test "chunks of :auto after a slow one are taken back too" do
    test = self()

    # The workers' first chunks have one item, so the second is in a chunk of its own or begins one.
    slow = fn chunk ->
      if 5_000 in chunk,
        do: waiting(test, &(&1 == 5_000)).(chunk),
        else: waiting(test, &(!&1)).(chunk)
    end

    call(Enum.to_list(1..10_000), slow, max_concurrency: 2)
    assert_receive {:slow, chunk, worker}, 30_000
    await_done(10_000 - length(chunk))
    send(worker, :go_on)
    assert_receive {:returned, result}, 30_000
    assert Enum.concat(result) == Enum.to_list(1..10_000)
  end

  test "no message or start of a process copies more than some thousand items at once" do
    list = Enum.to_list(1..50_000)
    map = Map.new(list, &{&1, &1})

    for {data, way} <- [
          {list, [timeout: 60_000]},
          {list, [max_concurrency: 2]},
          {list, [max_concurrency: 2, chunk_size: 3]},
          {1..50_000, [max_concurrency: 2, chunk_size: 100]},
          {map, [max_concurrency: 2, chunk_size: 100]}
        ] do
      sizes =
        for message <- traced(fn -> Schedulers.cpu_intensive(data, & &1, way) end),
            do: message |> copied() |> :erts_debug.flat_size()

      # A list of so many takes twice as many words, one of pairs five times.
      assert Enum.max(sizes) < 5 * 4_096 + 500
      # And it is not one message an item.
      assert length(sizes) < 10_000
    end
  end

  defp copied({:trace, _pid, :send, message, _to}), do: message
  defp copied({:trace, _pid, :spawn, _child, {_module, _function, args}}), do: args
  defp copied(_other), do: nil

  test "a list of cheap items, a range and a map are shared in batches" do
    for data <- [Enum.to_list(1..10_000), 1..10_000, Map.new(1..10_000, &{&1, &1})] do
      opts = [max_concurrency: 2, chunk_size: 1]

      asked =
        for {:trace, _pid, :send, {:want, _, _}, _to} <-
              traced(fn -> Schedulers.cpu_intensive(data, & &1, opts) end),
            do: 1

      assert length(asked) < 2_500
    end
  end

  test "of a stream nothing is read beyond the chunks that are wanted" do
    test = self()
    stream = Stream.each(1..100, &send(test, {:read, &1}))
    work = waiting(test, fn _ -> true end)
    call(stream, work, chunk_size: 2, max_concurrency: 2)
    assert_receive {:slow, [_, _], first}
    assert_receive {:slow, [_, _], second}
    assert_received {:read, 4}
    refute_received {:read, 5}
    send(first, :go_on)
    assert_receive {:slow, [5, 6], ^first}
    refute_received {:read, 7}
    Enum.each([first, second], &Process.unlink/1)
  end
end
