defmodule Foundation.Isolated do
  @moduledoc """
  `use Foundation.Isolated` in tests of `Foundation.BEAM.Memory.isolate/2`: after each of them, no
  process that came with it is left, and after each call no message.
  """

  defmodule Unshown do
    @moduledoc "An exception whose own functions fail."
    defexception [:held]
    def message(_exception), do: exit(:message)

    defimpl Inspect do
      def inspect(_exception, _opts), do: throw(:inspect)
    end
  end

  defmodule Unending do
    @moduledoc "An exception that takes for ever to be shown."
    defexception [:held]
    def message(_exception), do: Process.sleep(:infinity)

    defimpl Inspect do
      def inspect(_exception, _opts), do: Process.sleep(:infinity)
    end
  end

  import ExUnit.Assertions

  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.Isolation.{Guard, Worker}
  alias Foundation.{Error, Eventually}

  defmacro __using__(_opts) do
    quote do
      import Foundation.Isolated

      setup do
        on_exit(fn -> assert Foundation.Eventually.eventually?(fn -> helpers() == [] end) end)
      end
    end
  end

  @doc "Workers and guards that are alive."
  def helpers do
    for pid <- Process.list(), ours?(Process.info(pid, :current_stacktrace)), do: pid
  end

  defp ours?({:current_stacktrace, stacktrace}),
    do: Enum.any?(stacktrace, fn {module, _, _, _} -> module in [Worker, Guard] end)

  defp ours?(nil), do: false

  @doc "Whether there are so many of them before long."
  def helpers?(count), do: Eventually.eventually?(fn -> length(helpers()) == count end)

  @doc "`Memory.isolate/2`, which leaves nothing in the mailbox."
  def isolate(fun, opts \\ []) do
    result = Memory.isolate(fun, opts)
    refute_received _anything
    result
  end

  @doc "The kind and the reason of work that fails."
  def failed(fun, opts \\ []) do
    assert {:error, %Error{error_type: :work_failed, context: context} = error} =
             isolate(fun, opts)

    assert Map.keys(context) |> Enum.sort() == [:kind, :reason, :stacktrace]
    assert error.message =~ "the work failed: "
    assert byte_size(error.message) < 3000
    {context.kind, context.reason}
  end

  @doc "The type of an error."
  def type({:error, %Error{error_type: type}}), do: type

  @doc "A list of so many words."
  def words(count), do: Enum.to_list(1..div(count, 2))

  @doc "A term that shares its parts: to be made where it is used, because a copy would never end."
  def exploding, do: Enum.reduce(1..60, [], fn _, part -> [part | part] end)
end
