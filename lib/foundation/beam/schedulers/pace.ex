defmodule Foundation.BEAM.Schedulers.Pace do
  @moduledoc false

  # How many items a chunk gets, so that its call costs about as many reductions as asked for.
  #
  # It begins with one item and doubles. It stops doubling once half the reductions are used, unless
  # an item of the larger chunk was much cheaper than one of the smaller: then most of the cost is of
  # the call itself, and small chunks would pay it over and over. In that case the target is raised
  # to twice that fixed cost, and about half of what is done is work on items. From then on the size
  # follows what each chunk has cost.

  alias Foundation.BEAM.Schedulers.Reductions

  # What takes longer for its reductions than Elixir does (a NIF, a regular expression) is counted by its
  # time: 2,000 of them are a quarter of a millisecond. A ticker beside four callers on two schedulers is
  # then up to 4 ms late (p99); by half a millisecond it was up to 6.
  @ns_per_reduction 125

  # What a worker takes at once: some tenths of a millisecond, next to which the two messages of
  # asking for more (a few microseconds) do not show.
  @batch 40_000
  @most_chunks 64

  @enforce_keys [:size, :target, :phase]
  defstruct [:size, :target, :phase, :last, :cost]

  @type t :: %__MODULE__{
          size: pos_integer(),
          target: pos_integer(),
          phase: :fixed | :ramp | :steady,
          last: {pos_integer(), pos_integer()} | nil,
          cost: pos_integer() | nil
        }

  @doc "For chunks of about `limit` reductions, or of a fixed number of items."
  @spec new(pos_integer(), :auto | pos_integer()) :: t()
  def new(limit, :auto), do: %__MODULE__{size: 1, target: limit, phase: :ramp}
  def new(limit, size), do: %__MODULE__{size: size, target: limit, phase: :fixed}

  @doc "The function's result for the chunk, and what the call cost, in reductions."
  @spec measure((term() -> result), term()) :: {result, pos_integer()} when result: term()
  def measure(fun, chunk) do
    started = :erlang.monotonic_time(:nanosecond)
    before = Reductions.used()
    result = fun.(chunk)
    used = Reductions.used() - before
    took = :erlang.monotonic_time(:nanosecond) - started
    {result, used |> max(div(took, @ns_per_reduction)) |> max(1)}
  end

  @doc "The pace after a chunk of `count` items that cost `cost`."
  @spec next(t(), pos_integer(), pos_integer()) :: t()
  def next(%__MODULE__{phase: :fixed} = pace, _count, cost), do: %{pace | cost: cost}

  # The rest of the data, or of a batch: it tells less than the full chunks before it.
  def next(%__MODULE__{size: size, target: target} = pace, count, cost)
      when count < size and cost <= target,
      do: pace

  def next(%__MODULE__{phase: :ramp, last: nil} = pace, count, cost),
    do: %{pace | size: 2 * count, last: {count, cost}, cost: cost}

  def next(%__MODULE__{phase: :ramp, last: {_, _} = last, target: target} = pace, count, cost) do
    cond do
      2 * cost <= target or cheaper?(last, count, cost) ->
        %{pace | size: 2 * count, last: {count, cost}, cost: cost}

      true ->
        target = max(target, 2 * fixed_cost(last, count, cost))
        follow(%{pace | phase: :steady, target: target, last: nil}, count, cost)
    end
  end

  def next(%__MODULE__{phase: :steady} = pace, count, cost), do: follow(pace, count, cost)

  @doc "How many items a worker asks for at once: a whole number of chunks."
  @spec batch(t()) :: pos_integer()
  def batch(%__MODULE__{phase: :ramp, size: size}), do: size
  def batch(%__MODULE__{size: size, cost: nil}), do: size

  def batch(%__MODULE__{size: size, cost: cost}),
    do: size * (@batch |> div(cost) |> max(1) |> min(@most_chunks))

  @doc "What batches must be multiples of."
  @spec unit(t()) :: pos_integer()
  def unit(%__MODULE__{phase: :fixed, size: size}), do: size
  def unit(_pace), do: 1

  # A chunk that stands out moves the size by a factor of four down or two up at most.
  defp follow(pace, count, cost) do
    wanted = div(count * pace.target, cost)
    %{pace | size: wanted |> max(div(count, 4)) |> min(2 * count) |> max(1), cost: cost}
  end

  # Whether an item cost less than three quarters of what one of the chunk before did.
  defp cheaper?({last_count, last_cost}, count, cost),
    do: cost * last_count * 4 < last_cost * count * 3

  # Where the line through both measurements meets no items at all.
  defp fixed_cost({same, _last_cost}, same, _cost), do: 0

  defp fixed_cost({last_count, last_cost}, count, cost) do
    fixed = div(last_cost * count - cost * last_count, count - last_count)
    fixed |> max(0) |> min(cost)
  end
end
