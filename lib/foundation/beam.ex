defmodule Foundation.BEAM do
  @moduledoc """
  The functions of `Foundation.BEAM.*` that are used most, in one place.

  Each is documented with its options and errors in the module that it is of.
  """

  alias Foundation.BEAM.{Ecosystem, Memory, Messages, Processes, Schedulers}
  alias Foundation.Error

  @doc """
  Starts a coordinator and its workers: `Foundation.BEAM.Processes.spawn_ecosystem/1`.

      iex> {:error, error} = Foundation.BEAM.spawn_ecosystem(%{coordinator: Agent})
      iex> error.message
      "invalid ecosystem: :workers is required: expected `{module, options}`"
  """
  @spec spawn_ecosystem(map() | keyword()) :: {:ok, Ecosystem.t()} | {:error, Error.t()}
  defdelegate spawn_ecosystem(config), to: Processes

  @doc """
  Sends data by the way that copies least: `Foundation.BEAM.Messages.send_optimized/3`.

      iex> Foundation.BEAM.send_optimized(self(), :hello)
      {:ok, :sent}
  """
  @spec send_optimized(Messages.destination() | [Messages.destination()], term(), keyword()) ::
          Messages.result()
  defdelegate send_optimized(dest, message, opts \\ []), to: Messages

  @doc """
  Gives memory back and says how much: `Foundation.BEAM.Memory.optimize_memory/2`.

      iex> {:ok, report} = Foundation.BEAM.optimize_memory(:stores)
      iex> is_integer(report.freed_bytes)
      true
  """
  @spec optimize_memory(:automatic | :collect | :binaries | :stores, keyword()) ::
          {:ok, Memory.optimization()}
  defdelegate optimize_memory(strategy \\ :automatic, opts \\ []), to: Memory

  @doc """
  Calls a function with data in chunks and lets others run between them, or has a native kernel
  work on it: `Foundation.BEAM.Schedulers.cpu_intensive/3`.

      iex> Foundation.BEAM.cpu_intensive([1, 2, 3], fn chunk -> Enum.map(chunk, &(&1 + 1)) end)
      [2, 3, 4]
      iex> Foundation.BEAM.cpu_intensive([2, 1], {:native, :sort})
      [1, 2]
  """
  @spec cpu_intensive(term(), (term() -> term()) | Schedulers.kernel(), keyword()) ::
          term() | {:error, Error.t()}
  defdelegate cpu_intensive(data, fun_or_kernel, opts \\ []), to: Schedulers
end
