defmodule Foundation.BEAM.Ecosystem.Steward do
  @moduledoc false

  # Watches the members of one ecosystem: writes down who has failed, why, and when it was back, tells
  # workers of a new coordinator, and ends a member that stays in its `init`. Of the user's
  # code it runs handlers of its events only, and waits for nobody else; supervisors do the restarting, with
  # or without it. When it is itself restarted, it finds what it needs in the roster.
  #
  # A monitor's message is tagged by the number of the member: nothing is kept here for those that live.

  use GenServer

  alias Foundation.BEAM.Ecosystem.{
    Additions,
    Changes,
    Config,
    Events,
    Failures,
    Healing,
    Intensity,
    Reaper,
    Roster,
    Supervision,
    Watch
  }

  defstruct [
    :table,
    :id,
    :supervisor,
    :plan,
    :builder,
    :begun,
    :progress,
    ready?: false,
    ending?: false,
    failures: 0,
    # Members that are down and may come back, by their pids: `{number, failure or nil, index, since}`.
    pending: %{},
    # Members that were back before their end was heard of: `{number, begun, ended, new}` of the new start.
    early: %{},
    # When each part had somebody back last, and the numbers of those that are being added.
    moved: %{},
    adding: MapSet.new(),
    # Whether it came after another. Who it found in the roster and monitors, though it may still be told
    # of that start: `{pid, begun}` by number.
    successor?: false,
    adopted: %{},
    # When coordinators that came back began, the newest first; and the one that was before or is among
    # those with whom somebody failed last.
    groups: [],
    blamed: nil,
    # How often workers have failed lately, and the failure that was one too many.
    intensity: Intensity.new(),
    over: nil,
    # Whether a supervisor below the top has restarted too often.
    exhausted?: false,
    # Who hears of changes, each with its monitor, and how many subscriptions are known.
    subscribers: %{},
    subscriptions: nil,
    watching?: false
  ]

  @doc "Starts it below the calling top supervisor; `builder` is the process that starts the members."
  @spec start_link(Roster.table(), Config.t(), pid()) :: {:ok, pid(), Roster.table()}
  def start_link(table, plan, builder) do
    # The top supervisor starts it in its own `init`, and then as the child that it is.
    steward = Roster.get(table, :steward)

    if is_pid(steward) and Process.alive?(steward),
      do: {:ok, steward, table},
      else: {:ok, start(table, plan, builder), table}
  end

  defp start(table, plan, builder) do
    # Nothing in its start can fail: nobody need wait for it.
    arg = {table, Config.without_data(plan), self(), builder}
    pid = :proc_lib.spawn_link(__MODULE__, :init, [arg])
    Roster.put(table, :steward, pid)
    pid
  end

  @doc "Tells that all members have started."
  @spec ready(Roster.table()) :: :ok
  def ready(table) do
    Roster.put(table, :state, :ready)
    GenServer.cast(Roster.get(table, :steward), :ready)
  end

  @doc "Tells that somebody ends the ecosystem."
  @spec ending(Roster.table()) :: :ok
  def ending(table), do: tell(table, :ending)

  @doc "Tells of a process that wants to hear of changes."
  @spec subscribed(Roster.table(), pid()) :: :ok
  def subscribed(table, pid), do: tell(table, {:subscribed, pid})

  @spec unsubscribed(Roster.table(), pid()) :: :ok
  def unsubscribed(table, pid), do: tell(table, {:unsubscribed, pid})

  # Where there is none yet, it reads at its start who has subscribed.
  defp tell(table, message) do
    if steward = Roster.get(table, :steward), do: GenServer.cast(steward, message), else: :ok
  end

  @impl true
  def init({table, plan, supervisor, builder}) do
    Process.flag(:trap_exit, true)
    # It tells of the end, and follows its supervisor by itself.
    Reaper.spare()
    # The sooner it monitors a member, the less is missed of one that dies young.
    Process.flag(:priority, :high)

    state = %__MODULE__{
      table: table,
      id: plan.id,
      supervisor: supervisor,
      plan: plan,
      begun: System.monotonic_time()
    }

    # Before the roster is read: whoever starts a member after that tells this process of it.
    Roster.put(table, :steward, self())

    case Roster.get(table, :state) do
      :starting ->
        enter(subscribers(Watch.start(%{state | builder: Process.monitor(builder)})))

      _later ->
        {_kept, failures} = Failures.list(table)
        enter(adopt(%{state | ready?: true, successor?: true, failures: failures}))
    end
  end

  @spec enter(struct()) :: no_return()
  defp enter(state), do: :gen_server.enter_loop(__MODULE__, [], state)

  defp adopt(%{table: table} = state) do
    members = Roster.members(table)
    for {number, pid, _, _, :up, _} <- members, do: monitor(number, pid)
    removed = Additions.left(table)
    for {number, pid} <- removed, do: monitor({:removed, number}, pid)

    # Their ends were heard of by the process before this one.
    down =
      for {number, pid, _, _, :down, _} <- members, into: %{} do
        {failure, index} = Failures.find(table, pid)
        {pid, Healing.waiting(number, failure, index)}
      end

    adopted =
      for {number, pid, begun, _, :up, _} <- members, into: %{}, do: {number, {pid, begun}}

    Supervision.watch(state)
    state = subscribers(state)
    Changes.heal(table, :unknown)

    # What happened since the process before this one ended, nobody was told; nor perhaps of what it
    # had written down. Who was removed joins once more and leaves, when its end is heard of: so nobody keeps
    # who had the place before.
    Changes.tell_who_began_before(table)
    Failures.healed(table, members)
    left = for {number, pid, _, _, :down, _} <- members, do: {Roster.role(number), pid}
    gone = for {number, pid} <- removed, do: {Roster.role(number), pid}

    Watch.restarts(%{
      Changes.happened(state, left, gone ++ Roster.living(table))
      | adopted: adopted,
        adding: MapSet.new(Additions.numbers(table)),
        pending: if(Healing.healing?(state), do: down, else: %{})
    })
  end

  # They hear of a topology that the process before this one was not told of.
  defp subscribers(%{table: table} = state),
    do: handle(:topology, Enum.reduce(Changes.subscribers(table), state, &Changes.subscribed/2))

  @impl true
  def handle_cast(message, state), do: handle_info(message, state)

  @impl true
  def handle_info(message, %{table: table} = state) do
    {:noreply, handle(message, state)}
  rescue
    error in ArgumentError ->
      # The top supervisor was killed, its table is gone, and the end of this process is next.
      if :ets.info(table, :owner) == :undefined,
        do: {:noreply, state},
        else: reraise(error, __STACKTRACE__)
  end

  # It is the second one, and has read that.
  defp handle(:ready, %{ready?: true} = state), do: state

  defp handle(:ready, %{table: table, builder: builder} = state) do
    Process.demonitor(builder, [:flush])
    members = Roster.members(table)
    for {number, pid, _, _, _, _} <- members, do: monitor(number, pid)
    Supervision.watch(state)
    Changes.tell_who_began_before(table)
    # Who subscribed while it started, in an `init`.
    state = Changes.happened(state, [], Roster.living(table))

    adopted =
      for {number, pid, begun, restarts, _, _} <- members,
          restarts > 0 or number > state.plan.count,
          into: %{},
          do: {number, {pid, begun}}

    state = %{state | ready?: true, builder: nil, adopted: adopted}
    Enum.reduce(state.early, %{state | early: %{}}, &Healing.unheard/2)
  end

  # Its table may be gone when it ends itself.
  defp handle(:ending, state), do: %{state | ending?: true}

  defp handle({:added, number, pid}, state) do
    # It is the first of that number: one that was adopted is this one, or has come after it. At `:ready` all are.
    if state.ready? and not is_map_key(state.adopted, number), do: monitor(number, pid)
    state = Healing.joined(state, [], number, pid)
    Watch.moved(state, number, System.monotonic_time())
  end

  defp handle({:adding, number}, state), do: Watch.adding(state, number)

  # Who was dead before, is heard of once more: perhaps nobody has told of it.
  defp handle({:removed, number, pid}, state) do
    if Additions.left?(state.table, pid), do: monitor({:removed, number}, pid)
    Healing.removed(state, number, pid)
  end

  defp handle({:subscribed, pid}, state) do
    if :ets.member(state.table, {:subscriber, pid}),
      do: Changes.subscribed(pid, state),
      else: state
  end

  defp handle(:topology, state) do
    Changes.topology(state)
    state
  end

  defp handle({:unsubscribed, pid}, state), do: Changes.unsubscribed(pid, state)

  defp handle({:subscriber, _monitor, :process, pid, _reason}, state) do
    Changes.unsubscribe(state.table, pid)
    %{state | subscribers: Map.delete(state.subscribers, pid)}
  end

  defp handle({:supervisor, part, pid}, state), do: Supervision.watch(state, part, pid)

  defp handle({{:supervisor, part}, _monitor, :process, pid, reason}, state),
    do: Supervision.down(state, part, pid, reason)

  defp handle({:gone?, part, pid}, state), do: Supervision.look(state, part, pid)

  defp handle({number, _monitor, :process, pid, reason}, state) when is_integer(number),
    do: Healing.down(state, number, pid, reason, nil)

  defp handle({{:removed, number}, _monitor, :process, pid, _reason}, state),
    do: Healing.gone(state, number, pid)

  defp handle({{:again, number, begun}, _monitor, :process, pid, reason}, state),
    do: Healing.down(state, number, pid, reason, begun)

  defp handle({:restarted, number, old, new, begun, ended}, state) do
    adopted? = Healing.adopted?(state, number, begun)
    if state.ready? and not adopted?, do: monitor({:again, number, begun}, new)
    if number == 0, do: Changes.back(state.table, new, ended)
    Healing.restarted(state, {number, begun, ended, new}, old, adopted?)
  end

  defp handle({:not_restarted, number, old, reason}, state),
    do: Healing.not_restarted(state, number, old, reason)

  defp handle(:watch, state), do: state |> Healing.late() |> Watch.look()

  # Who was to start the members is gone before they all were.
  defp handle({:DOWN, builder, :process, _pid, _reason}, %{builder: builder} = state) do
    Watch.abandon(state)
    %{state | builder: nil}
  end

  defp handle(_other, state), do: state

  @impl true
  def terminate(reason, state) do
    if reason == :shutdown, do: ended(state.table)
    if state.ready?, do: state |> Supervision.why(&handle/2) |> Events.stopped(reason), else: :ok
  end

  # Its supervisor ends, and with it whoever it has started: there is nobody to look for.
  defp ended(table) do
    Roster.put(table, :state, :ended)
  rescue
    ArgumentError -> :ok
  end

  defp monitor(tag, pid), do: :erlang.monitor(:process, pid, tag: tag)
end
