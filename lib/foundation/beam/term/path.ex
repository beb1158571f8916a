defmodule Foundation.BEAM.Term.Path do
  @moduledoc false

  # Follows a path through a term of the caller's own. The walk is the one that reads shared terms,
  # so that a path means the same in both; the part is not copied.

  alias Foundation.{Error, Native, Options}

  @spec fetch(term(), [term()]) :: {:ok, term()} | {:error, Error.t()}
  def fetch(term, path) when is_list(path) do
    case Native.path_fetch(term, path) do
      {:ok, _part} = ok -> ok
      :dirty -> term |> Native.path_fetch_dirty(path) |> refuse(path)
      other -> refuse(other, path)
    end
  end

  def fetch(_term, path), do: invalid!(path)

  @doc "What the native side says of a path that leads nowhere."
  @spec refuse(term(), [term()]) :: {:ok, term()} | {:error, Error.t()}
  def refuse(:improper, path), do: invalid!(path)

  def refuse({:error, {type, message, %{at: at}}}, path) do
    {:error, Error.new(type, message, %{at: at, step: Enum.at(path, at)})}
  end

  def refuse(other, _path), do: Error.wrap(other)

  @doc "Raises for what is no path."
  @spec invalid!(term()) :: no_return()
  def invalid!(path) do
    raise ArgumentError, "expected a path (a proper list of steps), got: #{Options.given(path)}"
  end
end
