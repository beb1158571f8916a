defmodule Foundation.SizePropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Term.Size

  # Up to 32 keys: larger maps are an estimate. Sizes stay small because the nesting multiplies.
  defp any_term do
    sized(fn size -> any_term(size) end)
  end

  defp any_term(size) when size <= 1, do: leaf()

  defp any_term(size) do
    inner = lazy(fn -> any_term(div(size, 3)) end)

    frequency([
      {3, leaf()},
      {2, list(inner)},
      {1, bind({list(inner), leaf()}, fn {heads, tail} -> improper(heads, tail) end)},
      {2, bind(list(inner), &List.to_tuple/1)},
      {2, bind(list({leaf(), inner}), fn pairs -> pairs |> Enum.take(32) |> Map.new() end)}
    ])
  end

  defp leaf do
    oneof([
      integer(),
      bind(integer(0, 400), &(2 ** &1)),
      bind(integer(0, 400), &(-(2 ** &1))),
      float(),
      atom(),
      binary(),
      bind({integer(0, 300), integer(0, 300)}, fn {skip, take} ->
        # A part of a binary, large or small, at any place.
        binary_part(:binary.copy("x", skip + take), skip, take)
      end)
    ])
  end

  defp improper([], tail), do: tail
  defp improper([head | rest], tail), do: [head | improper(rest, tail)]

  property "the size is the VM's own flat size", runs: 500 do
    forall term <- any_term() do
      Size.measure(term) ==
        %{
          heap_bytes: :erts_debug.flat_size(term) * 8,
          binary_bytes: payload(term),
          complete?: true
        }
    end
  end

  property "a limit gives the same size, or a lower bound that passed it" do
    forall {term, limit} <- {any_term(), non_neg_integer()} do
      whole = Size.measure(term)

      case Size.measure(term, limit) do
        %{complete?: true} = size -> size == whole and total(size) <= limit
        size -> total(size) > limit and total(size) <= total(whole)
      end
    end
  end

  defp total(size), do: size.heap_bytes + size.binary_bytes

  defp payload(term) when is_binary(term) and byte_size(term) > 64, do: byte_size(term)
  defp payload([head | tail]), do: payload(head) + payload(tail)
  defp payload(term) when is_tuple(term), do: term |> Tuple.to_list() |> payload()
  defp payload(term) when is_map(term), do: term |> Map.to_list() |> payload()
  defp payload(_term), do: 0
end
