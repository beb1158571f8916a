defmodule Foundation.BEAM.Ecosystem.Intensity do
  @moduledoc false

  # How often each worker has failed lately. Supervisors bound restarts too, but of all that they have
  # together: where workers are many, these may be many, and one worker that never stops failing
  # stays below. So it has a bound of its own, unless the configuration says how many restarts there may be;
  # then its supervisor allows no more for one either. The coordinator's has no other to count with it.
  #
  # Pure. It costs the steward a list of a few times for each worker that has failed lately, nothing for
  # others.

  # Failures within the time that are made good; the next one is too many. As many as OTP's
  # supervisors allow unless told otherwise.
  @most 3

  # How many there may be before those are looked for whose time is over.
  @few 64

  defstruct times: %{}, sweep: @few

  @type t :: %__MODULE__{times: %{pos_integer() => [integer(), ...]}, sweep: pos_integer()}

  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc "Whether workers of that plan are counted."
  @spec counts?(Foundation.BEAM.Ecosystem.Config.t(), non_neg_integer()) :: boolean()
  def counts?(_plan, 0), do: false

  def counts?(plan, _number) do
    plan.fault_tolerance == :self_healing and plan.max_restarts == nil and
      plan.supervision != :one_for_all
  end

  @doc "A failure at that time, and whether it is one too many within a window of that length."
  @spec count(t(), pos_integer(), integer(), pos_integer()) :: {:within | :over, t()}
  def count(%__MODULE__{times: times} = counts, number, now, window) do
    recent = Enum.take_while(Map.get(times, number, []), &(now - &1 < window))

    if length(recent) < @most,
      do:
        {:within, sweep(%{counts | times: Map.put(times, number, [now | recent])}, now, window)},
      else: {:over, counts}
  end

  # Each sweep is paid for by as many failures since the one before.
  defp sweep(%{times: times, sweep: sweep} = counts, _now, _window) when map_size(times) < sweep,
    do: counts

  defp sweep(%{times: times}, now, window) do
    times = Map.filter(times, fn {_number, [newest | _]} -> now - newest < window end)
    %__MODULE__{times: times, sweep: max(@few, 2 * map_size(times))}
  end
end
