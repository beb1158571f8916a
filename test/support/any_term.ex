defmodule Foundation.AnyTerm do
  @moduledoc """
  Generators of terms of every kind that the VM has.

  Sizes stay small because nesting multiplies; what is deep is a chain. No term shares its parts
  over and over: a copy of such a term, as a message or in a closure, would never end.
  """

  import :proper_types, except: [bind: 3, function: 2]
  import Foundation.Property, only: [bind: 2]

  alias Foundation.BEAM.SharedTerm

  @doc "Any term at all; `others` are generators of further leaves."
  def any_term(others \\ []) do
    leaf = frequency([{4, leaf()}, {2, rare()}] ++ Enum.map(others, &{2, &1}))
    sized(&any_term(div(&1, 3), leaf))
  end

  defp any_term(size, leaf) when size <= 1, do: leaf

  defp any_term(size, leaf) do
    inner = lazy(fn -> any_term(div(size, 3), leaf) end)

    frequency([
      {4, leaf},
      {2, list(inner)},
      {1, bind({list(inner), leaf}, fn {heads, tail} -> improper(heads, tail) end)},
      {2, bind(list(inner), &List.to_tuple/1)},
      {2, bind(list({inner, inner}), &Map.new/1)},
      {1, bind(list({few_atoms(), inner}), & &1)},
      {1, bind(inner, fn held -> fn given -> {given, held} end end)}
    ])
  end

  @doc "What has no parts."
  def leaf do
    oneof([
      integer(),
      float(),
      few_atoms(),
      boolean(),
      binary(),
      bitstring(),
      oneof(Enum.map([[], {}, %{}, nil, 0.0, -0.0, ""], &exactly/1))
    ])
  end

  # Atoms stay for good, and PropEr's own are new each time: of so many terms they would fill the VM's table.
  @atoms Enum.map(
           ~w(a b key ok error undefined infinity Elixir.URI ünïcode with-dash) ++ [""],
           &String.to_atom/1
         ) ++
           [String.to_atom(String.duplicate("x", 255)), URI, nil, true, false]

  defp few_atoms, do: oneof(Enum.map(@atoms, &exactly/1))

  @doc "Numbers where widths end, large binaries, parts of binaries, identifiers, funs, deep chains."
  def rare do
    frequency([
      {4, edge()},
      {4, bind(integer(0, 400), &(2 ** &1))},
      {4,
       bind({integer(0, 300), integer(0, 300)}, fn {skip, take} ->
         binary_part(:binary.copy("x", skip + take), skip, take)
       end)},
      {4,
       bind({integer(0, 300), integer(0, 300)}, fn {skip, take} ->
         <<_::size(skip), part::bitstring-size(take), _::bitstring>> = :binary.copy("y", 100)
         part
       end)},
      {1, bind(integer(1, 20_000), &Enum.reduce(1..&1, [], fn n, inner -> deep(n, inner) end))},
      # Made anew for each case.
      {6, bind(oneof([:ref, :alias, :pid, :port, :fun, :range, :remote]), &identity/1)}
    ])
  end

  @doc "Integers where the widths of native integers end."
  def edge do
    oneof(
      for power <- [0, 7, 8, 31, 32, 59, 60, 63, 64, 128], step <- [-1, 0, 1], sign <- [1, -1] do
        exactly(sign * (2 ** power + step))
      end
    )
  end

  @doc "The handle of a shared term, live or at one of its ends."
  def handle do
    bind({leaf(), oneof([:live, :live, :released, :taken, :expired, :short])}, fn {term, state} ->
      ttl = %{expired: 0, short: 1}[state] || :infinity
      handle = SharedTerm.new(%{list: [term], tuple: {term}, key: term}, ttl: ttl)
      if state == :released, do: SharedTerm.release(handle)
      if state == :taken, do: SharedTerm.take(handle)
      handle
    end)
  end

  defp deep(n, inner) when rem(n, 3) == 0, do: [inner]
  defp deep(n, inner) when rem(n, 3) == 1, do: {inner}
  defp deep(_n, inner), do: %{inner: inner}

  defp identity(:ref), do: make_ref()
  defp identity(:alias), do: :erlang.alias()
  defp identity(:pid), do: self()
  defp identity(:port), do: hd(Port.list())
  defp identity(:fun), do: &Enum.map/2
  defp identity(:range), do: 1..10//2

  # A pid, a port and a reference of a node that is not there.
  defp identity(:remote) do
    node = <<119, 5, "other">>

    for written <- [
          <<88, node::binary, 1::32, 7::32, 9::32>>,
          <<120, node::binary, 1::64, 9::32>>,
          <<90, 3::16, node::binary, 1::32, 7::32, 8::32, 9::32>>
        ],
        do: :erlang.binary_to_term(<<131, written::binary>>)
  end

  defp improper([], tail), do: tail
  defp improper([head | rest], tail), do: [head | improper(rest, tail)]
end
