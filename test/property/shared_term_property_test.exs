defmodule Foundation.SharedTermPropertyTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes
  use Foundation.Property

  import Foundation.AnyTerm
  import Foundation.Paths

  alias Foundation.{Error, SharedTermModel}
  alias Foundation.BEAM.SharedTerm
  alias Foundation.SharedTermModel.{Hasty, Real}

  describe "reading" do
    property "any term comes back as it went in, whole and by the empty path", runs: 300 do
      forall given <- any_term() do
        handle = SharedTerm.new(given)

        SharedTerm.fetch(handle) === {:ok, given} and
          SharedTerm.fetch_in(handle, []) === {:ok, given} and
          SharedTerm.take(handle) === {:ok, given}
      end
    end

    property "a path leads where the model says", runs: 500 do
      forall {given, path} <- bind(nested(), fn given -> {exactly(given), path(given)} end) do
        result = given |> SharedTerm.new() |> SharedTerm.fetch_in(path)

        case follow(given, path, 0) do
          {:ok, part} ->
            result === {:ok, part}

          {:lost, at} ->
            {:error, %Error{error_type: type, context: context}} = result
            type == :path_not_found and context === %{at: at, step: Enum.at(path, at)}
        end
      end
    end

    test "the paths of the property above lead far, and lead astray" do
      pairs = bind(nested(), fn given -> {exactly(given), path(given)} end)

      outcomes =
        for _ <- 1..300 do
          {:ok, {given, path}} = :proper_gen.pick(pairs)
          {elem(follow(given, path, 0), 0), length(path)}
        end

      assert Enum.count(outcomes, &match?({:ok, length} when length >= 2, &1)) > 20
      assert Enum.count(outcomes, &match?({:lost, _}, &1)) > 20
    end
  end

  describe "calls in any order" do
    property "from one process behave like the model", runs: 200 do
      forall commands <- :proper_statem.commands(SharedTermModel) do
        {_history, _state, result} = :proper_statem.run_commands(SharedTermModel, commands)
        result == :ok
      end
    end

    defp at_once(module) do
      state = SharedTermModel.new(module)

      forall commands <- :proper_statem.parallel_commands(SharedTermModel, state) do
        {_, _, result} = :proper_statem.run_parallel_commands(SharedTermModel, commands)
        result == :ok
      end
    end

    property "from two processes at once behave like some order of them", runs: 200 do
      at_once(Real)
    end

    # Alone it is right, so what the property catches is the step between.
    test "a take that is no single step is caught by the property above, and only there" do
      state = SharedTermModel.new(Hasty)

      alone =
        forall commands <- :proper_statem.commands(SharedTermModel, state) do
          {_history, _state, result} = :proper_statem.run_commands(SharedTermModel, commands)
          result == :ok
        end

      assert :proper.quickcheck(alone, [:quiet, :noshrink, numtests: 100]) == true
      assert :proper.quickcheck(at_once(Hasty), [:quiet, :noshrink, numtests: 5_000]) == false
    end
  end
end
