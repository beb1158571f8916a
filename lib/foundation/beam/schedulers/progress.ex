defmodule Foundation.BEAM.Schedulers.Progress do
  @moduledoc false

  # How far work has come, told no more often than every so many milliseconds, and once at the end.
  # A worker tells its job by messages with what is new; the caller adds up and tells the user.

  @enforce_keys [:to, :total, :every, :told_at]
  defstruct [:to, :total, :every, :told_at, done: 0, told: nil]

  @typedoc "Items done, of how many."
  @type figures :: %{done: non_neg_integer(), total: non_neg_integer() | :unknown}

  @type t :: %__MODULE__{} | nil

  @doc "For the user: a function that is called here, or a process. `nil` tells nobody."
  @spec new((figures() -> any()) | pid() | nil, non_neg_integer(), non_neg_integer() | :unknown) ::
          t()
  def new(nil, _every, _total), do: nil
  def new(to, every, total), do: start(to, every, total)

  @doc "For a worker of a job that wants to know."
  @spec relay(t(), reference()) :: t()
  def relay(nil, _job), do: nil
  def relay(%__MODULE__{every: every}, job), do: start({:job, job}, every, :unknown)

  @doc "`count` more items are done."
  @spec add(t(), pos_integer()) :: t()
  def add(nil, _count), do: nil

  def add(progress, count), do: at(progress, progress.done + count, progress.total)

  @doc "So much is done, of so much."
  @spec at(t(), non_neg_integer(), non_neg_integer() | :unknown) :: t()
  def at(nil, _done, _total), do: nil

  def at(progress, done, total) do
    progress = %{progress | done: done, total: total}
    now = System.monotonic_time(:millisecond)
    if due?(progress, now), do: tell(progress, now), else: progress
  end

  @doc "Whether telling the next figures may take a while: a function does, and another node may."
  @spec waits?(t()) :: boolean()
  def waits?(%__MODULE__{to: to} = progress)
      when is_function(to) or (is_pid(to) and node(to) != node()),
      do: due?(progress, System.monotonic_time(:millisecond))

  def waits?(_progress), do: false

  @doc "Milliseconds until the next figures are due, as `receive` takes them."
  @spec due_ms(t()) :: timeout()
  def due_ms(nil), do: :infinity

  def due_ms(%{told_at: told_at, every: every}) when is_integer(told_at) and is_integer(every),
    do: max(told_at + every - System.monotonic_time(:millisecond), 0)

  @doc "Tells the end, unless that was told already."
  @spec finish(t()) :: t()
  def finish(nil), do: nil
  def finish(%{to: {:job, _}, done: done, told: done} = progress), do: progress
  def finish(%{to: {:job, _}} = progress), do: tell(progress, progress.told_at)
  def finish(%{done: done, told: done, total: done} = progress), do: progress
  def finish(progress), do: tell(%{progress | total: progress.done}, progress.told_at)

  defp start(to, every, total) do
    now = System.monotonic_time(:millisecond)
    told = if is_tuple(to), do: 0
    %__MODULE__{to: to, every: every, total: total, told_at: now, told: told}
  end

  defp due?(progress, now), do: now - progress.told_at >= progress.every

  defp tell(progress, now) do
    deliver(progress.to, progress)
    %{progress | told: progress.done, told_at: now}
  end

  defp deliver({:job, job}, progress),
    do: send(job, {job, {:progress, progress.done - progress.told}})

  defp deliver(pid, progress) when is_pid(pid),
    do: send(pid, {:cpu_progress, self(), figures(progress)})

  defp deliver(fun, progress), do: fun.(figures(progress))

  defp figures(progress), do: %{done: progress.done, total: progress.total}
end
