defmodule Foundation.BEAM.Schedulers.Turns do
  @moduledoc false

  # The loop over chunks, in the caller and in every worker: call, measure, let others run.

  alias Foundation.BEAM.Schedulers.{Chunks, Claim, Pace, Progress}

  @doc "All chunks in turn, in this process, as far as they can be claimed; their results as one list."
  @spec each(Chunks.source(), (list() -> term()), Pace.t(), Progress.t(), Claim.t() | nil) ::
          {list(), Pace.t(), Progress.t()}
  def each(source, fun, pace, progress, claim \\ nil),
    do: each(source, {fun, claim}, pace, progress, [], 0)

  # `spent` is what the chunks since the last yield have cost.
  defp each(source, {fun, claim} = work, pace, progress, acc, spent) do
    with {chunk, count, rest} <- Chunks.take(source, pace.size),
         true <- begin?(claim, count) do
      {acc, cost, progress} = turn(chunk, count, rest, fun, acc, progress)
      spent = let_others_run(spent + cost, cost, pace.target)
      each(rest, work, Pace.next(pace, count, cost), progress, acc, spent)
    else
      _at_the_end -> {Chunks.concat(acc), pace, progress}
    end
  end

  defp begin?(nil, _count), do: true
  defp begin?(claim, count), do: Claim.begin?(claim, count)

  defp turn(chunk, count, rest, fun, acc, progress) do
    {result, cost} = Pace.measure(fun, chunk)
    {Chunks.join(result, acc), cost, Progress.add(progress, count)}
  catch
    kind, reason ->
      Chunks.close(rest)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  # Unless another chunk like the last one fits in.
  defp let_others_run(spent, cost, target) when spent + cost <= target, do: spent

  defp let_others_run(_spent, _cost, _target) do
    :erlang.yield()
    0
  end
end
