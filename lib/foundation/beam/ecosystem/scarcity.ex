defmodule Foundation.BEAM.Ecosystem.Scarcity do
  @moduledoc false

  # How scarce memory is, between two samples of an ecosystem: a change of the level is what it tells. The
  # same levels as of a `Memory.Monitor` that has no options, and none need run.
  #
  # A look opens files of the system, about a millisecond, so there is one a second at most, however
  # often members are counted.

  alias Foundation.BEAM.Memory.{OS, Pressure}
  alias Foundation.Options

  @schema Options.schema!(Pressure.options())
  @milliseconds 1_000

  @enforce_keys [:thresholds]
  defstruct [:thresholds, level: :low, due: nil, root: "/"]

  @type t :: %__MODULE__{}

  @typedoc "Measurements and metadata, those of the monitor's event."
  @type change :: {map(), map()}

  @doc "Before the first look the level counts as `:low`."
  @spec new() :: t()
  def new, do: %__MODULE__{thresholds: Options.validate!([], @schema, "Memory.pressure/1")}

  @doc "What has changed since the look before, `nil` where nothing has or none is due."
  @spec look(t(), integer()) :: {change() | nil, t()}
  def look(state, now \\ System.monotonic_time(:millisecond))

  def look(%{due: due} = state, now) when due != nil and now < due, do: {nil, state}

  def look(%{root: root, level: previous} = state, now) do
    found = Pressure.tightest(OS.read(root).limits)
    level = Pressure.next(previous, found.fraction, state.thresholds)
    state = %{state | level: level, due: now + @milliseconds}
    {if(level != previous, do: change(found, level, previous)), state}
  end

  # Without any limit nothing is near to it.
  defp change(found, level, previous) do
    measurements = %{fraction: found.fraction, used: found.used || 0, limit: found.limit || 0}
    {measurements, %{level: level, previous: previous, kind: found.kind}}
  end
end
