defmodule Foundation.BEAM.Schedulers.NativeJob do
  @moduledoc false

  # A native kernel at work, driven by the process that wants the result: at once where it is small,
  # else in slices of about a millisecond on dirty CPU schedulers, for each of which it needs a slot.
  # Between two slices it looks at the clock, at its cancel handle and at those who help it, and
  # whoever else waits gets the slot. When this process dies, the slice that runs ends by itself.

  alias Foundation.BEAM.Schedulers.{Ends, Kernels, Progress}
  alias Foundation.BEAM.Schedulers.NativeJob.{Board, Helpers}
  alias Foundation.BEAM.Schedulers.Slots.Turn
  alias Foundation.{Error, Native}

  @enforce_keys [:job, :turn, :ends, :progress]
  defstruct [:job, :turn, :ends, :progress, :board, helpers: []]

  # Nobody is told of the others' work more often than so many milliseconds: that of a slice.
  @news_ms 1

  # What is wrong with the call and not with the data.
  @mistakes [:unknown_kernel, :unknown_option, :invalid_option, :invalid_input]

  @doc "The result of a kernel, by a name that the table has, with checked options."
  @spec run(map(), {atom(), list() | binary()}, keyword(), Ends.t(), map()) ::
          term() | {:error, Error.t()}
  def run(kernel, {kind, data}, args, ends, options) do
    progress = Progress.new(options.progress, options.progress_interval, :unknown)

    outcome =
      with :ok <- Ends.check(ends),
           :large <- Native.kernels_now(kernel.name, kind, data, args),
           {:ok, job} <- Native.kernels_new(kernel.name, kind, whole(kind, data), args) do
        state = %__MODULE__{job: job, turn: turn(), ends: ends, progress: progress}
        large(state, kernel, {kind, data}, options)
      end

    outcome |> entire(kernel, ends) |> finish(kernel, data, progress, options)
  end

  # Here, where the slot is given back and the job closed. Nothing ends it half made.
  defp entire({:ok, slices, progress}, %{about: %{pairs?: true}}, ends) do
    with :ok <- Ends.check(ends),
         map = slices |> :lists.append() |> Map.new(),
         :ok <- Ends.check(ends),
         do: {:ok, map, progress}
  end

  defp entire(outcome, _kernel, _ends), do: outcome

  defp turn, do: Turn.new(make_ref())

  # A binary goes in at once, a list bit by bit.
  defp whole(kind, _list) when kind in [:list, :many], do: []
  defp whole(_kind, binary), do: binary

  defp finish({:ok, value}, _kernel, _data, progress, _options) do
    progress |> Progress.at(1, 1) |> Progress.finish()
    value
  end

  defp finish({:ok, value, progress}, _kernel, _data, _progress, _options) do
    progress |> end_of() |> Progress.finish()
    value
  end

  defp finish({:error, {:improper_list, _text, _}}, kernel, data, _progress, _options),
    do: Kernels.improper!(kernel, data)

  defp finish({:error, {mistake, text, _}}, _kernel, _data, _progress, _options)
       when mistake in @mistakes,
       do: raise(ArgumentError, "#{text} in Schedulers.cpu_intensive/3")

  defp finish({:error, _fault} = error, _kernel, _data, _progress, _options),
    do: Error.wrap(error)

  defp finish(verdict, _kernel, _data, _progress, options),
    do: Ends.error(verdict, options.timeout)

  defp large(state, kernel, data, options) do
    with {:ok, state} <- feed(state, data),
         {:ok, state} <- share(state, wanted(options), options),
         {:ok, value, state} <- run(state, kernel) do
      {:ok, value, state.progress}
    else
      {{:error, _fault} = error, _state} -> error
      other -> other
    end
  after
    Turn.give_back(state.turn)
    close(state.job)
  end

  # What the job holds would stay until this process collects its garbage. A helper that was killed
  # may still be in its slice, which ends within half a millisecond.
  defp close(job) do
    unless Native.kernels_close(job) do
      receive do
      after
        1 -> close(job)
      end
    end
  end

  defp wanted(%{parallel: true}), do: :erlang.system_info(:dirty_cpu_schedulers_online)
  defp wanted(_options), do: 1

  defp feed(state, {kind, list}) when kind in [:list, :many] do
    with {{:more, rest}, state} <- slice(state, &Native.kernels_feed(&1, list)),
         do: feed(state, {kind, rest})
  end

  defp feed(state, _binary), do: {:ok, state}

  # What is not shared out is made and worked on in the same slice.
  defp share(state, 1, _options), do: {:ok, %{state | board: Board.new(1)}}

  defp share(state, wanted, options) do
    with {{:ok, parts}, state} <- slice(state, &Native.kernels_split(&1, wanted)),
         do: work(%{state | board: Board.new(parts)}, parts, options)
  end

  # One part is worked on here, each of the others by a helper.
  defp work(state, 1, _options), do: {:ok, state}

  defp work(%{job: job, turn: turn, board: board} = state, parts, options) do
    helpers = Helpers.start(job, turn.job, board, parts, options.priority)

    try do
      with {:ok, state} <- steps(%{state | helpers: helpers}),
           # Helpers need the slot that this process has no use for.
           state = %{state | turn: Turn.give_back(state.turn)},
           {:ok, state} <- await(state, Progress.due_ms(state.progress)),
           {:ok, state} <- slice(state, &Native.kernels_join/1),
           # What is left to do is told together with what was done.
           do: {:ok, %{state | board: Board.new(1)}}
    after
      Helpers.stop(helpers)
    end
  end

  defp steps(state) do
    case slice(state, &Native.kernels_step(&1, 0)) do
      {{:more, done, total}, state} ->
        Board.put(state.board, 0, done, total)
        state |> tell() |> steps()

      {:done, state} ->
        Board.done(state.board, 0)
        {:ok, tell(state)}

      other ->
        other
    end
  end

  # The rest of the work, and its result, of which the last slice of work gives as much as it can.
  defp run(state, kernel) do
    case slice(state, &Native.kernels_run/1) do
      {{:more, done, total}, state} ->
        Board.put(state.board, 0, done, total)
        state |> tell() |> run(kernel)

      {{given, _part} = answer, state} when given != :error ->
        Board.done(state.board, 0)
        # With the result the end is told, and nothing before it.
        take(answer, kernel, [], if(given == :ok, do: note(state), else: tell(state)))

      other ->
        other
    end
  end

  # Pairs are of a map, which takes longer to make than a slice lasts: the VM makes it of all at once
  # in less time than bit by bit, and lets others run meanwhile.
  defp take({:ok, pairs}, %{about: %{pairs?: true}}, slices, state),
    do: {:ok, [pairs | slices], state}

  defp take({:ok, value}, _kernel, _slices, state), do: {:ok, value, state}
  defp take({:pairs, pairs}, kernel, slices, state), do: more([], kernel, [pairs | slices], state)

  # A list is built from its end, so what there is of it is what the next slice puts the rest before.
  defp take({:more, list}, kernel, slices, state), do: more(list, kernel, slices, state)

  defp more(front, kernel, slices, state) do
    case slice(state, &Native.kernels_take(&1, front)) do
      {{given, _part} = answer, state} when given != :error -> take(answer, kernel, slices, state)
      other -> other
    end
  end

  # Whatever runs on a dirty scheduler goes through here. `{answer, state}`, or a verdict.
  defp slice(state, call) do
    with :ok <- Ends.check(state.ends),
         {:ok, helpers} <- Helpers.check(state.helpers),
         {:ok, turn} <- Turn.take(state.turn, state.ends) do
      {call.(state.job), %{state | turn: turn, helpers: helpers}}
    end
  end

  # The others' work is told as well, where there is any news.
  defp await(state, ms) do
    case Helpers.await(state.helpers, state.ends, max(ms, @news_ms)) do
      :ok -> {:ok, tell(%{state | helpers: []})}
      {:left, helpers} -> %{state | helpers: helpers} |> news() |> await(state.progress.every)
      other -> other
    end
  end

  defp news(%{progress: %{done: done, total: total} = progress} = state) do
    case figures(progress, state.board) do
      {^done, ^total} -> state
      _new -> tell(state)
    end
  end

  defp tell(%{progress: nil} = state), do: state

  # The user's function may take its time, and may want slots itself; another node may be slow.
  defp tell(%{progress: progress} = state) do
    waits? = Progress.waits?(progress)
    state = if waits?, do: %{state | turn: Turn.give_back(state.turn)}, else: state
    {done, total} = figures(progress, state.board)
    %{state | progress: Progress.at(progress, done, total)}
  end

  # As if it were told.
  defp note(%{progress: nil} = state), do: state

  defp note(%{progress: progress} = state) do
    {done, total} = figures(progress, state.board)
    %{state | progress: %{progress | done: done, total: total}}
  end

  # Never fewer than before; and what is left in any case is the result.
  defp figures(%{done: before, total: known}, board) do
    {done, total} = Board.figures(board)
    total = if is_integer(known), do: max(total, known), else: total
    {done |> max(before) |> min(total - 1), total}
  end

  defp end_of(%{total: total} = progress) when is_integer(total),
    do: Progress.at(progress, total, total)

  defp end_of(progress), do: progress
end
