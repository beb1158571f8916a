defmodule Foundation.NativeBytes do
  @moduledoc """
  `use Foundation.NativeBytes` in a test module (never `async: true`: the count is of the whole VM)
  proves that its tests leave no native memory behind.
  """

  import ExUnit.Assertions
  import Foundation.Eventually, only: [eventually?: 1]

  defmacro __using__(_opts) do
    quote do
      setup_all do
        Foundation.NativeBytes.watch()
      end
    end
  end

  @doc "Compares the native bytes after the module's tests with those before."
  def watch do
    before = settle()

    ExUnit.Callbacks.on_exit(fn ->
      eventually?(fn -> more(before) == [] end)

      assert more(before) == [],
             "native bytes: #{inspect(before)} before, #{inspect(settle())} after"
    end)
  end

  # Fewer is no fault: what earlier tests held may have gone only after the first look.
  defp more(before), do: for({owner, bytes} <- settle(), bytes > before[owner], do: owner)

  @doc "Native bytes once every process is collected and what waits to be freed is freed."
  def settle do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    drain()
    Foundation.BEAM.Memory.native_memory()
  end

  defp drain do
    steps = {Foundation.Native.janitor_step(), Foundation.Native.janitor_expire()}
    if :more in Tuple.to_list(steps), do: drain(), else: :ok
  end
end
