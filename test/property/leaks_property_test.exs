defmodule Foundation.LeaksPropertyTest do
  use ExUnit.Case, async: false
  use Foundation.Property
  use Foundation.NativeBytes

  import Foundation.AnyTerm

  alias Foundation.BEAM.Memory
  alias Foundation.Keeper

  # Of what a server refers to nothing is garbage once it was collected, so whatever is called
  # unreachable then is something that the walk has missed. Only the server refers to it, else it
  # would count as used: so the term is read, and its parts are made, there.
  property "whatever a server's state is, all that it leads to is reached, and nothing is changed",
    runs: 300 do
    server = Keeper.start(fn -> nil end)

    forall {term, parts} <-
             {any_term([handle()]), list({integer(0, 900), integer(0, 900), integer(0, 7)})} do
      written = :erlang.term_to_binary(term)

      make = fn ->
        parts = Enum.map(parts, &part/1)
        term = :erlang.binary_to_term(written)
        %{parts => {term, fn -> [parts | parts] end}, term => fn -> fn -> parts end end}
      end

      GenServer.call(server, {:make, make})
      digest = Keeper.digest(server)
      :erlang.garbage_collect(server)
      result = Memory.binary_leaks(pids: [server], min_bytes: 1)
      looked? = result.looked_into == 1 or result.held_bytes == 0
      unreachable = for leak <- result.leaks, do: leak.unreachable_bytes
      digest == Keeper.digest(server) and looked? and Enum.sum(unreachable) == 0
    end
  end

  property "parts of one binary waste what none of them covers", runs: 200 do
    size = 10_000
    server = Keeper.start(fn -> nil end)

    forall parts <- list({integer(0, size - 200), integer(65, 200)}) do
      # In the server, so that nobody else refers to it.
      GenServer.call(
        server,
        {:make,
         fn ->
           whole = Keeper.bytes(size)

           [
             binary_part(whole, 0, 65)
             | Enum.map(parts, fn {from, len} -> binary_part(whole, from, len) end)
           ]
         end}
      )

      :erlang.garbage_collect(server)

      covered =
        for {from, len} <- [{0, 65} | parts], at <- from..(from + len - 1), uniq: true, do: at

      %{leaks: [leak]} = Memory.binary_leaks(pids: [server], min_bytes: 1)
      leak.parts_bytes == size - length(covered) and leak.unreachable_bytes == 0
    end
  end

  # Of a binary of its own, at any place.
  defp part({skip, take, bits}) do
    <<_::binary-size(skip), _::size(bits), part::bitstring-size(take), _::bitstring>> =
      Keeper.bytes(skip + take + 100)

    part
  end
end
