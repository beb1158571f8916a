defmodule Foundation.BEAM.Schedulers.Reductions do
  @moduledoc false

  # The VM's own count of the work that a process does.

  @doc "The result of the function and the reductions that the caller has used for it."
  @spec measure((() -> result)) :: {result, non_neg_integer()} when result: term()
  def measure(fun) do
    # Measuring costs some itself: what it counts for a function that does nothing.
    {_nothing, overhead} = count(fn -> nil end)
    {result, count} = count(fun)
    {result, max(0, count - overhead)}
  end

  defp count(fun) do
    from = used()
    result = fun.()
    {result, used() - from}
  end

  @doc "Reductions of the caller so far, those of its present turn included."
  @spec used() :: non_neg_integer()
  def used do
    {:reductions, count} = :erlang.process_info(self(), :reductions)
    count
  end
end
