defmodule Foundation.BEAM.Memory.RankingTest do
  use ExUnit.Case, async: false

  alias Foundation.BEAM.Memory.Ranking
  alias Foundation.Stuck

  # A process that does what it is told: heaps are as the test makes them.
  defp holder(make) do
    to = self()

    pid =
      spawn_link(fn ->
        kept = make.()
        send(to, {self(), :ready})

        receive do
          :end -> kept
        end
      end)

    receive do
      {^pid, :ready} -> pid
    end
  end

  # All that it holds is in its old generation, the young one small.
  defp old(words) do
    holder(fn ->
      kept = Enum.to_list(1..div(words, 2))
      for _ <- 1..3, do: :erlang.garbage_collect(self(), type: :minor)
      kept
    end)
  end

  defp young(words), do: holder(fn -> Enum.to_list(1..div(words, 2)) end)

  defp minor_gcs(pid) do
    {:garbage_collection, collection} = Process.info(pid, :garbage_collection)
    collection[:minor_gcs]
  end

  test "the largest comes first, with the bytes that the VM says" do
    pids = Enum.map([200_000, 50_000, 400_000], &young/1)
    small = for _ <- 1..300, do: young(10)
    ranking = Ranking.rank(Enum.shuffle(pids ++ small), 3, 5_000)
    [second, third, first] = pids
    assert [{_, ^first, true}, {_, ^second, true}, {_, ^third, true} | _] = ranking.ranked

    for {bytes, pid, true} <- Enum.take(ranking.ranked, 3) do
      assert {:total_heap_size, div(bytes, 8)} == Process.info(pid, :total_heap_size)
    end

    assert %{unanswered: 0, not_looked_at: 0, long_queues: []} = ranking
    assert ranking.counted == 303
  end

  test "a process that holds all in its old generation does not hide" do
    hidden = old(400_000)
    assert minor_gcs(hidden) > 0
    {:heap_size, seen} = Process.info(hidden, :heap_size)
    others = for _ <- 1..20, do: young(100_000)
    ranking = Ranking.rank([hidden | others], 2, 5_000)
    assert [{bytes, ^hidden, true} | _] = ranking.ranked
    assert bytes >= 400_000 * 8
    assert bytes > seen * 8
  end

  test "the bytes are those of all heaps" do
    pids = [young(20_000), old(100_000), young(100)]
    ranking = Ranking.rank(pids, 1, 5_000)

    words =
      for pid <- pids, {:total_heap_size, words} = Process.info(pid, :total_heap_size), do: words

    # What lies beside a heap is in the total of the VM.
    assert_in_delta ranking.bytes, Enum.sum(words) * 8, 1_000
  end

  test "a long queue is told, and not walked" do
    long = old(10)
    for n <- 1..(Ranking.long_queue() + 1), do: send(long, n)
    ranking = Ranking.rank([long, young(10)], 5, 5_000)
    assert [{count, ^long}] = ranking.long_queues
    assert count == Ranking.long_queue() + 1
    assert {_bytes, ^long, false} = List.keyfind(ranking.ranked, long, 1)
    assert ranking.not_looked_at == 0
  end

  test "what there is no time for is counted" do
    pids = for _ <- 1..2_000, do: old(100)
    ranking = Ranking.rank(pids, 5, 1)
    assert ranking.counted + ranking.unanswered == 2_000
    assert ranking.unanswered + ranking.not_looked_at > 0
    assert Enum.all?(ranking.ranked, fn {bytes, _pid, _whole?} -> bytes > 0 end)
  end

  test "processes that have ended are in no figure" do
    gone = young(10)
    monitor = Process.monitor(gone)
    send(gone, :end)
    assert_receive {:DOWN, ^monitor, :process, ^gone, _}
    assert %{ranked: [], counted: 0, unanswered: 0, bytes: 0} = Ranking.rank([gone], 5, 1_000)
  end

  @tag :two_schedulers
  test "a process that does not answer is counted" do
    assert %{unanswered: 1, ranked: []} = Stuck.beside(&Ranking.rank([&1], 5, 1_000))
  end
end
