defmodule Foundation.SharedStoreImagePropertyTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes
  use Foundation.Property

  import Foundation.AnyTerm
  import Foundation.Stores, only: [live_bytes: 1, medium: 0]

  alias Foundation.BEAM.{SharedStore, SharedTerm}
  alias Foundation.NativeBytes

  # Small entries lie in blocks that the store writes itself, in the VM's own layout. What is wrong
  # there may look right at first, so terms are compared by `===` and by their external format (0.0
  # and -0.0, the order of a map's keys), and read by processes that did not make them.

  # What the smallest environment takes: an entry of fewer bytes is a block.
  @least_environment 864 + 1_600

  defp same?(one, other),
    do: one === other and :erlang.term_to_binary(one) === :erlang.term_to_binary(other)

  # Read by a process that has nothing of it, so that the copy alone is what is sent back.
  defp fetched_elsewhere(store, key),
    do: Task.await(Task.async(fn -> SharedStore.fetch(store, key) end), 60_000)

  defp comes_back?(store, value) do
    :ok = SharedStore.put(store, :key, value)
    {:ok, here} = SharedStore.fetch(store, :key)
    {:ok, there} = fetched_elsewhere(store, :key)
    {:ok, part} = SharedStore.fetch_in(store, :key, [])
    {:ok, taken} = SharedStore.take(store, :key)
    Enum.all?([here, there, part, taken], &same?(&1, value))
  end

  defp block?(value) do
    store = SharedStore.new()
    :ok = SharedStore.put(store, :key, value)
    live_bytes(store) < @least_environment
  end

  describe "any value" do
    property "comes back as it went in, alone, in a record and as a key", runs: 300 do
      store = SharedStore.new()

      forall value <- any_term([handle(), bits(), bignum()]) do
        comes_back?(store, value) and comes_back?(store, %{id: 1, value: value}) and
          comes_back?(store, [value, {value}, %{1 => value}]) and as_key?(store, value)
      end
    end

    defp as_key?(store, key) do
      :ok = SharedStore.put(store, key, :found)
      [there] = Enum.to_list(SharedStore.stream(store, :keys))
      SharedStore.take(store, key) == {:ok, :found} and same?(there, key)
    end

    # A part of a binary that begins anywhere and ends anywhere, about the sizes that matter.
    defp bits do
      bind({integer(0, 15), oneof([integer(0, 20), integer(500, 530)])}, fn {skip, take} ->
        <<_::size(skip), part::bitstring-size(take), _::bitstring>> = :binary.copy(<<0xA7>>, 100)
        part
      end)
    end

    defp bignum do
      bind({integer(1, 300), oneof([-1, 1]), integer(-1, 1)}, fn {words, sign, step} ->
        sign * (2 ** (64 * words) + step)
      end)
    end

    property "is whole for readers while others overwrite and delete it", runs: 25 do
      forall values <- list(any_term()) do
        {whole?, _seen} = read_beside_writers([:first | values], 200, &never/1)
        whole?
      end
    end

    test "the readers of the property above see values come and go" do
      values = [1, -0.0, 2 ** 100, "x", :binary.copy("y", 1_000), %{a: [1]}, medium()]
      enough? = &(MapSet.member?(&1, :not_found) and MapSet.size(&1) > length(values) / 2)
      {true, seen} = read_beside_writers(values, 5_000_000, enough?)
      assert enough?.(seen)
    end

    # Two write for as long as two read; a reader knows what it may find. It reads so many times, or
    # until it has seen enough.
    defp read_beside_writers(values, reads, enough?) do
      store = SharedStore.new()
      values = values |> Enum.with_index() |> Map.new(fn {value, n} -> {n, {n, value}} end)
      :ok = SharedStore.put(store, :key, values[0])
      writers = for n <- [1, 12], do: Task.async(fn -> write(store, values, n) end)

      readers =
        for _ <- 1..2,
            do: Task.async(fn -> read(store, values, {true, MapSet.new()}, reads, enough?) end)

      [{one?, one}, {other?, other}] = Task.await_many(readers, 240_000)
      for %{pid: writer} <- writers, do: send(writer, :done)
      Task.await_many(writers, 60_000)
      {one? and other?, MapSet.union(one, other)}
    end

    defp never(_seen), do: false

    defp write(store, values, n) do
      if rem(n, 5) == 0,
        do: SharedStore.delete(store, :key),
        else: :ok = SharedStore.put(store, :key, values[rem(n, map_size(values))])

      receive do
        :done -> :ok
      after
        0 -> write(store, values, n + 1)
      end
    end

    defp read(_store, _values, result, 0, _enough?), do: result

    defp read(store, values, {whole?, seen}, reads, enough?) do
      {whole?, seen} =
        case SharedStore.fetch(store, :key) do
          {:ok, {n, _value} = found} -> {whole? and same?(found, values[n]), MapSet.put(seen, n)}
          {:error, %{error_type: type}} -> {whole?, MapSet.put(seen, type)}
        end

      reads = if enough?.(seen), do: 0, else: reads - 1
      read(store, values, {whole?, seen}, reads, enough?)
    end
  end

  describe "values at the edges" do
    test "binaries about the sizes at which they lie elsewhere" do
      store = SharedStore.new()
      large = :binary.copy(<<1, 2, 3, 5, 8, 13, 21>>, 20_000)

      for size <-
            [0, 1, 7, 8, 9] ++ Enum.to_list(63..66) ++ [7_999, 8_192, 65_535, 65_536, 65_537],
          skip <- [0, 1, 3, 8, 13] do
        <<_::size(skip), part::binary-size(size), _::bitstring>> = large
        assert comes_back?(store, part)
        assert comes_back?(store, [part, binary_part(large, 1, size), {part}])
        assert block?(part) or size > 2_000
      end

      # A part of a small part, and bits that are no bytes.
      <<_::5, inner::binary-size(100), _::bitstring>> = large
      assert comes_back?(store, binary_part(inner, 10, 70))
      for bits <- 1..70, do: assert(comes_back?(store, binary_part(inner, 0, 9) |> bits(bits)))
    end

    defp bits(binary, count) do
      <<part::bitstring-size(count), _::bitstring>> = binary
      part
    end

    test "what lies in a block, and what in an environment of its own" do
      big = :binary.copy("x", 1_000_000)

      for value <- [
            1,
            -0.0,
            2 ** 1_000,
            [1 | 2],
            {[], {}, %{}},
            self(),
            make_ref(),
            :erlang.alias(),
            hd(Port.list()),
            "small",
            binary_part(big, 1, 1_000),
            %{a: 1},
            Map.new(1..50, &{&1, &1}),
            %URI{path: "/"}
          ],
          do: assert(block?(value), "in an environment: #{inspect(value)}")

      for value <- [fn -> big end, &Enum.map/2, SharedTerm.new(1), <<1::3>>, big, medium()],
          do: refute(block?(value), "in a block: #{inspect(value)}")
    end

    test "numbers: bignums of 1 to 300 words, and both zeros" do
      store = SharedStore.new()

      for words <- 1..300,
          sign <- [-1, 1],
          step <- [-1, 0, 1],
          do: assert(comes_back?(store, sign * (2 ** (64 * words) + step)))

      for zero <- [0.0, -0.0] do
        assert comes_back?(store, zero)
        assert comes_back?(store, %{zero: [zero]})
      end

      # In its place, where the entry is a float already.
      SharedStore.put(store, :zero, 0.0)
      assert SharedStore.increment(store, :zero, -1.5) == {:ok, -1.5}
      assert SharedStore.fetch(store, :zero) === {:ok, -1.5}
    end

    test "terms that are nested 100,000 deep, of each container and of all by turns" do
      store = SharedStore.new()
      wraps = [&[&1], &{&1}, &%{inner: &1}, &[0 | &1], &%{&1 => 1}]

      for wraps <- Enum.map(wraps, &[&1]) ++ [wraps] do
        for depth <- [100, 100_000], do: assert(comes_back?(store, nest(wraps, depth)))
      end
    end

    defp nest(wraps, depth) do
      wraps
      |> Stream.cycle()
      |> Enum.take(depth)
      |> Enum.reduce([], fn wrap, inner -> wrap.(inner) end)
    end

    test "references, aliases, and an alias that is used after its owner's copy has gone" do
      store = SharedStore.new()

      for reference <- [make_ref(), :erlang.alias(), :erlang.monitor(:process, self())],
          do: assert(comes_back?(store, {reference, [reference]}))

      SharedStore.put(store, :alias, :erlang.alias())
      :erlang.garbage_collect()
      Task.await(Task.async(fn -> send(SharedStore.fetch!(store, :alias), :by_alias) end))
      assert_received :by_alias
    end
  end

  describe "maps" do
    test "of 0 to 1,000 keys, which are atoms, numbers, or both" do
      store = SharedStore.new()

      for size <- [0, 1, 2, 31, 32, 33, 34, 64, 65, 1_000],
          key <- [&:"key_#{&1}", & &1, &if(rem(&1, 2) == 0, do: &1, else: :"key_#{&1}"), &{&1}] do
        map = if size == 0, do: %{}, else: Map.new(1..size, &{key.(&1), [&1]})
        assert comes_back?(store, map)
        assert comes_back?(store, {map, [Map.delete(map, key.(1))], Map.put(map, :new, map)})
      end
    end

    test "with the same atoms as keys take no room for them, others do" do
      bytes = fn map ->
        store = SharedStore.new()
        :ok = SharedStore.put(store, :key, map)
        live_bytes(store)
      end

      # A tuple of three: a header and three words.
      assert bytes.(%{a: 1, b: 2, c: 3}) + 4 * 8 == bytes.(%{1 => 1, 2 => 2, 3 => 3})
    end

    test "of one kind are whole however many there are, also when the first of them has gone" do
      store = SharedStore.new()
      record = fn n -> %{id: n, name: "row #{n}", tags: [n, n + 1], at: {n, 1.5}} end
      for n <- 1..2_000, do: SharedStore.put(store, n, record.(n))
      for n <- 1..2_000//2, do: SharedStore.delete(store, n)

      for n <- 2..2_000//2 do
        assert SharedStore.fetch(store, n) === {:ok, record.(n)}
        assert SharedStore.fetch_in(store, n, [:name]) == {:ok, "row #{n}"}
      end

      SharedStore.clear(store)
      NativeBytes.settle()
      SharedStore.put(store, 1, record.(1))
      assert SharedStore.fetch(store, 1) === {:ok, record.(1)}
    end

    test "of more kinds than a store keeps are whole" do
      store = SharedStore.new()
      kinds = for n <- 1..300, do: %{:id => n, :"kind_#{n}" => [n], :"other_#{n}" => {n}}
      for {map, n} <- Enum.with_index(kinds), do: :ok = SharedStore.put(store, n, map)
      again = Enum.map(kinds, &Map.put(&1, :id, -1))
      for {map, n} <- Enum.with_index(again), do: :ok = SharedStore.put(store, {n}, map)

      for {map, n} <- Enum.with_index(kinds),
          do: assert(SharedStore.fetch(store, n) === {:ok, map})

      for {map, n} <- Enum.with_index(again),
          do: assert(SharedStore.fetch(store, {n}) === {:ok, map})

      # Those that are not kept have their keys with them: more bytes.
      sizes =
        Enum.frequencies_by(kinds, fn map ->
          SharedStore.delete(store, :probe)
          before = live_bytes(store)
          :ok = SharedStore.put(store, :probe, map)
          live_bytes(store) - before
        end)

      assert [{small, kept}, {large, others}] = Enum.sort(sizes)
      assert large == small + 4 * 8
      assert kept in 150..256 and others == 300 - kept
    end

    test "that are structs" do
      store = SharedStore.new()

      for struct <- [
            %URI{host: "example.org", port: 80},
            ~D[2024-02-29],
            ~U[2024-02-29 12:00:00.123456Z],
            MapSet.new(1..100),
            1..10//3,
            Version.parse!("1.2.3-rc.1"),
            ~r/struct/,
            %ArgumentError{message: "text"}
          ],
          do: assert(comes_back?(store, struct))
    end
  end
end
