defmodule Foundation.BEAM.SharedStore.FlightsTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.{Eventually, FlightProcesses, Stores}

  alias Foundation.BEAM.SharedStore
  alias Foundation.BEAM.SharedStore.Flights
  alias Foundation.Error

  setup do
    on_exit(fn -> assert eventually?(&nothing_left?/0) end)
  end

  test "no double execution: 100 processes that ask at once run the function once" do
    for round <- 1..20 do
      store = SharedStore.new()
      runs = :counters.new(1, [])
      gate = make_ref()

      fun = fn ->
        :counters.add(runs, 1, 1)
        :erlang.yield()
        {:value, round}
      end

      askers =
        askers(100, fn ->
          receive do: (^gate -> SharedStore.get_or_store(store, :key, fun))
        end)

      for {pid, _} <- askers, do: send(pid, gate)
      assert Enum.uniq(results(askers)) == [{:ok, {:value, round}}]
      assert :counters.get(runs, 1) == 1
    end
  end

  test "no double execution: a computation that ends between a miss and the joining is found" do
    store = SharedStore.new()
    # The store of the flight is asked after the lead is given: by then the other has landed.
    look = fn ->
      SharedStore.put(store, :key, :of_the_other)
      SharedStore.fetch(store, :key)
    end

    keep = fn _ -> flunk("computed twice") end
    access = %{look: look, keep: keep}
    opts = %{timeout: 60_000, on_crash: :error}

    assert Flights.run(flight(store, :key), access, fn -> flunk("computed twice") end, opts) ==
             {:ok, :of_the_other}
  end

  test "a value that is there is given without a computation" do
    store = SharedStore.new()

    for value <- [nil, false, medium(), large()] do
      SharedStore.put(store, :key, value)
      assert SharedStore.get_or_store(store, :key, fn -> flunk("run") end) === {:ok, value}
    end
  end

  test "those who wait get the value handed over: large, not stored, and gone again" do
    for {limits, opts, value} <- [
          {[], [], large()},
          {[max_bytes: 10_000], [], large()},
          {[], [ttl: 0], {:gone, 1}},
          {[compress_above: 1_000], [], medium()}
        ] do
      store = SharedStore.new(limits)
      {pid, monitor} = leader(store, :key, opts)

      waiting =
        askers(5, fn -> SharedStore.get_or_store(store, :key, fn -> :second end, opts) end)

      assert eventually?(fn -> waiting(flight(store, :key)) == 5 end)
      send(pid, {:compute, fn -> value end})
      assert results([{pid, monitor} | waiting]) === List.duplicate({:ok, value}, 6)
    end
  end

  test "keys that differ, also 1 and 1.0, and stores that differ, are computed side by side" do
    store = SharedStore.new()
    other = SharedStore.new()
    {one, m1} = leader(store, 1)
    {float, m2} = leader(store, 1.0)
    {apart, m3} = leader(other, 1)
    for {pid, n} <- [{one, 1}, {float, 2}, {apart, 3}], do: send(pid, {:compute, fn -> n end})
    assert results([{one, m1}, {float, m2}, {apart, m3}]) == [{:ok, 1}, {:ok, 2}, {:ok, 3}]
  end

  test "a name and the handle of the same store are one flight" do
    pid = start_supervised!({SharedStore, name: :flights_test})
    handle = :sys.get_state(pid)
    {leader, monitor} = leader(:flights_test, :key)
    [asker] = askers(1, fn -> SharedStore.get_or_store(handle, :key, fn -> :second end) end)
    assert eventually?(fn -> waiting(flight(handle, :key)) == 1 end)
    send(leader, {:compute, fn -> :first end})
    assert results([{leader, monitor}, asker]) == [{:ok, :first}, {:ok, :first}]
  end

  test "what is put meanwhile stays, and is the result of everybody" do
    store = SharedStore.new()
    {pid, monitor} = leader(store, :key)
    [asker] = askers(1, fn -> SharedStore.get_or_store(store, :other, fn -> :unrelated end) end)
    SharedStore.put(store, :key, :explicit)
    send(pid, {:compute, fn -> :computed end})
    assert results([{pid, monitor}, asker]) == [{:ok, :explicit}, {:ok, :unrelated}]
    assert SharedStore.fetch(store, :key) == {:ok, :explicit}
  end

  # Processes that go on afterwards: what the end of a process clears does not count.
  test "a computation leaves nothing with those who computed and waited" do
    store = SharedStore.new()
    test = self()

    processes =
      for n <- 1..5 do
        spawn_link(fn ->
          SharedStore.get_or_store(store, :key, fn ->
            send(test, {:leads, self()})
            receive do: (:go -> :value)
          end)

          send(test, {:done, n})
          receive do: (:never -> :ok)
        end)
      end

    assert_receive {:leads, leader}
    assert eventually?(fn -> waiting(flight(store, :key)) == 4 end)
    send(leader, :go)
    for n <- 1..5, do: assert_receive({:done, ^n})
    assert eventually?(&nothing_left?/0)
    assert Enum.all?(processes, &Process.alive?/1)
  end

  describe "timeout" do
    test "one who goes on after it is forgotten all the same" do
      store = SharedStore.new()
      {pid, monitor} = leader(store, :key)
      ask = fn timeout -> SharedStore.get_or_store(store, :key, &never/0, timeout: timeout) end
      for timeout <- [0, 1, 20], do: assert(error_type(ask.(timeout)) == :timeout)
      assert eventually?(fn -> waiting(flight(store, :key)) == 0 end)
      send(pid, {:compute, fn -> :first end})
      assert results([{pid, monitor}]) == [{:ok, :first}]
      refute_received _
    end

    defp never, do: flunk("computed")

    test "one who has waited long enough is forgotten; nothing comes later" do
      store = SharedStore.new()
      {pid, monitor} = leader(store, :key)
      ask = fn -> SharedStore.get_or_store(store, :key, fn -> :second end, timeout: 20) end
      assert [{:error, %Error{error_type: :timeout}}] = results(askers(1, ask))
      assert eventually?(fn -> waiting(flight(store, :key)) == 0 end)
      send(pid, {:compute, fn -> :first end})
      assert results([{pid, monitor}]) == [{:ok, :first}]
    end

    test "0 waits for nobody, and still computes where nobody does" do
      store = SharedStore.new()
      ask = fn -> SharedStore.get_or_store(store, :key, fn -> :mine end, timeout: 0) end
      {pid, monitor} = leader(store, :key)
      assert [{:error, %Error{error_type: :timeout}}] = results(askers(1, ask))
      send(pid, {:compute, fn -> :first end})
      assert results([{pid, monitor}]) == [{:ok, :first}]
      SharedStore.delete(store, :key)
      assert results(askers(1, ask)) == [{:ok, :mine}]
    end

    test "at the very moment of the result: the one or the other, and an empty mailbox" do
      store = SharedStore.new()

      for n <- 1..200 do
        SharedStore.delete(store, :key)
        {pid, monitor} = leader(store, :key)

        waiting =
          askers(3, fn ->
            SharedStore.get_or_store(store, :key, fn -> :own end, timeout: rem(n, 4))
          end)

        send(pid, {:compute, fn -> for(_ <- 1..(rem(n, 10) * 1_000)//1, do: n) && :first end})

        for result <- results([{pid, monitor} | waiting]) do
          assert match?({:ok, :first}, result) or
                   match?({:error, %{error_type: :timeout}}, result)
        end
      end
    end
  end

  test "a function that asks for its own key gets an error" do
    store = SharedStore.new()
    ask = fn fun -> SharedStore.get_or_store(store, :key, fun, timeout: :infinity) end
    assert {:ok, {:error, %Error{error_type: :reentrant}}} = ask.(fn -> ask.(fn -> 1 end) end)
  end

  test "a function may ask for another key, and put its own" do
    store = SharedStore.new()

    fun = fn ->
      SharedStore.put(store, :own, 5)
      {:ok, inner} = SharedStore.get_or_store(store, :inner, fn -> 1 end)
      inner + 1
    end

    assert SharedStore.get_or_store(store, :outer, fun) == {:ok, 2}
    assert SharedStore.get_or_store(store, :own, fun) == {:ok, 5}
  end

  test "a store that ends meanwhile: whoever computed has the value, later ones :noproc" do
    store = SharedStore.new()
    {pid, monitor} = leader(store, :key)
    waiting = askers(2, fn -> SharedStore.get_or_store(store, :key, fn -> :second end) end)
    assert eventually?(fn -> waiting(flight(store, :key)) == 2 end)
    SharedStore.close(store)
    send(pid, {:compute, fn -> :first end})
    assert Enum.uniq(results([{pid, monitor} | waiting])) == [{:ok, :first}]
    assert error_type(SharedStore.get_or_store(store, :key, fn -> 1 end)) == :noproc
  end
end
