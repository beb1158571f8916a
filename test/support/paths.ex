defmodule Foundation.Paths do
  @moduledoc "Generators of terms with paths into them, and what a path means as one would explain it."

  import :proper_types, except: [bind: 3, function: 2]
  import Foundation.AnyTerm, only: [edge: 0, leaf: 0]
  import Foundation.Property, only: [bind: 2]

  @doc "Containers of containers: keys and steps are of the few that containers take."
  def nested, do: sized(fn size -> nested(min(size, 15)) end)
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

  @doc "A path into the term: mostly steps that lead on."
  def path(given) do
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

  @doc "Where a path leads: `{:ok, part}`, or `{:lost, at}` with the steps before the one that does not."
  def follow(given, path, at \\ 0)
  def follow(given, [], _at), do: {:ok, given}

  def follow(given, [step | rest], at) do
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
