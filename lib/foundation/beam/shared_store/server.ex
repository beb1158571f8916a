defmodule Foundation.BEAM.SharedStore.Server do
  @moduledoc false

  # The process that owns a named store. It holds nothing but the store's life: reads and writes go
  # past it. A stop closes the store before the supervisor goes on; a crash closes it by the native
  # monitor of its owner. With an heir, neither does: the store passes to the heir, and a server
  # that starts under the same name takes it back.

  use GenServer

  alias Foundation.BEAM.SharedStore.Options
  alias Foundation.{Error, Native}

  # Milliseconds that a server waits for the name of one that has just ended.
  @patience 5_000

  @spec start_link(map()) :: GenServer.on_start()
  def start_link(%{name: name} = opts), do: GenServer.start_link(__MODULE__, opts, name: name)

  @doc "Tells the server, if there is one, that its store has been closed."
  @spec closed(atom(), pid() | nil) :: :ok
  def closed(nil, _owner), do: :ok

  def closed(name, owner) do
    server = Process.whereis(name)
    # A store has no owner for a moment when it has just been named.
    if is_pid(server) and owner in [nil, server], do: send(server, {__MODULE__, :closed})
    :ok
  end

  @impl true
  def init(opts) do
    Process.flag(:trap_exit, true)

    case take_name(opts, System.monotonic_time(:millisecond) + @patience) do
      {:error, error} -> {:stop, error}
      handle -> {:ok, handle}
    end
  end

  # The native side hears of the end of a process a moment after its supervisor has.
  defp take_name(%{name: name} = opts, deadline) do
    with {:ok, heir} <- whereis(opts.heir),
         {:taken, owner} <- Native.shared_store_new(name, self(), heir, Options.limits(opts)) do
      if alive?(owner) or System.monotonic_time(:millisecond) > deadline do
        text = "a store of this name is alive, of another process or with other limits"
        {:error, Error.new(:already_exists, text, %{name: name, owner: owner})}
      else
        receive do
        after
          1 -> take_name(opts, deadline)
        end
      end
    end
  end

  defp alive?(nil), do: false
  defp alive?(owner), do: Process.alive?(owner)

  defp whereis(pid) when is_pid(pid) or is_nil(pid), do: {:ok, pid}

  defp whereis(name) do
    case Process.whereis(name) do
      pid when is_pid(pid) -> {:ok, pid}
      _none -> {:error, Error.new(:noproc, "the heir is not alive", %{heir: name})}
    end
  end

  @impl true
  def handle_info({__MODULE__, :closed}, handle) do
    if Native.shared_store_about(handle) == :gone,
      do: {:stop, :normal, handle},
      else: {:noreply, handle}
  end

  def handle_info(_other, handle), do: {:noreply, handle}

  # The store may have been given away since.
  @impl true
  def terminate(_reason, handle) do
    case Native.shared_store_about(handle) do
      {_id, _name, owner, nil} when owner == self() -> Native.shared_store_close(handle)
      _heir_or_gone -> :ok
    end
  end
end
