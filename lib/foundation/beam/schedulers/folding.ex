defmodule Foundation.BEAM.Schedulers.Folding do
  @moduledoc false

  # A kernel in Elixir at work on a list, in the caller. The VM lets others run meanwhile; what is
  # looked at in between is the clock, the cancel handle and who wants to know.

  alias Foundation.BEAM.Schedulers.{Ends, Progress}
  alias Foundation.Error

  # Elements between two looks: some tens of microseconds.
  @stretch 10_000

  @doc "The result, or `:native` where only the native kernel knows."
  @spec run(module(), list(), Ends.t(), map()) :: term() | {:error, Error.t()} | :native
  def run(module, list, ends, options) do
    progress = Progress.new(options.progress, options.progress_interval, :unknown)

    case fold(module, list, nil, ends, progress, 0) do
      {:done, result, progress} ->
        Progress.finish(progress)
        result

      :native ->
        :native

      verdict ->
        Ends.error(verdict, options.timeout)
    end
  end

  defp fold(module, list, acc, ends, progress, done) do
    with :ok <- Ends.check(ends) do
      case module.fold(list, acc, @stretch) do
        {:cont, rest, acc} ->
          done = done + @stretch
          fold(module, rest, acc, ends, tell(progress, rest, done), done)

        {:done, result} ->
          {:done, result, Progress.at(progress, done + length(list), done + length(list))}

        :native ->
          :native
      end
    end
  end

  # The end is told with the result, and once.
  defp tell(progress, [], _done), do: progress
  defp tell(progress, rest, done), do: Progress.at(progress, done, total(progress, rest, done))

  # Counted once, for whoever wants to know; a list that is none ends elsewhere.
  defp total(nil, _rest, _done), do: :unknown
  defp total(%{total: :unknown}, rest, done), do: done + proper(rest, 0)
  defp total(%{total: total}, _rest, _done), do: total

  defp proper([_ | rest], count), do: proper(rest, count + 1)
  defp proper(_end, count), do: count
end
