defmodule Foundation.BEAM.Ecosystem.Launch do
  @moduledoc false

  # The order of a start: first the top supervisor with the steward (`empty`), then its members. Whatever
  # somebody else does to it meanwhile is an error of the start, and nothing of it is left.

  alias Foundation.BEAM.Ecosystem

  alias Foundation.BEAM.Ecosystem.{
    Config,
    Events,
    Info,
    Inheritance,
    Names,
    Orphans,
    Reaper,
    Roster,
    Shutdown,
    Starter
  }

  alias Foundation.Error

  # `{:ok, pid}` is what `DynamicSupervisor` might give as well, and does not.
  @type empty ::
          (() -> {:ok, pid(), Roster.table()} | {:ok, pid()} | :ignore | {:error, term()})
  @type result ::
          {:ok, pid(), Roster.table()} | {:error, Error.t() | {:already_started, pid()}}

  @doc "Where an ecosystem of that id is gone, but not all of its members, they are waited for."
  @spec run(Config.t(), empty()) :: result()
  def run(plan, empty) do
    begun = System.monotonic_time()
    Orphans.await(plan.id)

    case empty.() do
      {:ok, top, table} -> alone(plan, empty, {top, table, begun})
      :ignore -> taken(plan, empty)
      {:error, %Error{}} = error -> error
      {:error, reason} -> {:error, Starter.failed(plan, nil, reason)}
    end
  end

  # One before that lives has lost its name: with the registry, which has been started anew.
  defp alone(plan, empty, {top, table, begun}) do
    case Inheritance.before(plan.id, table) do
      :nobody ->
        members(plan, top, table, begun)

      {:living, other} ->
        discard(top, table)
        {:error, {:already_started, other}}

      # It was killed in between.
      :ending ->
        discard(top, table)
        run(plan, empty)
    end
  end

  defp discard(top, table) do
    Reaper.end_all(top)
  rescue
    SystemLimitError ->
      Process.exit(top, :kill)
      Inheritance.gone(table)
  end

  # The name was taken. Who had it may have ended since, or the registry is being started anew.
  defp taken(plan, empty) do
    case Names.holder(plan.id) do
      nil ->
        receive do
        after
          1 -> run(plan, empty)
        end

      pid ->
        {:error, {:already_started, pid}}
    end
  end

  defp members(plan, top, table, begun) do
    with :ok <- Starter.fill(top, table, plan) do
      Events.started(plan, top, begun)
      {:ok, top, table}
    end
  rescue
    error in [ArgumentError, ErlangError, SystemLimitError] ->
      reason = reason(error, :ets.info(table, :owner) == top)
      if plan.linked?, do: unlink(top)
      Shutdown.stop(top, table, Shutdown.limit(plan))

      if reason,
        do: {:error, Starter.failed(plan, nil, reason)},
        else: reraise(error, __STACKTRACE__)
  end

  defp reason(%SystemLimitError{}, _there?), do: :system_limit
  defp reason(_error, false), do: :ended
  defp reason(_error, true), do: nil

  # It may have been linked, and have ended, when that was found out.
  defp unlink(top) do
    Process.unlink(top)

    receive do
      {:EXIT, ^top, _reason} -> :ok
    after
      0 -> :ok
    end
  end

  @doc "The struct of one that has just started, and may have been ended since."
  @spec struct(Config.t(), pid(), Roster.table()) :: {:ok, Ecosystem.t()} | {:error, Error.t()}
  def struct(plan, top, table) do
    {:ok, Info.started(top, table)}
  rescue
    error in ArgumentError ->
      if :ets.info(table, :owner) == top,
        do: reraise(error, __STACKTRACE__),
        else: {:error, Starter.failed(plan, nil, :ended)}
  end
end
