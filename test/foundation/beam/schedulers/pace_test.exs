defmodule Foundation.BEAM.Schedulers.PaceTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers.Pace

  # The sizes of the first chunks of endless data whose chunks cost what the function says.
  defp sizes(limit, chunks, cost) do
    {sizes, _pace} =
      Enum.map_reduce(1..chunks, Pace.new(limit, :auto), fn _, pace ->
        {pace.size, Pace.next(pace, pace.size, cost.(pace.size))}
      end)

    sizes
  end

  test "a chunk costs what was asked for after a few doublings" do
    assert [1, 2, 4, 8, 16 | _] = sizes = sizes(2000, 20, &(&1 * 10))
    assert List.last(sizes) == 200
    assert 100_000 |> sizes(30, &(&1 * 10)) |> List.last() == 10_000
  end

  test "items that cost more than the limit each come alone" do
    assert 2000 |> sizes(20, &(&1 * 5000)) |> List.last() == 1
  end

  test "a first call that costs more, as when code is loaded, changes nothing" do
    once = fn
      1 -> 50_000
      count -> count * 10
    end

    assert 2000 |> sizes(20, once) |> List.last() == 200
  end

  test "where the call itself costs more than the limit, at least a third is work on items" do
    # 10,000 a call and 50 an item.
    size = 2000 |> sizes(40, &(10_000 + &1 * 50)) |> List.last()
    assert size * 50 * 2 >= 10_000
    # And it does not grow without end.
    assert size < 2_000
  end

  test "a chunk that stands out moves the size by a factor, not to the extreme" do
    pace = %Pace{size: 100, target: 2000, phase: :steady}
    assert Pace.next(pace, 100, 1_000_000).size == 25
    assert Pace.next(pace, 100, 1).size == 200
    assert Pace.next(%{pace | size: 1}, 1, 1_000_000).size == 1
  end

  test "the rest of the data does not make chunks small" do
    pace = %Pace{size: 100, target: 2000, phase: :steady}
    assert Pace.next(pace, 3, 30).size == 100
  end

  test "a fixed size stays" do
    pace = Pace.new(2000, 7)
    assert Pace.next(pace, 7, 1_000_000).size == 7
    assert Pace.next(pace, 7, 1).size == 7
  end

  test "batches are whole chunks, many of cheap ones, one of what costs much or is not known" do
    assert Pace.batch(Pace.new(2000, 7)) == 7
    cheap = Pace.next(Pace.new(2000, 7), 7, 100)
    assert rem(Pace.batch(cheap), 7) == 0
    assert Pace.batch(cheap) > 7
    assert Pace.batch(Pace.next(Pace.new(2000, 7), 7, 1_000_000)) == 7
  end

  test "measure/2 counts the reductions of the call" do
    count = fn n -> Enum.reduce(1..n, 0, &(&1 + &2)) end
    # The least of some: where the machine does other work meanwhile, that time counts.
    few = Enum.min(for _ <- 1..10, {5050, cost} = Pace.measure(count, 100), do: cost)
    {_sum, many} = Pace.measure(count, 1_000_000)
    assert many > 100 * few
  end

  test "measure/2 counts what takes its time without reductions" do
    # Sleeping costs a few reductions, as a native function may.
    {:ok, cost} = Pace.measure(fn _ -> Process.sleep(5) end, nil)
    assert cost >= 40_000
  end
end
