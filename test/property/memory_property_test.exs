defmodule Foundation.MemoryPropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  import Foundation.AnyTerm, only: [any_term: 0]

  alias Foundation.BEAM.{Memory, Term.Size}

  # Up to 150 kB: PropEr's own numbers stay small, however large they may be.
  defp size, do: bind(integer(0, 50), &(&1 * &1 * 60))

  # Small and large, of what compresses and what does not, whole, as parts and appended to.
  defp data do
    whole =
      oneof([
        binary(),
        bind({binary(), size()}, fn {unit, size} -> :binary.copy(unit, div(size, 10)) end),
        bind({byte(), size()}, fn {byte, size} -> :binary.copy(<<byte>>, size) end),
        bind(size(), &:rand.bytes/1),
        bind(
          list(binary()),
          &Enum.reduce(&1, <<>>, fn piece, all -> <<all::binary, piece::binary>> end)
        )
      ])

    oneof([
      whole,
      bind({whole, non_neg_integer(), non_neg_integer()}, fn {whole, skip, take} ->
        skip = rem(skip * 997, byte_size(whole) + 1)
        binary_part(whole, skip, rem(take * 7919, byte_size(whole) - skip + 1))
      end)
    ])
  end

  defp strategy, do: oneof([:automatic, :sharing, :storage, :transmission])

  property "restoring gives back what was optimized", runs: 500 do
    forall {data, strategy} <- {data(), strategy()} do
      tagged = Memory.optimize_binary(data, strategy)

      Memory.restore_binary(tagged, max_size: byte_size(data)) == {:ok, data} and
        (data == "" or
           match?(
             {:error, %{error_type: :too_large}},
             Memory.restore_binary(tagged, max_size: byte_size(data) - 1)
           ))
    end
  end

  property "the tag is true: what is kept is at most twice the bytes, and 256", runs: 500 do
    forall data <- data() do
      case Memory.optimize_binary(data) do
        {:heap_binary, held} -> byte_size(held) < 64 and kept(held) == byte_size(held)
        {:refc_binary, held} -> kept(held) < max(2 * byte_size(held), byte_size(held) + 256)
        {:compressed_binary, held} -> byte_size(held) < 0.9 * byte_size(data)
      end
    end
  end

  # OTP 27 answers in bits for what lies on the heap.
  defp kept(binary) do
    bytes = :binary.referenced_byte_size(binary)
    if byte_size(binary) <= 64 and bytes == bit_size(binary), do: byte_size(binary), else: bytes
  end

  defp iodata do
    oneof([binary(), list(oneof([byte(), binary(), list(oneof([byte(), binary()]))]))])
  end

  property "iolists come back flat", runs: 300 do
    forall {data, strategy} <- {iodata(), oneof([:storage, :transmission])} do
      data |> Memory.optimize_binary(strategy) |> Memory.restore_binary() ==
        {:ok, IO.iodata_to_binary(data)}
    end
  end

  property "restoring takes any bytes under any tag", runs: 500 do
    forall {tag, prefix, bytes} <-
             {oneof([:heap_binary, :refc_binary, :compressed_binary, :transmission_ready]),
              oneof(["", <<0x184D2204::little-32>>, <<0x184D2204::little-32, 0x60, 0x40, 0x82>>]),
              binary()} do
      case Memory.restore_binary({tag, prefix <> bytes}, max_size: 100) do
        {:ok, data} -> byte_size(data) <= 100
        {:error, %Foundation.Error{error_type: type}} -> is_atom(type)
      end
    end
  end

  property "any term is taken, or refused by name", runs: 500 do
    forall {data, strategy, tagged} <- {any_term(), oneof([strategy(), any_term()]), any_term()} do
      refuses?(fn -> Memory.optimize_binary(data, strategy) end) and
        refuses?(fn -> Memory.restore_binary(tagged) end)
    end
  end

  defp refuses?(call) do
    {tag, _} = call.()
    is_atom(tag)
  rescue
    error in ArgumentError -> error.message =~ "expected "
  end

  property "whatever work returns, throws or exits with comes back", runs: 300 do
    forall {given, result} <- {any_term(), oneof([:copy, :shared_term, :binary])} do
      {:ok, returned} = Memory.isolate(fn -> given end, result: result)
      {:error, thrown} = Memory.isolate(fn -> throw(given) end)
      {:error, exited} = Memory.isolate(fn -> exit(given) end)

      open(result, returned) === given and thrown.context.kind == :throw and
        exited.context.kind == :exit and reason?(thrown, given) and reason?(exited, given) and
        Process.info(self(), :message_queue_len) == {:message_queue_len, 0}
    end
  end

  defp open(:copy, result), do: result
  defp open(:binary, result), do: :erlang.binary_to_term(result)
  defp open(:shared_term, handle), do: Foundation.BEAM.SharedTerm.fetch!(handle)

  # Itself up to 64 KiB, then a text.
  defp reason?(error, given) do
    if Size.measure(given, 65_536).complete?,
      do: error.context.reason === given,
      else: byte_size(error.context.reason) < 1000
  end
end
