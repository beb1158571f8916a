defmodule Foundation.BEAM.SharedStore.AtomicTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Stores

  alias Foundation.BEAM.SharedStore

  defp at_once(count, fun) do
    1..count |> Enum.map(&Task.async(fn -> fun.(&1) end)) |> Task.await_many(60_000)
  end

  describe "increment" do
    test "adds integers and floats, as Kernel.+/2 does" do
      store = SharedStore.new()

      for {first, by} <- [
            {1, 1},
            {1, -5},
            {1, 0.5},
            {1.5, 1},
            {1.5, 1.5},
            {0, 0},
            {2 ** 63 - 1, 1},
            {-(2 ** 63), -1},
            {2 ** 62, 2 ** 62},
            {2 ** 64, 1},
            {2 ** 64, -(2 ** 64)},
            {2 ** 100, 2 ** 100},
            {1, 2 ** 100},
            {2 ** 53 + 1, 0.0},
            {2 ** 100, 1.0},
            {1.0e308, -1.0e308}
          ] do
        SharedStore.put(store, :key, first)
        assert SharedStore.increment(store, :key, by) === {:ok, first + by}
        assert SharedStore.fetch(store, :key) === {:ok, first + by}
      end
    end

    test "a missing key counts from :initial" do
      store = SharedStore.new()
      assert SharedStore.increment(store, :a) === {:ok, 1}
      assert SharedStore.increment(store, :b, 5) === {:ok, 5}
      assert SharedStore.increment(store, :c, 5, initial: 10.0) === {:ok, 15.0}
      assert SharedStore.increment(store, :c, 5, initial: 10.0) === {:ok, 20.0}
      assert SharedStore.increment(store, :d, 2 ** 70, initial: 1) === {:ok, 2 ** 70 + 1}
      assert SharedStore.increment(store, :e, 1, initial: 2 ** 70) === {:ok, 2 ** 70 + 1}
    end

    test "what is no number stays, and so does what a float cannot hold" do
      store = SharedStore.new()

      for value <- [:a, nil, "1", [1], {1}, %{}, medium()], by <- [1, 1.0, 2 ** 70] do
        SharedStore.put(store, :key, value)
        assert error_type(SharedStore.increment(store, :key, by)) == :not_a_number
        assert SharedStore.fetch(store, :key) === {:ok, value}
      end

      for {first, by} <- [{1.7e308, 1.7e308}, {-1.7e308, -1.7e308}, {2 ** 2000, 1.0}] do
        SharedStore.put(store, :key, first)
        assert error_type(SharedStore.increment(store, :key, by)) == :not_a_number
        assert SharedStore.fetch(store, :key) === {:ok, first}
      end
    end

    test "of many processes none is lost, at one word, past it and as floats" do
      store = SharedStore.new()

      for {first, by} <- [{0, 1}, {2 ** 63 - 100, 1}, {2 ** 70, 2 ** 70}, {0.0, 0.5}] do
        SharedStore.put(store, :key, first)

        at_once(8, fn _ ->
          for _ <- 1..250, do: {:ok, _} = SharedStore.increment(store, :key, by)
        end)

        assert SharedStore.fetch(store, :key) === {:ok, first + 2_000 * by}
      end
    end
  end

  describe "update" do
    test "puts what the function makes of the value, of any size" do
      store = SharedStore.new()

      for value <- [1, medium(), large()] do
        SharedStore.put(store, :key, value)
        assert SharedStore.update(store, :key, &{:was, &1}) === {:ok, {:was, value}}
        assert SharedStore.update(store, :key, fn _ -> value end) === {:ok, value}
        assert SharedStore.fetch(store, :key) === {:ok, value}
      end
    end

    test "a missing key takes :initial without a call of the function" do
      store = SharedStore.new()
      refused = fn _ -> raise "called" end
      assert error_type(SharedStore.update(store, :key, refused)) == :not_found
      assert SharedStore.update(store, nil, refused, initial: nil) == {:ok, nil}
      assert SharedStore.fetch(store, nil) == {:ok, nil}
      assert SharedStore.update(store, :large, refused, initial: large()) == {:ok, large()}
    end

    test "of many processes none is lost, on values small and large" do
      store = SharedStore.new()

      for rest <- [[], medium(), large()] do
        SharedStore.put(store, :key, {0, rest})
        add = fn {count, rest} -> {count + 1, rest} end

        at_once(4, fn _ -> for _ <- 1..25, do: {:ok, _} = SharedStore.update(store, :key, add) end)

        assert SharedStore.fetch_in(store, :key, [0]) == {:ok, 100}
      end
    end

    test "a change that comes between is seen by a second run of the function" do
      store = SharedStore.new()
      SharedStore.put(store, :key, 1)
      test = self()

      fun = fn value ->
        send(test, {:ran, value})
        if value == 1, do: SharedStore.put(store, :key, 10)
        value + 1
      end

      assert SharedStore.update(store, :key, fun) == {:ok, 11}
      assert_received {:ran, 1}
      assert_received {:ran, 10}
      refute_received {:ran, _}
    end

    test "an entry that was removed and put again in between is another" do
      store = SharedStore.new()

      for value <- [1, medium()] do
        SharedStore.put(store, :key, value)
        runs = :counters.new(1, [])

        fun = fn value ->
          :counters.add(runs, 1, 1)

          if :counters.get(runs, 1) == 1 do
            SharedStore.delete(store, :key)
            SharedStore.put(store, :key, value)
          end

          {:of, value}
        end

        assert SharedStore.update(store, :key, fun) == {:ok, {:of, value}}
        assert :counters.get(runs, 1) == 2
      end
    end

    test "a function that fails leaves the value, and nothing held" do
      store = SharedStore.new()

      for value <- [1, medium(), large()],
          change <- [&SharedStore.update/3, &SharedStore.get_and_update/3] do
        SharedStore.put(store, :key, value)

        assert_raise RuntimeError, "mine", fn ->
          change.(store, :key, fn _ -> raise "mine" end)
        end

        assert catch_throw(change.(store, :key, fn _ -> throw(:mine) end)) == :mine
        assert catch_exit(change.(store, :key, fn _ -> exit(:mine) end)) == :mine

        {pid, monitor} =
          spawn_monitor(fn ->
            change.(store, :key, fn _ -> Process.exit(self(), :kill) && :never end)
          end)

        assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
        assert SharedStore.fetch(store, :key) === {:ok, value}
        assert SharedStore.update(store, :key, fn _ -> :free end) == {:ok, :free}
      end
    end
  end

  describe "get_and_update" do
    test "gives the one and puts the other, of any size" do
      store = SharedStore.new()

      for value <- [1, medium(), large()] do
        SharedStore.put(store, :key, value)
        assert SharedStore.get_and_update(store, :key, &{&1, {:new, &1}}) === {:ok, value}
        assert SharedStore.fetch(store, :key) === {:ok, {:new, value}}
      end
    end

    test "a missing key is nil" do
      store = SharedStore.new()
      assert SharedStore.get_and_update(store, :key, &{{:was, &1}, 1}) == {:ok, {:was, nil}}
      assert SharedStore.fetch(store, :key) == {:ok, 1}
    end

    test ":pop removes and gives the value" do
      store = SharedStore.new()

      for value <- [1, nil, medium(), large()] do
        SharedStore.put(store, :key, value)
        assert SharedStore.get_and_update(store, :key, fn ^value -> :pop end) === {:ok, value}
        refute SharedStore.member?(store, :key)
        assert SharedStore.size(store) == 0
        assert SharedStore.get_and_update(store, :key, fn nil -> :pop end) == {:ok, nil}
      end

      assert {:ok, %{expirations: 0}} = SharedStore.stats(store)
    end

    test ":pop does not remove a value that came in between" do
      store = SharedStore.new()
      SharedStore.put(store, :key, 1)

      fun = fn
        1 -> SharedStore.put(store, :key, 2) && :pop
        2 -> {:kept, 3}
      end

      assert SharedStore.get_and_update(store, :key, fun) == {:ok, :kept}
      assert SharedStore.fetch(store, :key) == {:ok, 3}
    end

    test "of many that pop and push none is lost" do
      store = SharedStore.new()

      popped =
        at_once(8, fn id ->
          for n <- 1..50 do
            {:ok, got} =
              if rem(n, 2) == 0,
                do: SharedStore.get_and_update(store, :key, &{nil, [{id, n} | &1 || []]}),
                else: SharedStore.get_and_update(store, :key, fn _ -> :pop end)

            got || []
          end
        end)

      left = SharedStore.get(store, :key, [])
      assert length(List.flatten([left, popped])) == 8 * 25
    end

    test "anything else that the function returns raises, and nothing is put" do
      store = SharedStore.new()
      SharedStore.put(store, :key, 1)

      for other <- [:ok, nil, {1, 2, 3}, [1, 2]] do
        assert_raise ArgumentError, ~r/to return {get, new} or :pop, got: /, fn ->
          SharedStore.get_and_update(store, :key, fn _ -> other end)
        end
      end

      assert SharedStore.fetch(store, :key) == {:ok, 1}
    end
  end

  describe "compare_and_put" do
    test "puts where the value is exactly the expected one" do
      store = SharedStore.new()

      for value <- [1, medium(), large()] do
        SharedStore.put(store, :key, value)
        assert error_type(SharedStore.compare_and_put(store, :key, :other, 2)) == :conflict
        assert SharedStore.fetch(store, :key) === {:ok, value}
        assert SharedStore.compare_and_put(store, :key, value, :new) == :ok
        assert SharedStore.fetch(store, :key) == {:ok, :new}
      end

      SharedStore.put(store, :key, 1)
      assert error_type(SharedStore.compare_and_put(store, :key, 1.0, 2)) == :conflict
      assert error_type(SharedStore.compare_and_put(store, :none, 1, 2)) == :not_found
      refute SharedStore.member?(store, :none)
    end

    test "of many at once one succeeds" do
      store = SharedStore.new()

      for round <- 1..50 do
        SharedStore.put(store, :key, round)
        results = at_once(4, &SharedStore.compare_and_put(store, :key, round, {:by, &1}))
        assert [:ok] = Enum.filter(results, &(&1 == :ok))
        assert {:ok, {:by, _}} = SharedStore.fetch(store, :key)
      end
    end
  end
end
