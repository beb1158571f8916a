defmodule Foundation.Eventually do
  @moduledoc "Waits for a state that nobody tells of by a message."

  @doc "Whether the condition comes true within five seconds, or that many milliseconds."
  def eventually?(condition, patience \\ 5_000),
    do: until(condition, System.monotonic_time(:millisecond) + patience)

  @doc "Drops all messages that the calling process has."
  def flush do
    receive do
      _message -> flush()
    after
      0 -> :ok
    end
  end

  defp until(condition, deadline) do
    cond do
      condition.() ->
        true

      System.monotonic_time(:millisecond) > deadline ->
        false

      true ->
        :erlang.yield()
        until(condition, deadline)
    end
  end
end
