defmodule Foundation.BEAM.Term.SizeTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Term.Size

  # The VM's own answer, in bytes. It has no bound, so it is asked here and nowhere else.
  defp flat(term), do: :erts_debug.flat_size(term) * 8

  defp assert_exact(term) do
    assert %{heap_bytes: bytes, complete?: true} = Size.measure(term, :infinity)
    assert bytes == flat(term), "#{inspect(term, limit: 5)}: #{bytes}, the VM says #{flat(term)}"
  end

  test "what lies in the word itself takes no bytes" do
    for term <- [0, -1, 2 ** 59 - 1, :atom, nil, [], {}, self()] do
      assert Size.measure(term, 0) == %{heap_bytes: 0, binary_bytes: 0, complete?: true}
    end
  end

  test "numbers of every width" do
    for term <- [1.5, 2 ** 59, -(2 ** 63), 2 ** 64, -(2 ** 64), 2 ** 65, 2 ** 10_000],
        do: assert_exact(term)
  end

  test "containers, improper lists among them" do
    for term <- [
          [1 | 2],
          [{1, [2.0 | 3]}],
          %{},
          %{a: 1},
          Map.new(1..32, &{&1, [&1]}),
          {[], {}, %{}},
          URI.parse("http://localhost/a?b=c")
        ],
        do: assert_exact(term)
  end

  test "whole binaries, and parts of small and of large ones" do
    large = :binary.copy("x", 1000)
    small = :binary.copy("y", 40)

    for term <- [
          "",
          small,
          large,
          binary_part(small, 3, 5),
          binary_part(large, 3, 5),
          binary_part(large, 3, 500)
        ],
        do: assert_exact(term)

    assert Size.measure(binary_part(large, 3, 500)).binary_bytes == 500
    assert Size.measure(binary_part(large, 3, 64)).binary_bytes == 0
    assert Size.measure([large, large]).binary_bytes == 2000
  end

  test "bitstrings, and parts that do not begin on a byte" do
    large = :binary.copy("x", 1000)
    <<_::3, in_small::binary-size(8), _::5, _::binary>> = :binary.copy("y", 20)
    <<_::3, in_large::binary-size(80), _::5, _::binary>> = large

    for term <- [<<1::3>>, <<1::300>>, <<1::1000>>, <<7::3, large::binary>>, in_small, in_large],
        do: assert_exact(term)
  end

  test "identifiers, local, aliased and of another node" do
    remote = fn tag, rest ->
      :erlang.binary_to_term(<<131, tag, 119, 5, "other", rest::binary>>)
    end

    pid = remote.(88, <<1::32, 0::32, 1::32>>)
    reference = :erlang.binary_to_term(<<131, 90, 2::16, 119, 5, "other", 1::32, 7::32, 9::32>>)

    for term <- [make_ref(), :erlang.alias(), hd(Port.list()), pid, reference],
        do: assert_exact(term)
  end

  test "funs count what they hold, and funs within funs" do
    held = Enum.to_list(1..100)
    inner = fn -> held end
    outer = fn x -> {x, inner.(), held} end

    for fun <- [&Enum.map/2, fn -> 1 end, inner, outer], do: assert_exact(fun)
    assert_exact([inner, outer, {outer, held}])
  end

  test "a million levels, to the left and to the right" do
    left = Enum.reduce(1..1_000_000, [], fn _, inner -> [inner] end)
    right = Enum.reduce(1..1_000_000, {}, fn _, inner -> {1, inner} end)
    assert Size.measure(left).heap_bytes == 16_000_000
    assert Size.measure(right).heap_bytes == 24_000_000
  end

  test "maps of more than 32 keys are within 15 %" do
    for keys <- [33, 40, 64, 100, 1000, 20_000], key <- [& &1, &{&1}, &"key #{&1}"] do
      map = Map.new(1..keys, &{key.(&1), &1})
      assert_in_delta Size.measure(map).heap_bytes / flat(map), 1.0, 0.15
    end
  end

  test "a limit ends the walk just past it" do
    list = Enum.to_list(1..1_000_000)
    assert %{heap_bytes: bytes, complete?: false} = Size.measure(list, 10_240)
    assert bytes in 10_241..10_256
    assert %{heap_bytes: 16_000_000, complete?: true} = Size.measure(list, 16_000_000)
    assert %{complete?: false} = Size.measure(list, 15_999_999)
    assert %{complete?: false} = Size.measure(:binary.copy("x", 100), 100)
    assert %{complete?: false} = Size.measure(fn -> list end, 100)
  end

  # Built where it is measured: a copy of it, as a message or in a closure, would never end.
  defp endless, do: Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)

  test "a term that shares its parts without end is given up, not walked for ever" do
    assert %{heap_bytes: bytes, complete?: false} = Size.measure(endless(), 2 ** 28)
    assert bytes > 2 ** 28
  end

  test "a term that shares its funs without end is given up before their list fills the memory" do
    endless = Enum.reduce(1..200, fn -> :ok end, fn _, inner -> [inner | inner] end)
    {:memory, before} = Process.info(self(), :memory)
    assert %{complete?: false, heap_bytes: bytes} = Size.measure(endless, :infinity)
    {:memory, after_it} = Process.info(self(), :memory)
    assert bytes in (2 ** 24)..(2 ** 28)
    assert after_it - before < 200_000_000

    assert {:error, error} = Foundation.BEAM.SharedTerm.new(endless)
    assert error.error_type == :too_large
    assert error.message == "the term has over a million funs"
  end

  test "a killed caller ends its walk" do
    test = self()
    slots = :erlang.system_info(:dirty_cpu_schedulers)

    walkers =
      for _ <- 1..slots do
        spawn_monitor(fn ->
          send(test, :walking)
          Size.measure(endless(), :infinity)
        end)
      end

    for _ <- walkers, do: assert_receive(:walking)
    for {pid, _} <- walkers, do: Process.exit(pid, :kill)
    for {pid, monitor} <- walkers, do: assert_receive({:DOWN, ^monitor, :process, ^pid, :killed})

    # A process is gone at once; its dirty scheduler is free only when its walk has ended. Unended,
    # those walks hold every slot for minutes.
    list = Enum.to_list(1..100_000)
    assert Size.measure(list) == %{heap_bytes: 1_600_000, binary_bytes: 0, complete?: true}
  end

  test "many parts of a large binary that begin inside a byte are sized, not read" do
    <<_::1, bits::bitstring>> = :binary.copy("x", 1_000_001)
    <<part::binary-size(1_000_000), _::bitstring>> = bits
    parts = List.duplicate(part, 1000)

    assert %{binary_bytes: 1_000_000_000, complete?: true} = Size.measure(parts)
    assert Size.measure(parts).heap_bytes == flat(parts)
  end

  test "a limit holds for funs" do
    held = Enum.to_list(1..100)
    funs = for n <- 1..5000, do: fn -> {n, held} end
    assert %{complete?: false, heap_bytes: bytes} = Size.measure(funs, 10_240)
    assert bytes < 10_500
  end

  test "a limit that is none is refused by name" do
    for limit <- [-1, 1.5, nil, :all, "10"] do
      assert_raise ArgumentError, ~r/expected a limit in bytes/, fn -> Size.measure([], limit) end
    end

    assert Size.measure([1], 2 ** 200).complete?
  end
end
