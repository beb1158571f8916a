defmodule Foundation.BEAM.Memory.Isolation.Reason do
  @moduledoc false

  # What work ended with, in a known size, and in words. Reasons come from anywhere: writing them runs
  # no code of theirs (no `Inspect`, no `message/1`), which may take for ever, and takes no longer for
  # a large one: of every term only what is shown of it is looked at.

  alias Foundation.BEAM.Term.Size

  # The most bytes of a reason that are kept, and characters of its text.
  @size 65_536
  @text 500

  @depth 4
  @width 5
  # Integers are written whole, in a time that grows with the square of their length.
  @long 0x1_0000_0000_0000_0000

  @shown [
    structs: false,
    limit: 100,
    printable_limit: 60,
    inspect_fun: &Inspect.inspect/2
  ]

  @spec size() :: pos_integer()
  def size, do: @size

  @doc "Whether it is small enough to be kept."
  @spec small?(term()) :: boolean()
  def small?(reason), do: Size.measure(reason, @size).complete?

  @doc "A reason in words; that of a process which crashed without its stacktrace."
  @spec text(term()) :: String.t()
  def text({reason, [{module, function, arity, _} | _]})
      when is_atom(module) and is_atom(function) and (is_integer(arity) or is_list(arity)) do
    if is_exception(reason),
      do: "an exception was raised: ** " <> exception(reason),
      else: "an error was raised: " <> shown(reason)
  end

  def text(reason), do: shown(reason)

  defp exception(%module{message: message}) when is_binary(message),
    do: "(#{inspect(module)}) " <> short(message)

  defp exception(%module{}), do: "(#{inspect(module)})"

  defp shown(reason), do: reason |> part(@depth) |> inspect(@shown) |> short()

  # Characters have 4 bytes at most. A copy, so that nothing else of a long text stays.
  defp short(text) do
    part = binary_part(text, 0, min(byte_size(text), 4 * @text))

    case :unicode.characters_to_binary(part) do
      {_incomplete_or_error, valid, _rest} -> valid
      valid -> valid
    end
    |> String.slice(0, @text)
    |> :binary.copy()
  end

  # The term as far as it is shown.
  defp part(integer, _depth)
       when is_integer(integer) and (integer <= -@long or integer >= @long),
       do: "an integer of #{(:erts_debug.flat_size(integer) - 1) * 64} bits"

  defp part([], _depth), do: []
  defp part(tuple, _depth) when tuple == {}, do: tuple
  defp part(map, _depth) when map == %{}, do: map

  defp part(nested, 0) when is_list(nested) or is_tuple(nested) or is_map(nested), do: :...
  defp part(list, depth) when is_list(list), do: elements(list, @width, depth - 1)

  defp part(tuple, depth) when is_tuple(tuple) do
    shown =
      for n <- 1..min(tuple_size(tuple), @width), do: part(:erlang.element(n, tuple), depth - 1)

    rest = if tuple_size(tuple) > @width, do: [:...], else: []
    List.to_tuple(shown ++ rest)
  end

  defp part(%module{} = struct, depth) do
    fields = struct |> Map.delete(:__struct__) |> part(depth)
    if is_map(fields), do: Map.put(fields, :__struct__, module), else: fields
  end

  defp part(map, depth) when is_map(map),
    do: map |> :maps.iterator() |> :maps.next() |> pairs(@width, depth - 1) |> Map.new()

  defp part(leaf, _depth), do: leaf

  defp elements([], _left, _depth), do: []
  defp elements([_ | _], 0, _depth), do: [:...]

  defp elements([head | tail], left, depth),
    do: [part(head, depth) | elements(tail, left - 1, depth)]

  defp elements(improper, _left, depth), do: part(improper, depth)

  defp pairs(:none, _left, _depth), do: []
  defp pairs(_more, 0, _depth), do: [{:..., :...}]

  defp pairs({key, value, next}, left, depth),
    do: [{part(key, depth), part(value, depth)} | pairs(:maps.next(next), left - 1, depth)]
end
