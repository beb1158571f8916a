defmodule Foundation.Reason do
  @moduledoc false

  # What a process ended with, in a known size, and in words. Reasons come from anywhere: writing them runs
  # no code of theirs (no `Inspect`, no `message/1`), which may take for ever, and takes no longer for
  # a large one: of every term only what is shown of it is looked at.

  alias Foundation.BEAM.Term.Size

  # The most bytes of a reason that are kept, and characters of its text.
  @size 65_536
  @text 500

  # Where many are kept, or sent.
  @bounded 2_048

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

  @doc """
  The reason where it is small, otherwise `{:too_large, text}`: for where one is about to be sent or kept
  that may hold whole states, which may share their parts so that a copy takes more than there is.
  """
  @spec bounded(term()) :: term()
  def bounded(reason) do
    if Size.measure(reason, @bounded).complete?, do: reason, else: {:too_large, text(reason)}
  end

  @doc "A reason in words; that of a process which crashed with the place instead of its stacktrace."
  @spec text(term()) :: String.t()
  def text(reason), do: reason |> words(@depth) |> short()

  # What supervisors put around the reason of whoever did not start.
  defp words({:shutdown, {:failed_to_start_child, child, reason}}, depth) when depth > 0,
    do: "its child #{shown(child)} did not start: " <> words(reason, depth - 1)

  defp words({:EXIT, reason}, depth) when depth > 0, do: words(reason, depth - 1)

  # One that was too large to be kept, and is its text.
  defp words({:too_large, text}, _depth) when is_binary(text), do: text

  defp words({reason, [{module, function, arity, place} | _]}, _depth)
       when is_atom(module) and is_atom(function) and (arity in 0..255 or length(arity) < 256) do
    arity = if is_list(arity), do: length(arity), else: arity
    raised(reason, {module, function, arity, []}) <> at(module, function, arity, place)
  end

  defp words(reason, _depth) when is_exception(reason), do: "** " <> exception(reason)
  defp words(reason, _depth), do: shown(reason)

  defp raised(reason, _entry) when is_exception(reason),
    do: "an exception was raised: ** " <> exception(reason)

  # An error of the VM that is a word alone; the others say themselves what it was about.
  defp raised(reason, entry) when is_atom(reason) do
    case Exception.normalize(:error, reason, [entry]) do
      %ErlangError{} -> "an error was raised: " <> shown(reason)
      known -> "an exception was raised: " <> Exception.format_banner(:error, known)
    end
  end

  defp raised(reason, _entry), do: "an error was raised: " <> shown(reason)

  defp exception(%module{message: message}) when is_binary(message),
    do: "(#{inspect(module)}) " <> short(message)

  defp exception(%module{} = exception) do
    case for({field, value} <- fields(exception), value != nil, into: %{}, do: {field, value}) do
      none when none == %{} -> "(#{inspect(module)})"
      fields -> "(#{inspect(module)}) " <> shown(fields)
    end
  end

  # A struct that somebody has made may have any number of fields.
  defp fields(exception) when map_size(exception) > 32, do: []
  defp fields(exception), do: Map.drop(exception, [:__struct__, :__exception__])

  defp at(module, function, arity, [_ | _] = place) when length(place) < 10 do
    case List.keyfind(place, :line, 0) do
      {:line, line} when line in 1..1_000_000_000 ->
        " (#{Exception.format_mfa(module, function, arity)}, line #{line})"

      _unknown ->
        at(module, function, arity, nil)
    end
  end

  defp at(module, function, arity, _unknown),
    do: " (#{Exception.format_mfa(module, function, arity)})"

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
