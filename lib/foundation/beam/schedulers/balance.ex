defmodule Foundation.BEAM.Schedulers.Balance do
  @moduledoc false

  # The caller hands batches of items to workers, each when it has nothing to do, and puts their
  # results in order. Batches shrink with what is left (guided self-scheduling, Polychronopoulos and
  # Kuck 1987), so that many small items cost few messages and the last batches are single items.
  #
  # A batch has a claim: a count, shared with its worker, of the items that the worker has begun. When
  # nothing is left to hand out, the caller takes from the batches that are out what nobody has begun:
  # no item waits for another one that is slow.

  alias Foundation.BEAM.Schedulers.Balance.Worker
  alias Foundation.BEAM.Schedulers.Items
  alias Foundation.Options

  @where "Schedulers.balance_work_across_schedulers/3"

  @schema Options.schema!(
            timeout: [
              type: :timeout,
              default: 60_000,
              doc: "Milliseconds for all items, after which the caller exits."
            ],
            max_concurrency: [
              type: :pos_integer,
              doc: "Processes that share the work. Default: one for each scheduler online."
            ],
            pin: [
              type: :boolean,
              default: false,
              doc:
                "Whether each process stays on a scheduler of its own, whatever else waits there."
            ]
          )

  # Copying a batch into a message is one step of the VM: this many items keep it short.
  @largest_batch 4_096
  # Batches for each worker in what is left.
  @batches 4

  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "`caller` is the public module, by which the call is named where it exits."
  @spec run(Enumerable.t(item), (item -> result), keyword(), module()) :: [result]
        when item: term(), result: term()
  def run(items, fun, opts, caller) do
    checked = Options.validate!(opts, @schema, @where)
    is_function(fun, 1) || Options.refuse!("a function of arity 1", @where, fun)
    {items, count} = list!(items)
    # The items are not named where the call exits: they may be many.
    args = [{:items, count}, fun, opts]

    items
    |> start(count, fun, checked, {caller, :balance_work_across_schedulers, args})
    |> collect()
  end

  defp list!(items) do
    count = Items.count!(items, @where)
    if is_list(items), do: {items, count}, else: counted(Enum.to_list(items))
  end

  defp counted(list), do: {list, length(list)}

  defp start(items, count, fun, opts, call) do
    deadline = deadline(opts.timeout)
    # An alias: after the end no late result can reach the caller.
    ref = :erlang.alias()
    workers = workers(min(count, concurrency(opts)), ref, fun, opts.pin)

    state = %{
      ref: ref,
      call: call,
      deadline: deadline,
      # By the monitor of each, under which its crash is told.
      workers: workers,
      parts: @batches * map_size(workers),
      # What is to be handed out: the items, how many they are, the place of the first.
      items: items,
      left: count,
      at: 0,
      # The batch of each worker that has one: place, size, items, claim.
      out: %{},
      # Results with the place of the first.
      done: []
    }

    workers |> Map.values() |> Enum.reduce(state, &hand/2)
  end

  defp concurrency(opts), do: opts.max_concurrency || :erlang.system_info(:schedulers_online)

  defp workers(0, _ref, _fun, _pin), do: %{}

  defp workers(count, ref, fun, pin) do
    for number <- 1..count, into: %{} do
      task = Worker.start(ref, fun, pin && number)
      {task.ref, task.pid}
    end
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
    claim = :atomics.new(1, [])
    send(pid, {state.ref, :run, claim, size, batch})
    out = Map.put(state.out, pid, {state.at, size, batch, claim})
    %{state | items: items, left: left - size, at: state.at + size, out: out}
  end

  # Takes back what has not begun of the batch that has most of it.
  defp reclaim(state) do
    open =
      for {pid, {_at, size, _batch, claim}} <- state.out,
          size > 1,
          unbegun = size - :atomics.get(claim, 1),
          unbegun > 0,
          do: {unbegun, pid}

    case Enum.max(open, fn -> nil end) do
      nil -> state
      {_unbegun, pid} -> state |> reclaim(pid) |> reclaim_again()
    end
  end

  defp reclaim(state, pid) do
    %{^pid => {at, size, batch, claim}} = state.out
    # From here on the worker finds every item begun.
    begun = claim |> :atomics.exchange(1, size) |> min(size)
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

    state.done
    |> Enum.sort(&(elem(&1, 0) >= elem(&2, 0)))
    |> Enum.reduce([], fn {_at, results}, rest -> results ++ rest end)
  end

  # The clock is asked before the mailbox, which may never be empty.
  defp collect(state) do
    case left(state.deadline) do
      0 -> fail(state, :timeout)
      time -> collect(state, time)
    end
  end

  defp collect(%{ref: ref, workers: workers} = state, time) do
    receive do
      {^ref, pid, results} ->
        {{at, _size, _batch, _claim}, out} = Map.pop!(state.out, pid)
        collect(hand(pid, %{state | out: out, done: [{at, results} | state.done]}))

      {:DOWN, monitor, :process, pid, reason} when is_map_key(workers, monitor) ->
        # One that was told to stop ends while others work. Of one that crashed a caller that traps
        # exits keeps the message, as of a `Task`.
        others = %{state | workers: Map.delete(workers, monitor)}
        if is_map_key(state.out, pid), do: fail(others, reason), else: collect(state)
    after
      time -> fail(state, :timeout)
    end
  end

  # The workers are killed by a process that does so also if the caller is killed meanwhile, and not
  # by the caller: a link must be gone before its worker is, or the caller dies of it.
  defp fail(%{workers: workers} = state, reason) do
    caller = self()
    killer = spawn(fn -> kill_all(Map.values(workers), caller) end)
    part(state)
    send(killer, {state.ref, :parted})
    exit({reason, state.call})
  end

  defp kill_all(pids, caller) do
    monitor = Process.monitor(caller)

    receive do
      {_ref, :parted} -> :ok
      {:DOWN, ^monitor, :process, _, _} -> :ok
    end

    Enum.each(pids, &Process.exit(&1, :kill))
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

  defp deadline(:infinity), do: :infinity
  defp deadline(ms), do: System.monotonic_time(:millisecond) + ms

  defp left(:infinity), do: :infinity
  defp left(deadline), do: max(0, deadline - System.monotonic_time(:millisecond))
end
