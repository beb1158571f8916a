defmodule Foundation.Native.Loader do
  @moduledoc false

  # Finds the native library and says in one sentence why it does not load.

  @version Mix.Project.config()[:version]
  @mark "foundation_nif_version="

  @doc "The version that the library must have."
  @spec version() :: String.t()
  def version, do: @version

  @doc "The library's path without its extension, as `:erlang.load_nif/2` wants it."
  @spec path() :: charlist()
  def path, do: file() |> Path.rootname() |> String.to_charlist()

  @doc "Raises with the reason where the library does not load."
  @spec ensure!() :: :ok
  def ensure! do
    case Code.ensure_loaded(Foundation.Native) do
      {:module, _} -> :ok
      {:error, reason} -> raise "Foundation's native library is not loaded: #{why(reason)}"
    end
  end

  @doc "Turns the result of `:erlang.load_nif/2` into that of an `@on_load` function."
  @spec check(:ok | {:error, {atom(), charlist()}}) :: :ok | {:error, term()}
  def check(:ok), do: :ok
  def check({:error, {reason, text}}), do: {:error, {reason, text}}

  defp why(_reason), do: "see the log"

  defp file do
    System.get_env("FOUNDATION_NIF_PATH") ||
      Application.app_dir(:foundation, "priv/native/foundation_nif.so")
  end

  @doc "The version written in a library file, `nil` where there is none."
  @spec version_of(Path.t()) :: String.t() | nil
  def version_of(file) do
    with {:ok, bytes} <- File.read(file),
         [_, rest] <- :binary.split(bytes, @mark),
         [version, _] <- :binary.split(rest, ";") do
      version
    else
      _ -> nil
    end
  end
end
