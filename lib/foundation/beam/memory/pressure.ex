defmodule Foundation.BEAM.Memory.Pressure do
  @moduledoc false

  # From limits to a level; pure. The level rises as soon as a threshold is reached, and falls only when
  # the fraction is below the threshold by the hysteresis: between the two it stays what it is.

  alias Foundation.BEAM.Memory.OS
  alias Foundation.Options

  @type level :: :low | :medium | :high
  @type thresholds :: %{medium: number(), high: number(), hysteresis: number()}

  @typedoc "How full the fullest limit is (1.0 is full; `memory.high` may be passed), and which it is."
  @type state :: %{
          fraction: float(),
          kind: atom(),
          limit: non_neg_integer() | nil,
          used: non_neg_integer() | nil
        }

  @thresholds [
    medium: [
      type: {:float, 0.0, 1.0},
      default: 0.75,
      doc: "The part of the limit from which the level is `:medium`."
    ],
    high: [
      type: {:float, 0.0, 1.0},
      default: 0.9,
      doc: "The part of the limit from which the level is `:high`. Above `medium`."
    ]
  ]

  @hysteresis [
    hysteresis: [
      type: {:float, 0.0, 1.0},
      default: 0.05,
      doc:
        "How far below its threshold the part must be for the level to fall again. Below `medium`."
    ]
  ]

  @schema Options.schema!(@thresholds)

  @doc "The options that thresholds come from, to go into a schema."
  @spec options() :: keyword()
  def options, do: @thresholds ++ @hysteresis

  @doc "The schema of `Memory.pressure/1`."
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "Raises `ArgumentError` unless the thresholds are in order."
  @spec in_order!(map(), String.t()) :: map()
  def in_order!(%{medium: medium, high: high} = values, where) do
    medium > 0 || refuse!(:medium, "a number above 0", medium, where)
    high > medium || refuse!(:high, "a number above :medium (#{medium})", high, where)

    case values do
      %{hysteresis: hysteresis} when hysteresis >= medium ->
        refuse!(:hysteresis, "a number below :medium (#{medium})", hysteresis, where)

      _ ->
        values
    end
  end

  defp refuse!(name, expected, value, where) do
    raise ArgumentError,
          "invalid option #{inspect(name)} in #{where}: expected #{expected}, " <>
            "got: #{Options.given(value)}"
  end

  @doc "The limit that is fullest, by the part that is used; of equal ones the first."
  @spec tightest([OS.limit()]) :: state()
  def tightest([]), do: %{fraction: 0.0, kind: nil, limit: nil, used: nil}

  def tightest(limits) do
    fullest = Enum.max_by(limits, &fraction/1)

    fullest
    |> Map.take([:kind, :limit, :used])
    |> Map.put(:fraction, fraction(fullest))
  end

  # A limit of nothing is full.
  defp fraction(%{limit: 0}), do: 1.0
  defp fraction(%{limit: limit, used: used}), do: used / limit

  @doc "The level without a past."
  @spec level(number(), %{medium: number(), high: number()}) :: level()
  def level(fraction, thresholds), do: level(fraction, thresholds.medium, thresholds.high)

  @doc "The level after `previous`."
  @spec next(level(), number(), thresholds()) :: level()
  def next(previous, fraction, %{medium: medium, high: high, hysteresis: band}) do
    # At least what it would be without a past, at most what it would be if the thresholds lay lower.
    least = level(fraction, medium, high)
    most = level(fraction, medium - band, high - band)

    cond do
      rank(previous) < rank(least) -> least
      rank(previous) > rank(most) -> most
      true -> previous
    end
  end

  @doc "Levels in order, as numbers."
  @spec rank(level()) :: 0..2
  def rank(:low), do: 0
  def rank(:medium), do: 1
  def rank(:high), do: 2

  defp level(fraction, _medium, high) when fraction >= high, do: :high
  defp level(fraction, medium, _high) when fraction >= medium, do: :medium
  defp level(_fraction, _medium, _high), do: :low
end
