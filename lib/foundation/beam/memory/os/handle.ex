defmodule Foundation.BEAM.Memory.OS.Handle do
  @moduledoc false

  # A file of the kernel that is read again and again: opened once, read from its start each time. It
  # belongs to the process that opened it, and the VM closes it when that process ends.

  # Raw files go past the VM's file server, which may be busy or, early in a start, not there.
  @modes [:raw, :read, :binary]

  # No list of mounts is longer in earnest.
  @largest 4_194_304
  @piece 65_536

  @type t :: {:file.fd(), pos_integer()}

  @doc "Opens the file; `size` is the most that a read gives. `nil` where it cannot be opened."
  @spec open(Path.t(), pos_integer()) :: t() | nil
  def open(path, size) do
    case :file.open(path, @modes) do
      {:ok, file} -> {file, size}
      {:error, _reason} -> nil
    end
  end

  @doc "What the file says now; `nil` where it says nothing any more."
  @spec read(t() | nil) :: binary() | nil
  def read(nil), do: nil

  def read({file, size}) do
    case :file.pread(file, 0, size) do
      {:ok, text} when is_binary(text) -> text
      :eof -> ""
      {:error, _reason} -> nil
    end
  end

  @doc "Closes the file."
  @spec close(t() | nil) :: :ok
  def close(nil), do: :ok

  def close({file, _size}) do
    _ = :file.close(file)
    :ok
  end

  @doc "All of a file of unknown length, up to 4 MiB; `\"\"` where it cannot be read."
  @spec whole(Path.t()) :: binary()
  def whole(path) do
    case open(path, @piece) do
      nil ->
        ""

      {file, _size} = handle ->
        text = pieces(file, [], 0)
        close(handle)
        text
    end
  end

  # From where the last one ended: files of the kernel have no length that could be asked for.
  defp pieces(file, read, length) do
    with true <- length < @largest, {:ok, piece} <- :file.read(file, @piece) do
      pieces(file, [read, piece], length + byte_size(piece))
    else
      _end_or_error -> IO.iodata_to_binary(read)
    end
  end
end
