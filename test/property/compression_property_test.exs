defmodule Foundation.CompressionPropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Compression
  alias Foundation.{Error, Native}

  # Pieces as LZ4 meets them: short repeats, runs, and bytes that do not repeat.
  defp data do
    piece =
      oneof([
        binary(),
        bind({binary(), integer(0, 300)}, fn {unit, times} -> :binary.copy(unit, times) end),
        bind({byte(), integer(0, 5000)}, fn {byte, times} -> :binary.copy(<<byte>>, times) end),
        bind(integer(0, 3000), &:crypto.strong_rand_bytes/1)
      ])

    bind(list(piece), &IO.iodata_to_binary/1)
  end

  defp format, do: oneof([:frame, :block])

  property "data comes back", runs: 300 do
    forall {data, format, checksum} <- {data(), format(), oneof([:auto, true, false])} do
      checksum = if format == :block, do: :auto, else: checksum
      packed = Compression.compress!(data, format: format, checksum: checksum)

      Compression.decompress(packed, format: format, max_size: byte_size(data)) == {:ok, data} and
        (data == "" or
           match?(
             {:error, %Error{error_type: :too_large}},
             Compression.decompress(packed, format: format, max_size: byte_size(data) - 1)
           ))
    end
  end

  property "terms come back, however they are packed", runs: 300 do
    forall {term, level} <- {term(), oneof([:none, :low, :default])} do
      packed = Compression.pack_term(term, level)

      Compression.unpack_term(packed) === {:ok, term} and
        term |> Compression.compress_term!() |> Compression.decompress_term() === {:ok, term}
    end
  end

  property "damaged frames are errors, or give what they gave", runs: 300 do
    forall {data, at, byte} <- {data(), non_neg_integer(), byte()} do
      packed = Compression.compress!(data, checksum: true)
      at = rem(at * 7919, byte_size(packed))
      <<before::binary-size(at), _, rest::binary>> = packed

      case Compression.decompress(<<before::binary, byte, rest::binary>>) do
        {:ok, same} -> same == data
        {:error, %Error{}} -> true
      end
    end
  end

  property "bytes that are no LZ4 are errors", runs: 500 do
    forall {prefix, bytes, format} <-
             {oneof(["", <<0x184D2204::little-32>>, <<0x184D2204::little-32, 0x60, 0x40, 0x82>>]),
              binary(), format()} do
      case Compression.decompress(prefix <> bytes, format: format, max_size: 100_000) do
        {:ok, content} -> byte_size(content) <= 100_000
        {:error, %Error{error_type: type}} -> is_atom(type)
      end
    end
  end

  property "unpacking takes any bytes", runs: 500 do
    forall {prefix, bytes} <- {oneof(["", <<131>>, <<131, 80>>]), binary()} do
      case Compression.unpack_term(prefix <> bytes, max_size: 100_000, safe: true) do
        {:ok, _term} -> true
        {:error, %Error{}} -> true
      end
    end
  end

  # Arguments of the right type now and then, so that more than the first check is met.
  defp argument do
    oneof([
      term(),
      binary(),
      oneof([:frame, :block, :adaptive, :auto, :always, :never]),
      non_neg_integer(),
      bind(binary(), &Compression.compress!/1)
    ])
  end

  @stubs for {name, arity} <- Native.__info__(:functions),
             String.starts_with?(Atom.to_string(name), "compression_"),
             do: {name, arity}

  property "no term breaks a NIF", runs: 2000 do
    forall {{name, arity}, arguments} <- {oneof(@stubs), vector(4, argument())} do
      returns?(name, Enum.take(arguments, arity))
    end
  end

  defp returns?(name, arguments) do
    case apply(Native, name, arguments) do
      :ok -> true
      :dirty -> true
      {:ok, binary} -> is_binary(binary)
      {:error, {reason, message, %{}}} -> is_atom(reason) and is_binary(message)
    end
  rescue
    ArgumentError -> true
    # An atom that is none of those the NIF knows.
    error in ErlangError -> error.original == :invalid_variant
  end
end
