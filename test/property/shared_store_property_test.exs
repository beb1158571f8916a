defmodule Foundation.SharedStorePropertyTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes
  use Foundation.Property

  import Foundation.{AnyTerm, Paths}

  alias Foundation.BEAM.{SharedStore, SharedTerm}
  alias Foundation.SharedStoreModel
  alias Foundation.SharedStoreModel.{Hasty, Real}

  describe "any term" do
    property "as key and value comes back as it went in", runs: 300 do
      stores = [SharedStore.new(), SharedStore.new(compress_above: 100)]

      forall {key, value} <- {any_term(), any_term()} do
        Enum.all?(stores, fn store ->
          :ok = SharedStore.put(store, key, value)

          SharedStore.fetch(store, key) === {:ok, value} and
            SharedStore.fetch_in(store, key, []) === {:ok, value} and
            SharedStore.fetch_many(store, [key]) === {:ok, [{key, value}]} and
            Enum.to_list(SharedStore.stream(store)) === [{key, value}] and
            Enum.to_list(SharedStore.stream(store, :keys)) === [key] and
            SharedStore.update(store, key, &{&1}) === {:ok, {value}} and
            SharedStore.compare_and_put(store, key, {value}, value) == :ok and
            SharedStore.take(store, key) === {:ok, value} and
            SharedStore.size(store) == 0
        end)
      end
    end

    property "as keys: a store holds what a map holds", runs: 200 do
      forall pairs <- list({oneof([any_term(), edge(), bind(edge(), &number/1)]), integer()}) do
        store = SharedStore.new()
        map = Map.new(pairs)
        :ok = SharedStore.put_many(store, pairs)

        SharedStore.size(store) == map_size(map) and
          Map.new(SharedStore.stream(store)) === map and
          Enum.all?(map, fn {key, value} -> SharedStore.fetch(store, key) === {:ok, value} end) and
          SharedStore.delete_many(store, Map.keys(map)) == :ok and
          SharedStore.size(store) == 0
      end
    end

    # The float beside an integer, where there is one that equals it.
    defp number(integer) when abs(integer) < 0x20_0000_0000_0000, do: integer * 1.0
    defp number(integer), do: integer
  end

  property "a path leads where it leads in a shared term, compressed or not", runs: 300 do
    stores = [SharedStore.new(), SharedStore.new(compress_above: 1)]

    forall {given, path} <- bind(nested(), fn given -> {exactly(given), path(given)} end) do
      expected = given |> SharedTerm.new() |> SharedTerm.fetch_in(path)

      Enum.all?(stores, fn store ->
        :ok = SharedStore.put(store, :key, given)

        SharedStore.fetch_in(store, :key, path) === expected and
          Enum.to_list(SharedStore.stream(store, {:path, path})) ===
            for({:ok, part} <- [expected], do: {:key, part})
      end)
    end
  end

  describe "calls in any order" do
    for {kind, opts} <- [plain: [], compressed: [compress_above: 100_000]] do
      @opts opts
      property "from one process behave like a map, #{kind}", runs: 150 do
        store = SharedStore.new(@opts)

        forall commands <- :proper_statem.commands(SharedStoreModel, start(Real, store)) do
          :ok = SharedStore.clear(store)
          {_history, state, result} = :proper_statem.run_commands(SharedStoreModel, commands)

          result == :ok and contents(store) == state.map
        end
      end

      property "from two processes at once behave like some order of them, #{kind}", runs: 150 do
        at_once(Real, SharedStore.new(@opts))
      end
    end

    # Alone it is right, so what the property catches is the step between.
    test "an increment that is no single step is caught by the property above, and only there" do
      store = SharedStore.new()

      alone =
        forall commands <- :proper_statem.commands(SharedStoreModel, start(Hasty, store)) do
          :ok = SharedStore.clear(store)
          {_history, _state, result} = :proper_statem.run_commands(SharedStoreModel, commands)
          result == :ok
        end

      assert :proper.quickcheck(alone, [:quiet, :noshrink, numtests: 100]) == true

      assert :proper.quickcheck(at_once(Hasty, store), [:quiet, :noshrink, numtests: 5_000]) ==
               false
    end

    defp start(module, store), do: SharedStoreModel.new(module, store)

    defp at_once(module, store) do
      forall commands <- :proper_statem.parallel_commands(SharedStoreModel, start(module, store)) do
        :ok = SharedStore.clear(store)
        {_, _, result} = :proper_statem.run_parallel_commands(SharedStoreModel, commands)
        result == :ok
      end
    end

    defp contents(store),
      do:
        Map.new(SharedStore.stream(store), fn {key, value} -> {key, Real.answer({:ok, value})} end)
  end
end
