defmodule Bench.Turns do
  @moduledoc false

  # Candidates that take turns, so that a change of the machine's pace hits all alike, and each turn
  # in processes of its own, so that none pays for another's garbage.
  #
  # A candidate is `{name, fun, works}`: one process for each of the works, `{argument, operations}`,
  # calls `fun.(argument)`.

  @warm 4

  @doc "Nanoseconds an operation by candidate: the median over rounds of the slowest process."
  def medians(candidates, rounds \\ 11) do
    times = for _ <- 1..rounds, {name, fun, works} <- candidates, do: {name, turn(fun, works)}

    times
    |> Enum.group_by(&elem(&1, 0), &elem(&1, 1))
    |> Map.new(fn {name, values} -> {name, Bench.median(values)} end)
  end

  defp turn(fun, works) do
    parent = self()

    tasks =
      for {argument, operations} <- works do
        Task.async(fn ->
          warm(fun, argument)
          send(parent, {:ready, self()})
          receive do: (:go -> :ok)
          start = System.monotonic_time(:nanosecond)
          fun.(argument)
          (System.monotonic_time(:nanosecond) - start) / operations
        end)
      end

    for %{pid: pid} <- tasks, do: receive(do: ({:ready, ^pid} -> :ok))
    for %{pid: pid} <- tasks, do: send(pid, :go)
    tasks |> Task.await_many(:infinity) |> Enum.max()
  end

  # A part of the work is enough to load the code and to grow the heap.
  defp warm(fun, keys) when is_binary(keys),
    do: fun.(binary_part(keys, 0, div(byte_size(keys), 40) * 4))

  defp warm(fun, calls) when is_integer(calls), do: fun.(min(calls, @warm))
  defp warm(fun, list) when is_list(list), do: fun.(Enum.take(list, @warm))

  @doc "What calls the function as often as its argument says."
  def calls(fun), do: &repeat(fun, &1)

  defp repeat(_fun, 0), do: :ok

  defp repeat(fun, left) do
    fun.()
    repeat(fun, left - 1)
  end

  @doc "Runs the function in as many processes as schedulers, with each one's number and their count."
  def parallel(fun) do
    count = System.schedulers_online()

    0..(count - 1)
    |> Enum.map(fn index -> Task.async(fn -> fun.(index, count) end) end)
    |> Task.await_many(:infinity)
  end

  @doc """
  Operations on keys at random from `0..range-1`, `<<what::8, key::24>>` each, the same for every
  candidate. One in ten has 1 for `what`: the writes of a mix.
  """
  def sequence(range, length, seed) do
    state = :rand.seed_s(:exsss, seed)

    {keys, _state} =
      Enum.map_reduce(1..length, state, fn _, state ->
        {key, state} = :rand.uniform_s(range, state)
        {what, state} = :rand.uniform_s(10, state)
        {<<if(what == 1, do: 1, else: 0)::8, key - 1::24>>, state}
      end)

    IO.iodata_to_binary(keys)
  end

  @doc "The small value that belongs to a number. No part of it is a literal of this module."
  def value(n), do: %{id: n, name: "user #{n}", score: n * 1.5}

  @doc "Values to choose from by the low bits of a key, so that a loop builds none."
  def values, do: 0..63 |> Enum.map(&value(1_000_000 + &1)) |> List.to_tuple()

  @doc "Resident bytes of this operating system process, after a collection of everything."
  def resident do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    receive after: (1_500 -> :ok)
    [_, kb] = Regex.run(~r/VmRSS:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kb) * 1024
  end

  def title(text), do: IO.puts("\n#{text}\n")

  def row(text, ns) do
    digits = if ns < 1_000, do: "#{:erlang.float_to_binary(ns / 1, decimals: 1)} ns"
    note(text, digits || Bench.duration(ns))
  end

  def note(text, value),
    do: IO.puts("  #{String.pad_trailing(text, 52)}#{String.pad_leading("#{value}", 14)}")
end
