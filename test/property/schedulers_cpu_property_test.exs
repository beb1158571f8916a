defmodule Foundation.SchedulersCpuPropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  alias Foundation.BEAM.Schedulers

  # What a chunk may give: as many elements as it had, more or fewer.
  defp work(:same), do: & &1
  defp work(:more), do: &Enum.flat_map(&1, fn item -> [[item], item] end)
  defp work(:fewer), do: &Enum.filter(&1, fn item -> is_integer(item) end)

  defp data, do: list(oneof([integer(), list(integer()), atom(), float()]))

  defp options do
    bind({oneof([:auto, integer(1, 9)]), integer(0, 4), integer(1, 5_000)}, fn {size, max, limit} ->
      workers = if max == 0, do: [], else: [max_concurrency: max]
      [chunk_size: size, reduction_limit: limit] ++ workers
    end)
  end

  property "in chunks of any size, by any number of workers, a list gives what it gives whole" do
    forall {data, opts, name} <- {data(), options(), oneof([:same, :more, :fewer])} do
      Schedulers.cpu_intensive(data, work(name), opts) == work(name).(data)
    end
  end

  property "results that are no lists are one element a chunk" do
    forall {data, size, max} <- {data(), integer(1, 9), integer(1, 4)} do
      opts = [chunk_size: size, max_concurrency: max]
      expected = data |> Enum.chunk_every(size) |> Enum.map(&List.to_tuple/1)

      Schedulers.cpu_intensive(data, &List.to_tuple/1, opts) == expected and
        Schedulers.cpu_intensive(Stream.map(data, & &1), &List.to_tuple/1, opts) == expected
    end
  end

  # Some items take far longer than others, so that what waits behind them is taken back.
  property "whatever is taken back, each item is worked on once, in its chunk and in order" do
    forall {count, size, max, every} <-
             {integer(0, 2_000), integer(1, 9), integer(2, 4), integer(50, 400)} do
      work = fn chunk ->
        if Enum.any?(chunk, &(rem(&1, every) < 3)), do: Enum.reduce(1..10_000, &(&1 + &2))
        [chunk]
      end

      opts = [chunk_size: size, max_concurrency: max]
      list = Enum.to_list(1..count//1)
      expected = Enum.chunk_every(list, size)

      Schedulers.cpu_intensive(list, work, opts) == expected and
        Schedulers.cpu_intensive(1..count//1, work, opts) == expected and
        list |> Schedulers.cpu_intensive(work, max_concurrency: max) |> Enum.concat() == list
    end
  end
end
