defmodule Foundation.Native.Loader do
  @moduledoc false

  # Finds the native library and says in one sentence why it is not to be had. The compiler task
  # asks the same questions of a library before it installs it.

  @version Mix.Project.config()[:version]
  @mark "foundation_nif_version="
  @variable "FOUNDATION_NIF_PATH"

  # Why the library did not load: `@on_load` runs in a process of its own, and all that the VM
  # passes on from there is `:on_load_failure`.
  @fault {__MODULE__, :fault}

  @doc "The version that the library must have."
  @spec version() :: String.t()
  def version, do: @version

  @doc "What the library is called; the extension is the one that `:erlang.load_nif/2` appends."
  @spec file_name() :: String.t()
  def file_name, do: "foundation_nif" <> extension()

  @doc "The library that #{@variable} names, `nil` where it names none."
  @spec prebuilt() :: {:ok, Path.t()} | {:error, String.t()} | nil
  def prebuilt do
    case System.get_env(@variable, "") do
      "" -> nil
      file -> prebuilt(file, Path.type(file), Path.extname(file) == extension())
    end
  end

  @doc "Loads the module of the stubs, and the library with it."
  @spec ensure(module()) :: :ok | {:error, String.t()}
  def ensure(stubs) do
    # Verified before it is loaded: a refusal by the VM comes with a report of its own in the log.
    with {:ok, file} <- file(), :ok <- verify(file) do
      case Code.ensure_loaded(stubs) do
        {:module, _} -> :ok
        {:error, reason} -> {:error, :persistent_term.get(@fault, does_not_load(file, reason))}
      end
    end
  end

  @doc "`:ok` for a library of this version, otherwise the sentence that says what is wrong."
  @spec verify(Path.t()) :: :ok | {:error, String.t()}
  def verify(file) do
    case version_of(file) do
      {:ok, @version} -> :ok
      {:ok, other} -> fault(file, "is of version #{other}, but this is Foundation #{@version}")
      {:error, :no_mark} -> fault(file, "is not one: it bears no version of Foundation")
      {:error, reason} -> fault(file, "cannot be read: #{:file.format_error(reason)}")
    end
  end

  @doc "The version written in a library file."
  @spec version_of(Path.t()) :: {:ok, String.t()} | {:error, :no_mark | File.posix()}
  def version_of(file) do
    with {:ok, bytes} <- File.read(file),
         [_, rest] <- :binary.split(bytes, @mark),
         [_, version] <- Regex.run(~r/\A([0-9A-Za-z.+-]{1,64});/, rest) do
      {:ok, version}
    else
      {:error, reason} -> {:error, reason}
      _ -> {:error, :no_mark}
    end
  end

  @doc "The path as `:erlang.load_nif/2` wants it: without the extension."
  @spec path() :: charlist()
  def path do
    case file() do
      {:ok, file} -> file |> Path.rootname() |> String.to_charlist()
      # Not a path: loading it fails, which `check/1` explains.
      {:error, _} -> []
    end
  end

  @doc "Turns the result of `:erlang.load_nif/2` into that of an `@on_load` function."
  @spec check(:ok | {:error, {atom(), charlist()}}) :: :ok | {:error, String.t()}
  def check(:ok), do: :ok

  def check({:error, {_reason, text}}) do
    {:error, sentence} =
      with {:ok, file} <- file(), :ok <- verify(file), do: {:error, does_not_load(file, text)}

    :persistent_term.put(@fault, sentence)
    {:error, sentence}
  end

  defp file do
    with nil <- prebuilt() do
      {:ok, Application.app_dir(:foundation, ["priv", "native", file_name()])}
    end
  end

  defp prebuilt(file, :absolute, true), do: {:ok, file}

  defp prebuilt(file, _type, _extension) do
    {:error, "#{@variable} must be an absolute path that ends in #{extension()}, got: #{file}"}
  end

  defp extension do
    case :os.type() do
      {:win32, _} -> ".dll"
      _ -> ".so"
    end
  end

  defp does_not_load(file, reason), do: "#{name(file)} does not load: #{reason}"

  defp fault(file, what), do: {:error, "#{name(file)} #{what}"}

  defp name(file) do
    case System.get_env(@variable) do
      ^file -> "Foundation's native library #{file} (#{@variable})"
      _ -> "Foundation's native library #{file}"
    end
  end
end
