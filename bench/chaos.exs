# A soak: ten thousand kills, of members, supervisors and stewards alike, over all topologies and
# supervision strategies, while workers are added and removed, the token is passed and the topology
# changed. After each storm of up to fourteen kills the ecosystem is looked at: roles (those that adding and
# removing have returned), one token, what members know of each other, no process outside of its tree,
# registry and table (`Foundation.Chaos` in test/support/chaos.ex says what). It ends with 1 where
# anything is not as it should be.
#
#     mix run bench/chaos.exs [kills [seed]]
#
# The same seed chooses the same victims by their places; which process is at a place is up to the
# schedulers.

for file <- ["eventually", "talker", "chaos"],
    do: Code.require_file("../test/support/#{file}.ex", __DIR__)

Code.require_file("support/bench.exs", __DIR__)

defmodule Bench.Chaos do
  alias Foundation.BEAM.Processes
  alias Foundation.Chaos

  # Of 300 workers there are several supervisors.
  @shapes for topology <- [:tree, :mesh, :ring],
              supervision <- [:one_for_one, :rest_for_one, :one_for_all],
              count <- [5, 300],
              do: {topology, supervision, count}

  # A ring of many is looked at by comparing many lists: fewer kills of those.
  @of_large 30

  # Beside kills of anybody.
  @acts [:steward, :coordinator, :pass, :tree, :mesh, :ring]

  def run(kills, seed) do
    # Every kill would be in the log.
    Logger.configure(level: :none)
    :rand.seed(:exsss, seed)
    before = {length(Process.list()), length(:ets.all())}
    large = div(kills, @of_large)
    small = div(kills, 9) + 1 - large

    results =
      for {topology, supervision, count} = shape <- @shapes do
        result = shape(shape, if(count == 5, do: small, else: large))
        IO.puts("#{topology} #{supervision} #{count} workers: #{line(result)}")
        result
      end

    done = results |> Enum.map(& &1.kills) |> Enum.sum()
    faults = Enum.flat_map(results, & &1.faults)
    left = left(before)

    IO.puts(
      "\n#{done} kills, #{length(faults)} faults, processes and tables more than before: #{inspect(left)}"
    )

    Bench.ratio("chaos_kills", done)
    Bench.ratio("chaos_faults", length(faults))
    Bench.ratio("chaos_settle_ms_most", results |> Enum.map(& &1.most) |> Enum.max())
    if faults != [] or left != {0, 0}, do: System.halt(1)
  end

  defp line(%{faults: [], most: most} = result) do
    "#{result.kills} kills in #{result.storms} storms, #{result.added} added, #{result.removed} removed, " <>
      "at rest after #{Float.round(most / 1, 1)} ms at most"
  end

  defp line(%{faults: faults}), do: "FAULTS #{inspect(faults, limit: 20)}"

  defp shape({topology, supervision, count}, kills) do
    ecosystem = Chaos.start(topology: topology, supervision: supervision, count: count)
    roles = [:coordinator | for(n <- 1..count, do: {:worker, n})]
    start = %{kills: 0, storms: 0, added: 0, removed: 0, most: 0.0, faults: []}
    result = storms(ecosystem, roles, kills, start)
    %{result | faults: result.faults ++ Chaos.stop(ecosystem)}
  end

  defp storms(_ecosystem, _roles, kills, %{kills: done, faults: faults} = result)
       when done >= kills or faults != [],
       do: result

  defp storms(ecosystem, roles, kills, result) do
    storm = min(:rand.uniform(12), kills - result.kills)
    Chaos.pass(ecosystem)
    # As many come as go, on average.
    [removals, additions] = for _ <- 1..2, do: :rand.uniform(4) - 1
    acts = for _ <- 1..(:rand.uniform(3) - 1)//1, do: Enum.random(@acts)
    results = Chaos.churn(ecosystem, places(storm), places(removals), additions, acts)
    killed = Enum.count(results, &(&1 == :killed))
    roles = Chaos.roles(roles, results)
    begun = System.monotonic_time(:microsecond)
    faults = Chaos.settle(ecosystem, roles, 20_000)
    took = (System.monotonic_time(:microsecond) - begun) / 1_000

    result = %{
      result
      | kills: result.kills + killed,
        storms: result.storms + 1,
        added: result.added + Enum.count(results, &match?({:added, _}, &1)),
        removed: result.removed + Enum.count(results, &match?({:removed, {_, _}}, &1)),
        most: max(result.most, took),
        faults: faults
    }

    storms(ecosystem, roles, kills, result)
  end

  defp places(count), do: for(_ <- 1..count//1, do: :rand.uniform(1_000_000))

  # What ends, ends before long.
  defp left({processes, tables}) do
    Foundation.Eventually.eventually?(fn ->
      Processes.list_ecosystems() == [] and length(Process.list()) <= processes
    end)

    {max(0, length(Process.list()) - processes), max(0, length(:ets.all()) - tables)}
  end
end

{kills, seed} =
  case Enum.map(System.argv(), &String.to_integer/1) do
    [] -> {10_000, 1}
    [kills] -> {kills, 1}
    [kills, seed] -> {kills, seed}
  end

Bench.Chaos.run(kills, seed)
