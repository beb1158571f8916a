defmodule Foundation.BEAM.Schedulers.Turns do
  @moduledoc false

  # The loop over chunks, in the caller and in every worker: call, measure, let others run.

  alias Foundation.BEAM.Schedulers.{Chunks, Pace, Progress}

  @doc "All chunks in turn, in this process; their results as one list."
  @spec each(Chunks.source(), (list() -> term()), Pace.t(), Progress.t()) ::
          {list(), Pace.t(), Progress.t()}
  def each(source, fun, pace, progress), do: each(source, fun, pace, progress, [], 0)

  # `spent` is what the chunks since the last yield have cost.
  defp each(source, fun, pace, progress, acc, spent) do
    case Chunks.take(source, pace.size) do
      {chunk, count, rest} ->
        {acc, cost, progress} = turn(chunk, count, rest, fun, acc, progress)
        spent = let_others_run(spent + cost, cost, pace.target)
        each(rest, fun, Pace.next(pace, count, cost), progress, acc, spent)

      :done ->
        {Chunks.concat(acc), pace, progress}
    end
  end

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
