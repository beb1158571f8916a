defmodule Foundation.BEAM.Schedulers.Slots.Queue do
  @moduledoc false

  # Who may run a slice, and who is next: data and functions only.
  #
  # A job has one place in the queue, however many parts of it ask: whoever gives a slot back stands
  # behind all others. While there is one job alone, its parts may have all slots; beside others it
  # has one at a time, and all jobs together have what `shared` says. Every function takes these
  # limits, as they may change at any time, and returns whom to grant a slot.
  #
  # Everything takes time that grows with the logarithm of how many wait.

  defstruct jobs: %{}, members: %{}, ready: :gb_sets.new(), held: 0, ticket: 0

  @typedoc "What asks: one part of a job."
  @type id :: term()

  @typedoc "Slots for several jobs together, and for one that is alone."
  @type limits :: {shared :: pos_integer(), all :: pos_integer()}

  # `jobs`: how many slots each has, its parts that wait (in order), and its place, if it is ready:
  # one that waits and has none. `members`: of each part its job and its ticket, or that it has a slot.
  @type t :: %__MODULE__{}

  @spec new() :: t()
  def new, do: %__MODULE__{}

  @doc "`id` asks for a slot; one that it has, it gives back before."
  @spec want(t(), term(), id(), limits()) :: {t(), [id()]}
  def want(queue, job, id, limits), do: queue |> remove(id) |> add(job, id) |> grant(limits, [])

  @doc "`id` asks no more, and gives back what it has. Nothing where it is not known."
  @spec drop(t(), id(), limits()) :: {t(), [id()]}
  def drop(queue, id, limits), do: queue |> remove(id) |> grant(limits, [])

  @doc "How many jobs wait for a slot that others have: while it is 0, everybody may keep theirs."
  @spec pressure(t()) :: non_neg_integer()
  def pressure(%__MODULE__{jobs: jobs, ready: ready, held: held}) when is_integer(held) do
    waiting = :gb_sets.size(ready)

    # A job has a slot or is ready. A job that has had all slots has to give back those beyond one.
    holding = map_size(jobs) - waiting
    if map_size(jobs) > 1, do: waiting + held - holding, else: waiting
  end

  defp add(queue, job, id) do
    {ticket, queue} = ticket(queue)
    state = Map.get(queue.jobs, job, %{held: 0, waiting: :gb_sets.new(), place: nil})
    state = %{state | waiting: :gb_sets.add_element({ticket, id}, state.waiting)}
    queue = %{queue | members: Map.put(queue.members, id, {job, ticket})}
    settle(queue, job, state)
  end

  defp remove(%{members: members} = queue, id) do
    case Map.pop(members, id) do
      {nil, _members} ->
        queue

      {{job, :held}, members} ->
        state = queue.jobs[job]
        queue = %{queue | members: members, held: queue.held - 1}
        settle(queue, job, %{state | held: state.held - 1})

      {{job, ticket}, members} ->
        state = queue.jobs[job]
        waiting = :gb_sets.delete({ticket, id}, state.waiting)
        settle(%{queue | members: members}, job, %{state | waiting: waiting})
    end
  end

  # Puts a job where it belongs: among the ready, not among them, or nowhere.
  defp settle(queue, job, %{held: held, waiting: waiting, place: place} = state) do
    cond do
      held == 0 and :gb_sets.is_empty(waiting) ->
        queue = leave(queue, job, place)
        %{queue | jobs: Map.delete(queue.jobs, job)}

      held > 0 ->
        queue = leave(queue, job, place)
        %{queue | jobs: Map.put(queue.jobs, job, %{state | place: nil})}

      place == nil ->
        {place, queue} = ticket(queue)
        ready = :gb_sets.add_element({place, job}, queue.ready)
        %{queue | ready: ready, jobs: Map.put(queue.jobs, job, %{state | place: place})}

      true ->
        %{queue | jobs: Map.put(queue.jobs, job, state)}
    end
  end

  defp leave(queue, _job, nil), do: queue

  defp leave(queue, job, place),
    do: %{queue | ready: :gb_sets.delete({place, job}, queue.ready)}

  defp ticket(%{ticket: ticket} = queue), do: {ticket, %{queue | ticket: ticket + 1}}

  defp grant(queue, limits, granted) do
    case next(queue, limits) do
      nil ->
        {queue, Enum.reverse(granted)}

      job ->
        {id, queue} = hand_out(queue, job)
        grant(queue, limits, [id | granted])
    end
  end

  defp next(%{jobs: jobs, held: held}, {_shared, all}) when map_size(jobs) == 1 do
    [{job, state}] = Map.to_list(jobs)
    if held < all and not :gb_sets.is_empty(state.waiting), do: job
  end

  defp next(%{ready: ready, held: held}, {shared, _all}) do
    if held < shared and not :gb_sets.is_empty(ready), do: elem(:gb_sets.smallest(ready), 1)
  end

  defp hand_out(queue, job) do
    state = queue.jobs[job]
    {{_ticket, id}, waiting} = :gb_sets.take_smallest(state.waiting)
    queue = %{queue | held: queue.held + 1, members: Map.put(queue.members, id, {job, :held})}
    {id, settle(queue, job, %{state | held: state.held + 1, waiting: waiting})}
  end
end
