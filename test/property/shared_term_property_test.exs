defmodule Foundation.SharedTermPropertyTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes
  use Foundation.Property

  import Foundation.AnyTerm

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

  # Containers of containers: keys and steps are of the few that containers take.
  defp nested, do: sized(fn size -> nested(min(size, 15)) end)
  defp nested(size) when size <= 1, do: oneof([step(), leaf()])

  defp nested(size) do
    inner = lazy(fn -> nested(div(size, 3)) end)

    frequency([
      {1, step()},
      {2, list(inner)},
      {1, bind({list(inner), leaf()}, fn {heads, tail} -> heads ++ tail end)},
      {2, list({oneof([:a, :b, nil, 1]), inner})},
      {2, bind(list(inner), &List.to_tuple/1)},
      {3, bind(list({step(), inner}), &Map.new/1)},
      {1, bind({inner, inner}, fn {scheme, path} -> %URI{scheme: scheme, path: path} end)}
    ])
  end

  defp step do
    oneof(
      [exactly([]), exactly({}), exactly({:a, 1}), exactly(2 ** 70), edge()] ++
        Enum.map([:a, :b, nil, :scheme, 0, 1, 2, -1, 1.0, "a"], &exactly/1)
    )
  end

  # Mostly steps that lead on.
  defp path(given) do
    astray = bind({step(), list(step())}, fn {step, rest} -> [step | rest] end)

    case steps(given) do
      [] ->
        frequency([{4, exactly([])}, {1, astray}])

      steps ->
        on =
          bind(oneof(Enum.map(steps, &exactly/1)), fn step ->
            {:ok, part} = next(given, step)
            bind(path(part), &[step | &1])
          end)

        frequency([{1, exactly([])}, {8, on}, {1, astray}])
    end
  end

  # The steps that lead on from here.
  defp steps(map) when is_map(map), do: Map.keys(map)
  defp steps(tuple) when is_tuple(tuple), do: positions(tuple_size(tuple))

  defp steps(list) when is_list(list) do
    keys = for {key, _} when is_atom(key) <- proper(list), do: key
    positions(length(proper(list))) ++ keys
  end

  defp steps(_other), do: []

  defp positions(count), do: Enum.take(0..count, count)

  # The model: a path as one would explain it.
  defp follow(given, [], _at), do: {:ok, given}

  defp follow(given, [step | rest], at) do
    case next(given, step) do
      {:ok, part} -> follow(part, rest, at + 1)
      :error -> {:lost, at}
    end
  end

  defp next(map, key) when is_map(map), do: Map.fetch(map, key)

  defp next(tuple, at) when is_tuple(tuple) and is_integer(at),
    do: Enum.fetch(Tuple.to_list(tuple), beyond(at))

  defp next(list, at) when is_list(list) and is_integer(at),
    do: Enum.fetch(proper(list), beyond(at))

  defp next(list, key) when is_list(list) and is_atom(key) do
    Enum.find_value(proper(list), :error, fn
      {^key, value} -> {:ok, value}
      _other -> nil
    end)
  end

  defp next(_other, _step), do: :error

  # `Enum.fetch/2` counts negative positions from the end; a path does not.
  defp beyond(at) when at < 0, do: 1_000_000
  defp beyond(at), do: at

  # The elements before an improper tail.
  defp proper([head | tail]), do: [head | proper(tail)]
  defp proper(_tail), do: []
end
