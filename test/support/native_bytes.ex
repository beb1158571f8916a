defmodule Foundation.NativeBytes do
  @moduledoc """
  `use Foundation.NativeBytes` in a test module (never `async: true`: the count is of the whole VM)
  proves that its tests leave no native memory behind.
  """

  import ExUnit.Assertions

  defmacro __using__(_opts) do
    quote do
      setup_all do
        Foundation.NativeBytes.watch()
      end
    end
  end

  @doc "Compares the native bytes after the module's tests with those before."
  def watch do
    before = settled()

    ExUnit.Callbacks.on_exit(fn ->
      left = await(before, System.monotonic_time(:millisecond) + 30_000)

      assert no_more?(left, before),
             "native bytes: #{inspect(before)} before, #{inspect(left)} after"
    end)
  end

  @doc "Whether there are no more native bytes of any kind than there were."
  # What was there before may have gone since: a test of another module had just ended.
  def no_more?(now, before), do: Enum.all?(now, fn {kind, bytes} -> bytes <= before[kind] end)

  # What other modules' tests have left is gone once two counts are the same.
  defp settled do
    before = settle()
    if settle() == before, do: before, else: settled()
  end

  @doc "Native bytes once every process is collected and what waits to be freed is freed."
  def settle do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    drain()
    step_ended()
    Foundation.BEAM.Memory.native_memory()
  end

  # A process that just ended may still be letting go of its heap.
  defp await(before, deadline) do
    left = settle()

    if no_more?(left, before) or System.monotonic_time(:millisecond) > deadline,
      do: left,
      else: await(before, deadline)
  end

  # What the janitor has begun to free, it frees by itself.
  defp step_ended do
    :sys.get_state(Foundation.Janitor, 60_000)
  catch
    # It is not there: a test has ended it, or the application.
    :exit, {reason, _call} when reason != :timeout -> :ok
  end

  defp drain do
    steps = {Foundation.Native.janitor_step(), Foundation.Native.janitor_expire()}
    if :more in Tuple.to_list(steps), do: drain(), else: :ok
  end
end
