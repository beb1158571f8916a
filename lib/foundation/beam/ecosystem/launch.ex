defmodule Foundation.BEAM.Ecosystem.Launch do
  @moduledoc false

  # The order of a start: first the top supervisor alone (`empty`), then its members (`fill`).

  alias Foundation.BEAM.Ecosystem.{Config, Inheritance, Reaper, Roster}
  alias Foundation.Error

  @type started :: {:ok, pid(), Roster.table()} | :ignore | {:error, term()}
  @type empty :: (() -> started())
  @type fill :: (started(), begun :: integer() -> result())
  @type result ::
          {:ok, pid(), Roster.table()} | {:error, Error.t() | {:already_started, pid()}}

  @doc "Where an ecosystem of that id is gone, but not all of its members, they are waited for."
  @spec run(Config.t(), empty(), fill()) :: result()
  def run(plan, empty, fill) do
    begun = System.monotonic_time()
    Inheritance.await(plan.id)
    started = empty.()

    if alone?(started, plan) do
      fill.(started, begun)
    else
      # The one before was killed in between.
      Reaper.end_all(elem(started, 1))
      run(plan, empty, fill)
    end
  end

  defp alone?({:ok, _pid, table}, plan),
    do: not Inheritance.anybody_before?(plan.id, table)

  defp alone?(_not_started, _plan), do: true
end
