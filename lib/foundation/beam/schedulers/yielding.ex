defmodule Foundation.BEAM.Schedulers.Yielding do
  @moduledoc false

  # An enumerable whose walks give up the scheduler when they have used so many reductions.

  @enforce_keys [:enumerable, :every]
  defstruct [:enumerable, :every]

  @type t :: %__MODULE__{enumerable: Enumerable.t(), every: pos_integer()}

  defimpl Enumerable do
    @moduledoc false

    alias Foundation.BEAM.Schedulers.Reductions

    # Asking the VM for the count costs as much as several small elements do. So it is asked once for
    # as many elements as used a quarter of what is allowed the last time, but never many: they may
    # be followed by others that use more.
    @looks 4
    @longest 32

    # No shortcuts: every walk is one that yields.
    def count(_yielding), do: {:error, __MODULE__}
    def member?(_yielding, _element), do: {:error, __MODULE__}
    def slice(_yielding), do: {:error, __MODULE__}

    def reduce(%{enumerable: enumerable, every: every}, {command, acc}, fun) do
      used = Reductions.used()

      # Elements until the next look, elements from the last look to it, the counts of the last look
      # and of the last yield.
      start = {acc, {1, 0, used, used}}

      step = fn element, {acc, pace} ->
        pace = pace(pace, every)
        {command, acc} = fun.(element, acc)
        {command, {acc, pace}}
      end

      unwrap(Enumerable.reduce(enumerable, {command, start}, step))
    end

    defp unwrap({:suspended, {acc, pace}, continue}) do
      {:suspended, acc, fn {command, acc} -> unwrap(continue.({command, {acc, pace}})) end}
    end

    defp unwrap({ended, {acc, _pace}}), do: {ended, acc}

    defp pace({until, step, looked, yielded}, _every) when until > 1,
      do: {until - 1, step, looked, yielded}

    defp pace({_until, step, looked, yielded}, every) do
      used = Reductions.used()
      # Where the walk goes on in another process, the count may have gone back.
      yielded = if used - yielded >= every, do: yield(), else: min(yielded, used)
      step = (step * every) |> div(@looks * max(1, used - looked)) |> max(1) |> min(@longest)
      {step, step, max(used, yielded), yielded}
    end

    defp yield do
      :erlang.yield()
      Reductions.used()
    end
  end
end
