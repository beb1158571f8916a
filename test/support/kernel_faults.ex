defmodule Foundation.KernelFaults do
  @moduledoc "Kernels called with what is wrong, and what comes of it."

  import ExUnit.Assertions

  alias Foundation.BEAM.Schedulers
  alias Foundation.Error

  @numbers [:sum, :mean, :variance, :min, :max, :quantiles, :histogram, :sort, :top_k]
  @bytes [:count, :words, :xxh3_64, :xxh3_128]

  @doc "Kernels that take numbers."
  def numbers, do: @numbers

  @doc "Kernels that take a binary or several."
  def bytes, do: @bytes

  @doc "Every kernel."
  def kernels, do: @numbers ++ @bytes ++ [:compress_many]

  @doc "The options that a kernel cannot do without."
  def needed(:quantiles), do: [q: [0.5]]
  def needed(:histogram), do: [bins: 2, min: 0, max: 1]
  def needed(:top_k), do: [k: 2]
  def needed(:count), do: [pattern: "a"]
  def needed(_kernel), do: []

  @doc "Runs a kernel, with what it needs unless that is given."
  def run(data, kernel, opts \\ []),
    do: Schedulers.cpu_intensive(data, {:native, kernel}, opts ++ needed(kernel))

  @doc "The error that a kernel returns."
  def error(data, kernel, opts \\ []) do
    assert {:error, %Error{} = error} = run(data, kernel, opts)
    assert error.message != ""
    error
  end

  @doc "Its type."
  def type(data, kernel, opts \\ []), do: error(data, kernel, opts).error_type

  @doc "The message of the `ArgumentError` that the function raises: short, whatever was given."
  def raised(fun) do
    message = assert_raise(ArgumentError, fun).message
    assert byte_size(message) < 1_500
    message
  end

  @doc "The message with which a kernel is refused."
  def refused(data, kernel, opts \\ []), do: raised(fn -> run(data, kernel, opts) end)

  @doc "The same of data, which names the kernel."
  def refused_data(data, kernel) do
    message = refused(data, kernel)
    assert message =~ inspect(kernel)
    message
  end

  @doc "More integers than are worked on at once."
  def long, do: Enum.to_list(1..200_000)

  @doc "Asserts that the caller has no message, and no monitor but those it had."
  def nothing_left(monitors) do
    refute_received _
    assert Process.info(self(), :monitors) == {:monitors, monitors}
  end

  @doc "The caller's monitors, for `nothing_left/1`."
  def monitors do
    {:monitors, monitors} = Process.info(self(), :monitors)
    monitors
  end
end
