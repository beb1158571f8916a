defmodule Foundation.KernelLoad do
  @moduledoc """
  Native jobs of some milliseconds each, one for every way that data comes in and results go out, and
  callers that run them until they are killed.

  The data are persistent terms: a process that is started copies nothing, so that it can be killed at
  any point of its work.
  """

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.Slots
  alias Foundation.{Eventually, Native}

  @doc "Makes the data, until the tests of the module are done."
  def make_data do
    names =
      for {name, data} <- data(), do: tap({__MODULE__, name}, &:persistent_term.put(&1, data))

    ExUnit.Callbacks.on_exit(fn -> Enum.each(names, &:persistent_term.erase/1) end)
  end

  @jobs [
    {:integers, :sort, []},
    {:integers, :top_k, [k: 5_000, parallel: true]},
    {:floats, :sort, [parallel: true, order: :desc]},
    {:packed, :sort, []},
    {:packed, :sort, [parallel: true]},
    {:packed, :quantiles, [q: [0.1, 0.5]]},
    {:packed, :variance, [parallel: true]},
    {:packed, :histogram, [bins: 100, min: 0, max: 1]},
    {:text, :words, []},
    {:text, :words, [parallel: true]},
    {:text, :count, [pattern: "a", parallel: true]},
    {:text, :xxh3_128, []},
    {:texts, :words, []},
    {:texts, :xxh3_64, [parallel: true]},
    {:texts, :compress_many, []},
    {:texts, :compress_many, [parallel: true]}
  ]

  @doc "Every job: the name of its data, the kernel, the options."
  def all, do: @jobs

  @doc "Runs a job in the calling process."
  def run({data, kernel, opts}, more \\ []),
    do: Schedulers.cpu_intensive(data(data), {:native, kernel}, opts ++ more)

  @doc "The data of a name."
  def data(name), do: :persistent_term.get({__MODULE__, name})

  @doc "A process that runs jobs again and again, beginning with this one, until the test ends."
  def endless(at) do
    {pid, _monitor} = caller = spawn_monitor(fn -> endless(@jobs, at) end)
    ExUnit.Callbacks.on_exit(fn -> Process.exit(pid, :kill) end)
    caller
  end

  defp endless(jobs, at) do
    jobs |> Enum.at(rem(at, length(jobs))) |> run()
    endless(jobs, at + 1)
  end

  @doc "Keeps the processor for a random time of up to so many microseconds."
  def spin(micros) do
    until = System.monotonic_time(:microsecond) + :rand.uniform(micros + 1) - 1
    spin_until(until)
  end

  defp spin_until(until), do: System.monotonic_time(:microsecond) < until && spin_until(until)

  @doc "Whether every slot is free, soon, and nobody is known to want one."
  def slots_free? do
    Eventually.eventually?(fn ->
      state = :sys.get_state(Slots)
      {state.members, state.monitors} == {%{}, %{}}
    end)
  end

  @doc "Whether no dirty CPU scheduler works, soon, and nothing waits for one."
  def dirty_idle? do
    Eventually.eventually?(fn ->
      usage = Schedulers.get_scheduler_utilization(sample_ms: 20)
      usage.dirty_cpu.average < 0.05 and usage.run_queues.dirty_cpu == 0
    end)
  end

  @doc "Bytes that kernels hold."
  def bytes, do: Keyword.fetch!(Native.memory_held(), :kernels)

  defp data do
    floats = for n <- 1..100_000, do: :math.sin(n)
    text = for n <- 1..50_000, into: "", do: Integer.to_string(rem(n * n, 10_007), 36) <> " "

    %{
      integers: for(n <- 1..150_000, do: rem(n * 7_919, 1_000_003)),
      # Of these two the result alone takes slices.
      long: for(n <- 1..1_000_000, do: rem(n * 7_919, 1_000_003)),
      distinct: for(n <- 1..100_000, into: "", do: Integer.to_string(n * 7_919, 36) <> " "),
      floats: floats,
      packed:
        {:f64, :binary.copy(for(float <- floats, into: "", do: <<float::float-native>>), 12)},
      text: :binary.copy(text, 10),
      texts: for(n <- 0..3_999, do: binary_part(text, n * 45, 900))
    }
  end
end
