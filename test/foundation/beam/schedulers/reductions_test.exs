defmodule Foundation.BEAM.Schedulers.ReductionsTest do
  use ExUnit.Case, async: false

  import Foundation.BEAM.Schedulers, only: [reductions: 1, yield_every: 2]

  defp loop(n), do: Enum.each(1..n, & &1)

  describe "reductions" do
    test "of nothing are 0, of a loop in proportion to its length" do
      # A collection that falls into a call counts.
      assert Enum.min(for _ <- 1..10, do: reductions(fn -> :ok end)) == {:ok, 0}
      # Each of them takes several turns on the scheduler.
      {:ok, one} = reductions(fn -> loop(10_000) end)
      {:ok, three} = reductions(fn -> loop(30_000) end)
      assert_in_delta three / one, 3, 0.1
    end

    test "are what the VM counts: those of a call that says how many it uses" do
      {true, count} = reductions(fn -> :erlang.bump_reductions(3_000) end)
      assert_in_delta count, 3_000, 50
    end

    test "are the caller's alone" do
      work = fn -> loop(100_000) end
      {:ok, alone} = reductions(work)
      {:ok, count} = reductions(fn -> Task.await(Task.async(work)) end)
      assert count < alone / 10
    end

    test "what the function raises or throws comes out as it is" do
      assert_raise RuntimeError, "wrong", fn -> reductions(fn -> raise "wrong" end) end
      assert catch_throw(reductions(fn -> throw(:ball) end)) == :ball
    end

    test "a function of another arity is refused" do
      for fun <- [& &1, nil, :fun] do
        assert_raise ArgumentError,
                     ~r/expected a function of arity 0 in Schedulers.reductions\/1/,
                     fn ->
                       reductions(fun)
                     end
      end
    end
  end

  # How often a process that does the work gives up its scheduler by itself, and the reductions that
  # it uses.
  defp yields(work) do
    test = self()
    # Loading code is waiting for a process.
    work.()

    pid =
      spawn_link(fn ->
        receive do: (:go -> :ok)
        {_result, count} = reductions(work)
        send(test, {:reductions, count})
        receive do: (:stop -> :ok)
      end)

    :erlang.trace(pid, true, [:running])
    send(pid, :go)
    assert_receive {:reductions, count}, 30_000
    :erlang.trace(pid, false, [:running])
    delivered = :erlang.trace_delivered(pid)
    assert_receive {:trace_delivered, ^pid, ^delivered}
    send(pid, :stop)
    {outs(pid, 0), count}
  end

  defp outs(pid, count) do
    receive do
      {:trace, ^pid, :out, {_module, :yield, 0}} -> outs(pid, count + 1)
      {:trace, ^pid, _in_or_out, _mfa} -> outs(pid, count)
    after
      0 -> count
    end
  end

  describe "yield_every" do
    test "gives up the scheduler each time that n reductions are used" do
      assert {0, _count} = yields(fn -> Enum.each(1..200_000, & &1) end)

      for n <- [200, 500, 1_000, 2_000, 10_000] do
        {yields, count} = yields(fn -> 1..200_000 |> yield_every(n) |> Enum.each(& &1) end)
        # Looked at each quarter: never early, and late by a quarter and one element.
        assert yields <= count / n, "#{yields} of #{count / n}"
        assert yields >= count / n / 1.4, "#{yields} of #{count / n}"
      end
    end

    test "counts the work of the loop's body, also where it grows at once" do
      # Of the small ones thousands would fit between two looks.
      body = fn n -> if n > 10_000, do: :erlang.bump_reductions(1_000) end
      {yields, count} = yields(fn -> 1..11_000 |> yield_every(100_000) |> Enum.each(body) end)
      assert yields >= count / 100_000 / 1.4 - 1, "#{yields} of #{count / 100_000}"
      assert yields > 2
    end

    test "an element that uses more than n is followed by one yield" do
      work = fn ->
        1..100 |> yield_every(100) |> Enum.each(fn _ -> :erlang.bump_reductions(300) end)
      end

      # The last one is followed by no element.
      assert {99, _count} = yields(work)
    end

    test "a walk goes on yielding in a process that has used less" do
      step = fn
        1, _acc -> {:suspend, :first}
        n, _acc -> {:cont, n}
      end

      loop(1_000_000)

      {:suspended, :first, rest} =
        1..20_000 |> yield_every(500) |> Enumerable.reduce({:cont, nil}, step)

      {yields, count} = yields(fn -> {:done, 20_000} = rest.({:cont, nil}) end)
      assert yields >= count / 500 / 1.4, "#{yields} of #{count / 500}"
    end

    test "is the enumerable, for everything that walks it" do
      for items <- [
            [],
            [1],
            Enum.to_list(1..1_000),
            1..10,
            %{a: 1},
            MapSet.new(1..40),
            Stream.map(1..9, &{&1})
          ] do
        wrapped = yield_every(items, 7)
        list = Enum.to_list(items)
        assert Enum.to_list(wrapped) == list
        assert Enum.count(wrapped) == length(list)
        assert Enum.take(wrapped, 3) == Enum.take(list, 3)
        assert Enum.slice(wrapped, 1, 2) == Enum.slice(list, 1, 2)
        assert Enum.at(wrapped, 2) == Enum.at(list, 2)
        assert Enum.member?(wrapped, 2) == Enum.member?(list, 2)
        assert Enum.zip(wrapped, wrapped) == Enum.zip(list, list)
        assert Enum.to_list(Stream.zip(wrapped, items)) == Enum.zip(list, list)
        assert Enum.reverse(wrapped) == Enum.reverse(list)
        assert for(item <- wrapped, do: [item]) == Enum.map(list, &[&1])
        assert wrapped |> Stream.chunk_every(2) |> Enum.to_list() == Enum.chunk_every(list, 2)
      end

      assert 1..10 |> yield_every(1) |> yield_every(3) |> Enum.sum() == 55
    end

    test "walks no further than is wanted, and tells the source of an early end" do
      test = self()

      source =
        Stream.resource(fn -> 1 end, fn n -> send(test, n) && {[n], n + 1} end, fn _ ->
          send(test, :closed)
        end)

      assert source |> yield_every(10) |> Enum.take(2) == [1, 2]
      assert_received 2
      assert_received :closed
      refute_received 3
    end

    test "a walk can be suspended, and go on in another process" do
      step = fn item, acc -> {:suspend, [item | acc]} end
      {:suspended, [1], rest} = 1..3 |> yield_every(5) |> Enumerable.reduce({:cont, []}, step)
      # A young process, whose count is lower.
      task = Task.async(fn -> rest.({:cont, [1]}) end)
      assert {:suspended, [2, 1], rest} = Task.await(task)
      assert {:suspended, [3, 2, 1], rest} = rest.({:cont, [2, 1]})
      assert rest.({:cont, :end}) == {:done, :end}
      assert {:halted, :left} = 1..3 |> yield_every(5) |> Enumerable.reduce({:halt, :left}, step)
    end

    test "wrong arguments are refused at once" do
      for n <- [0, -1, 1.5, nil, :infinity] do
        assert_raise ArgumentError,
                     ~r/expected a positive integer in Schedulers.yield_every\/2/,
                     fn ->
                       yield_every([1], n)
                     end
      end

      for {items, text} <- [
            {7, "an enumerable in Schedulers.yield_every/2, got: 7"},
            {fn -> 1 end, "an enumerable in Schedulers.yield_every/2, got: #Function<"},
            {[1 | 2], "a proper list in Schedulers.yield_every/2, got: [1 | 2]"}
          ] do
        error = assert_raise ArgumentError, fn -> yield_every(items, 10) end
        assert error.message =~ "expected " <> text
      end
    end
  end
end
