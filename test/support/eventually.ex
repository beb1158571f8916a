defmodule Foundation.Eventually do
  @moduledoc "Waits for a state that nobody tells of by a message."

  @doc "Whether the condition comes true within five seconds."
  def eventually?(condition), do: until(condition, System.monotonic_time(:millisecond) + 5_000)

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
