defmodule Foundation.Eventually do
  @moduledoc "Waits for a state that nobody tells of by a message."

  # Looks that come at once: most of what is waited for is there by then.
  @soon 1_000

  @doc "Whether the condition comes true within thirty seconds, or that many milliseconds."
  def eventually?(condition, patience \\ 30_000),
    do: until(condition, System.monotonic_time(:millisecond) + patience, @soon)

  @doc "Drops all messages that the calling process has."
  def flush do
    receive do
      _message -> flush()
    after
      0 -> :ok
    end
  end

  # The time is taken before the last look: what came while the machine stood still is seen.
  defp until(condition, deadline, soon) do
    last? = System.monotonic_time(:millisecond) > deadline

    cond do
      condition.() ->
        true

      last? ->
        false

      soon > 0 ->
        :erlang.yield()
        until(condition, deadline, soon - 1)

      # A long wait leaves the machine to those who are waited for.
      true ->
        receive do
        after
          1 -> until(condition, deadline, 0)
        end
    end
  end
end
