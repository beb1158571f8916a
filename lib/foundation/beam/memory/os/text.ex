defmodule Foundation.BEAM.Memory.OS.Text do
  @moduledoc false

  # Figures out of the kernel's texts. What is not there, is cut off or is no number is `nil`.

  # More digits than 64 bits take are no figure of a kernel.
  @digits 20

  @doc "The number after `key`, which stands at the start of a line; something must follow the number."
  @spec figure(binary() | nil, binary()) :: non_neg_integer() | nil
  def figure(nil, _key), do: nil

  def figure(text, key) do
    # A line that ends with the text has been cut off there: its number may be only a part.
    with rest when is_binary(rest) <- after_key(text, key),
         {number, <<_, _::binary>>} <- digits(rest, 0, 0),
         do: number,
         else: (_ -> nil)
  end

  @doc "The number that a text of one figure holds."
  @spec single(binary() | nil) :: non_neg_integer() | nil
  def single(nil), do: nil

  def single(text) do
    case digits(text, 0, 0) do
      {number, ""} -> number
      {number, "\n" <> _} -> number
      _ -> nil
    end
  end

  @doc "The first `count` numbers of a text, `nil` unless there are as many."
  @spec numbers(binary() | nil, pos_integer()) :: [non_neg_integer()] | nil
  def numbers(nil, _count), do: nil
  def numbers(_text, 0), do: []

  def numbers(text, count) do
    with {number, rest} <- digits(text, 0, 0),
         more when is_list(more) <- numbers(rest, count - 1),
         do: [number | more],
         else: (_ -> nil)
  end

  defp after_key(text, key) do
    size = byte_size(key)

    case text do
      <<^key::binary-size(size), rest::binary>> -> rest
      _ -> after_line(text, "\n" <> key)
    end
  end

  defp after_line(text, key) do
    case :binary.match(text, key) do
      {start, length} -> binary_part(text, start + length, byte_size(text) - start - length)
      :nomatch -> nil
    end
  end

  defp digits(<<space, rest::binary>>, 0, 0) when space in ~c" \t", do: digits(rest, 0, 0)

  defp digits(<<digit, rest::binary>>, number, count) when digit in ?0..?9 and count < @digits,
    do: digits(rest, number * 10 + digit - ?0, count + 1)

  defp digits(<<digit, _::binary>>, _number, _count) when digit in ?0..?9, do: nil
  defp digits(_rest, _number, 0), do: nil
  defp digits(rest, number, _count), do: {number, rest}
end
