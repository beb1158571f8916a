defmodule Foundation.BEAM.Schedulers.Balance do
  @moduledoc false

  # The caller hands batches of items to workers, each when it has nothing to do, and puts their
  # results in order. Batches shrink with what is left (guided self-scheduling, Polychronopoulos and
  # Kuck 1987), so that many small items cost few messages and the last batches are single items.
  #
  # A batch has a claim: a count, shared with its worker, of the items that the worker has begun. When
  # nothing is left to hand out, the caller takes from the batches that are out what nobody has begun:
  # no item waits for another one that is slow.

  alias Foundation.BEAM.Schedulers.Balance.{Guard, Reading, Worker}
  alias Foundation.BEAM.Schedulers.{Claim, Ends, Items}
  alias Foundation.Options

  @where "Schedulers.balance_work_across_schedulers/3"

  @schema Options.schema!(
            timeout: [
              type: :timeout,
              default: 60_000,
              doc: "Milliseconds for reading and all calls, after which the caller exits."
            ],
            max_concurrency: [
              type: {:integer, 1, 1024},
              doc: "Processes that share the work. Default: one for each scheduler online."
            ],
            pin: [
              type: :boolean,
              default: false,
              doc:
                "Whether each process stays on a scheduler of its own, whatever else waits there, " <>
                  "and also while that one is offline."
            ]
          )

  # As an atom: this module depends on nothing above it.
  @public :"Elixir.Foundation.BEAM.Schedulers"

  # Of what is no list: where a mistake makes a range or a stream of more, the VM's memory would end
  # before the time does.
  @most 100_000_000

  # Copying a batch into a message is one step of the VM: this many items keep it short.
  @largest_batch 4_096
  # Batches for each worker in what is left.
  @batches 4

  defstruct [
    # How the call is named where it exits, and when its time is over.
    :call,
    :ends,
    # Who ends the workers if the caller does, and the alias under which results come.
    :guard,
    :ref,
    # By the monitor of each, under which its crash is told.
    workers: %{},
    # In how many batches what is left is divided.
    parts: 0,
    # What is to be handed out: the items, how many they are, the place of the first.
    items: [],
    left: 0,
    at: 0,
    # The batch of each worker that has one: place, size, items, claim.
    out: %{},
    # Results with the place of the first.
    done: []
  ]

  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @spec run(Enumerable.t(item), (item -> result), keyword()) :: [result]
        when item: term(), result: term()
  def run(items, fun, opts) do
    checked = Options.validate!(opts, @schema, @where)
    is_function(fun, 1) || Options.refuse!("a function of arity 1", @where, fun)
    ends = Ends.new(%{timeout: checked.timeout, cancel: nil})
    known = Items.count!(items, @where)
    # The items are not named where the call exits: they may be many.
    call = &{@public, :balance_work_across_schedulers, [{:items, &1}, fun, opts]}

    case list(items, known, ends) do
      {items, count} ->
        run(items, count, fun, checked, %__MODULE__{call: call.(count), ends: ends})

      :timeout ->
        exit({:timeout, call.(:unknown)})

      :too_many ->
        Options.refuse!("a list, or at most #{@most} items,", @where, items)
    end
  end

  defp list(items, count, _ends) when is_list(items), do: {items, count}
  defp list(items, known, ends), do: Reading.list(items, known, @most, ends)

  defp run(items, count, fun, opts, state) do
    state
    |> start(fun, min(count, concurrency(opts)), opts.pin)
    |> share(items, count)
    |> collect()
  end

  defp concurrency(opts), do: opts.max_concurrency || :erlang.system_info(:schedulers_online)

  defp start(state, fun, count, pin) do
    # An alias: after the end no late result can reach the caller.
    state = %{state | guard: Guard.start(), ref: :erlang.alias()}
    Enum.reduce(1..count//1, state, &start_worker(&2, fun, pin && &1))
  end

  # The VM may have no room for one more process: then those that have begun are ended.
  defp start_worker(%{ref: ref, workers: workers} = state, fun, number) do
    task = Worker.start(ref, fun, number)
    Guard.watch(state.guard, task.pid)
    %{state | workers: Map.put(workers, task.ref, task.pid)}
  catch
    kind, reason ->
      abandon(state)
      :erlang.raise(kind, reason, __STACKTRACE__)
  end

  defp share(%{workers: workers} = state, items, count) do
    state = %{state | items: items, left: count, parts: @batches * map_size(workers)}
    workers |> Map.values() |> Enum.reduce(state, &hand/2)
  end

  # The next batch for a worker that has none.
  defp hand(pid, %{left: 0} = state) do
    case reclaim(state) do
      %{left: 0} = state ->
        # Nothing comes back to be handed out: this worker is needed no more.
        send(pid, {state.ref, :stop})
        state

      state ->
        hand(pid, state)
    end
  end

  defp hand(pid, %{left: left} = state) do
    size = left |> div(state.parts) |> max(1) |> min(@largest_batch)
    {batch, items} = Enum.split(state.items, size)
    claim = Claim.new(size)
    send(pid, {state.ref, :run, claim, batch})
    out = Map.put(state.out, pid, {state.at, size, batch, claim})
    %{state | items: items, left: left - size, at: state.at + size, out: out}
  end

  # Takes back what has not begun of the batch that has most of it.
  defp reclaim(state) do
    case Enum.max(unbegun(state.out), fn -> nil end) do
      nil -> state
      {_count, pid} -> state |> take_back(pid) |> reclaim_again()
    end
  end

  defp unbegun(out) do
    for {pid, {_at, size, _batch, claim}} <- out,
        size > 1,
        count = Claim.left(claim),
        count > 0,
        do: {count, pid}
  end

  defp take_back(state, pid) do
    %{^pid => {at, size, batch, claim}} = state.out
    begun = Claim.take_back(claim)
    out = %{state.out | pid => {at, begun, [], claim}}
    %{state | out: out, at: at + begun, left: size - begun, items: Enum.drop(batch, begun)}
  end

  # The worker may have begun the last items meanwhile: then another batch has some.
  defp reclaim_again(%{left: 0} = state), do: reclaim(state)
  defp reclaim_again(state), do: state

  defp collect(%{left: 0, out: out} = state) when map_size(out) == 0 do
    # Before the links go: if the caller is killed in between, a worker ends by one or the other.
    for {_monitor, pid} <- state.workers, do: send(pid, {state.ref, :stop})
    part(state)
    Guard.stop(state.guard)
    join(state.done)
  end

  # The clock is asked before the mailbox, which may never be empty.
  defp collect(state) do
    case Ends.left_ms(state.ends) do
      0 -> fail(state, :timeout)
      time -> next(state, time)
    end
  end

  defp next(%{ref: ref, workers: workers} = state, time) do
    receive do
      {^ref, pid, results} ->
        {{at, _size, _batch, _claim}, out} = Map.pop!(state.out, pid)
        collect(hand(pid, %{state | out: out, done: [{at, results} | state.done]}))

      {:DOWN, monitor, :process, pid, reason} when is_map_key(workers, monitor) ->
        down(state, monitor, pid, reason)
    after
      time -> fail(state, :timeout)
    end
  end

  # Of one that crashed a caller that traps exits keeps the message, as of a `Task`.
  defp down(%{out: out} = state, monitor, pid, reason) when is_map_key(out, pid),
    do: fail(%{state | workers: Map.delete(state.workers, monitor)}, reason)

  # One that was told to stop ends while others work.
  defp down(state, _monitor, _pid, _reason), do: collect(state)

  defp join(done) do
    done
    |> Enum.sort(&(elem(&1, 0) >= elem(&2, 0)))
    |> Enum.reduce([], fn {_at, results}, rest -> results ++ rest end)
  end

  defp fail(state, reason) do
    abandon(state)
    exit({reason, state.call})
  end

  # A link must be gone before its worker is killed, or the caller dies of it. If the caller ends in
  # between, the guard kills them.
  defp abandon(%{workers: workers} = state) do
    part(state)
    for {_monitor, pid} <- workers, do: Process.exit(pid, :kill)
    Guard.stop(state.guard)
  end

  # Leaves nothing that ties the caller to the workers, and no message of theirs.
  defp part(%{ref: ref, workers: workers}) do
    for {monitor, pid} <- workers do
      Process.unlink(pid)
      Process.demonitor(monitor, [:flush])

      receive do
        {:EXIT, ^pid, _reason} -> :ok
      after
        0 -> :ok
      end
    end

    :erlang.unalias(ref)
    flush(ref)
  end

  defp flush(ref) do
    receive do
      {^ref, _pid, _results} -> flush(ref)
    after
      0 -> :ok
    end
  end
end
