defmodule Foundation.BEAM.Memory.Atoms.Namespaces do
  @moduledoc false

  # How many atoms each namespace has made, of so many namespaces as are remembered.

  alias Foundation.BEAM.Memory.Atoms.Window

  # With keys of a kilobyte and full windows this is some tens of megabytes; usual ones take one.
  @most 1_024

  @type key :: binary()
  @type rate :: {non_neg_integer(), pos_integer()}
  @type t :: %{key() => {made :: pos_integer(), last :: integer(), Window.t()}}

  @spec most() :: pos_integer()
  def most, do: @most

  @doc "The namespaces with one more atom made at `now`, if the rate allows it."
  @spec admit(t(), key(), rate() | nil, integer()) :: {:ok, t()} | :refused
  def admit(namespaces, key, rate, now) do
    case namespaces do
      %{^key => {made, _last, window}} ->
        with {:ok, window} <- within(window, rate, now),
             do: {:ok, %{namespaces | key => {made + 1, now, window}}}

      _new ->
        with {:ok, window} <- within(Window.new(), rate, now),
             do: namespaces |> room(now) |> enter(key, rate, {1, now, window}, namespaces)
    end
  end

  @spec made(t()) :: %{key() => pos_integer()}
  def made(namespaces), do: Map.new(namespaces, fn {key, {made, _, _}} -> {key, made} end)

  defp within(window, nil, now), do: {:ok, Window.add(window, now)}

  defp within(window, {most, per}, now) do
    if Window.count(window, per, now) < most,
      do: {:ok, window |> Window.keep(per) |> Window.add(now)},
      else: :refused
  end

  # Where all are taken, the one that has been idle longest goes. One that still counts towards a
  # rate stays: to forget it would allow a burst.
  defp room(namespaces, now) when map_size(namespaces) >= @most do
    idle = for {key, {_, last, window}} <- namespaces, Window.past?(window, now), do: {last, key}
    if idle == [], do: :none, else: Map.delete(namespaces, idle |> Enum.min() |> elem(1))
  end

  defp room(namespaces, _now), do: namespaces

  # What has no rate need not be counted.
  defp enter(:none, _key, nil, _entry, namespaces), do: {:ok, namespaces}
  defp enter(:none, _key, _rate, _entry, _namespaces), do: :refused
  defp enter(room, key, _rate, entry, _namespaces), do: {:ok, Map.put(room, key, entry)}
end
