defmodule Foundation.BEAM.Schedulers.NativeJob.Helpers do
  @moduledoc false

  # The processes that work on the parts of a job beyond the first. They end with their caller, and
  # before its call returns. They are not linked to it: it may trap exits. How they end says how
  # their part did.

  alias Foundation.BEAM.Memory.Tether
  alias Foundation.BEAM.Schedulers.Ends
  alias Foundation.BEAM.Schedulers.NativeJob.Board
  alias Foundation.BEAM.Schedulers.Slots.Turn
  alias Foundation.Native

  # As an atom: this module depends on nothing above it.
  @public :"Elixir.Foundation.BEAM.Schedulers"

  # The longest that the VM waits at once.
  @longest_ms 0xFFFFFFFF

  @type helper :: {pid(), reference()}

  @doc "One for each part but the first. Slots are asked for in the name of the same job."
  @spec start(reference(), reference(), Board.t(), pos_integer(), :low | :normal | nil) ::
          [helper()]
  def start(job, name, board, parts, priority) do
    caller = self()

    for part <- 1..(parts - 1)//1 do
      :erlang.spawn_opt(
        fn ->
          Tether.to(caller)
          steps(job, part, board, Turn.new(name))
        end,
        [:monitor, priority: priority || :normal]
      )
    end
  end

  defp steps(job, part, board, turn) do
    {:ok, turn} = Turn.take(turn, Ends.never())

    case Native.kernels_step(job, part) do
      {:more, done, total} ->
        Board.put(board, part, done, total)
        steps(job, part, board, turn)

      :done ->
        Board.done(board, part)

      {:error, fault} ->
        exit({:shutdown, {:fault, fault}})
    end
  end

  @doc "Those that are not done yet, or what stands against the job."
  @spec check([helper()]) :: {:ok, [helper()]} | {:error, term()}
  def check([]), do: {:ok, []}

  def check([{pid, monitor} = helper | rest]) do
    if Process.alive?(pid) do
      with {:ok, left} <- check(rest), do: {:ok, [helper | left]}
    else
      receive do
        {:DOWN, ^monitor, _, _, reason} -> with :ok <- verdict(reason), do: check(rest)
      end
    end
  end

  @doc "Returns when all parts are done, or with what stands against it, or after so many milliseconds."
  @spec await([helper()], Ends.t(), timeout()) ::
          :ok | {:error, term()} | Ends.verdict() | {:left, [helper()]}
  def await(helpers, ends, ms), do: each(helpers, ends, until(ms))

  defp until(:infinity), do: :infinity
  defp until(ms), do: now() + min(ms, @longest_ms)

  defp left_ms(:infinity), do: :infinity
  defp left_ms(until), do: max(until - now(), 0)

  defp now, do: System.monotonic_time(:millisecond)

  defp each([], _ends, _until), do: :ok

  defp each([{_pid, monitor} | rest] = helpers, ends, until) do
    receive do
      {:DOWN, ^monitor, _, _, reason} ->
        with :ok <- verdict(reason), do: each(rest, ends, until)
    after
      # `:infinity` is above all numbers.
      min(Ends.look_ms(ends), left_ms(until)) ->
        with :ok <- Ends.check(ends), do: look_again(helpers, ends, until)
    end
  end

  defp look_again(helpers, ends, until) do
    if left_ms(until) == 0, do: {:left, helpers}, else: each(helpers, ends, until)
  end

  defp verdict(:normal), do: :ok
  defp verdict({:shutdown, {:fault, fault}}), do: {:error, fault}
  # It found no arbiter, and says so as its caller would.
  defp verdict({_reason, {@public, :cpu_intensive, 3}} = reason), do: exit(reason)
  defp verdict(reason), do: exit({reason, {@public, :cpu_intensive, 3}})

  @doc "Ends those that are left."
  @spec stop([helper()]) :: :ok
  def stop(helpers) do
    for {pid, _monitor} <- helpers, do: Process.exit(pid, :kill)

    for {pid, monitor} <- helpers do
      Process.demonitor(monitor, [:flush])
      again = Process.monitor(pid)

      receive do
        {:DOWN, ^again, _, _, _} -> :ok
      end
    end

    :ok
  end
end
