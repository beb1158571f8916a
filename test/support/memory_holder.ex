defmodule Foundation.MemoryHolder do
  @moduledoc "Memory that another VM holds, or has in its page cache, because a test calls this there."

  @mib 1_048_576

  @doc "Holds so many MiB under a name, until `release/1`."
  def hold(name, mib) do
    caller = self()
    ref = make_ref()

    spawn(fn ->
      Process.register(self(), name)
      binary = :binary.copy(:binary.copy("x", @mib), mib)
      send(caller, {ref, byte_size(binary)})
      receive do: (:never -> binary)
    end)

    receive do: ({^ref, _size} -> :ok)
  end

  @doc "Lets go of what is held under the name."
  def release(name) do
    ref = Process.monitor(name)
    Process.exit(Process.whereis(name), :kill)
    receive do: ({:DOWN, ^ref, _, _, _} -> :ok)
  end

  @doc "Writes a file of so many MiB and sees it to the disk, so that what is cached of it is clean."
  def write(file, mib) do
    {:ok, handle} = :file.open(file, [:raw, :write, :binary])
    piece = :binary.copy("x", @mib)

    for _ <- 1..mib do
      :ok = :file.write(handle, piece)
      :ok = :file.datasync(handle)
    end

    :file.close(handle)
  end
end
