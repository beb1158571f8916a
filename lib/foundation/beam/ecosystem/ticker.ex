defmodule Foundation.BEAM.Ecosystem.Ticker do
  @moduledoc false

  # Does what comes round by the clock: asks members for snapshots, and counts what they did. It stands
  # below the top supervisor of ecosystems that have one of the two; others do without it. What it may
  # have to wait for, the steward must not.

  use GenServer

  alias Foundation.BEAM.Ecosystem.{Config, Events, Roster, Samples, Scarcity, Snapshots}
  alias Foundation.BEAM.Ecosystem.Snapshots.{Quiet, Rounds}

  defstruct [
    :table,
    :id,
    :plan,
    :back,
    rounds: Rounds.new(),
    able: %{},
    sample: nil,
    scarcity: nil
  ]

  @spec start_link(Roster.table(), Config.t()) :: GenServer.on_start()
  def start_link(table, plan) do
    GenServer.start_link(__MODULE__, {table, plan.id, Config.without_data(plan)})
  end

  @doc "What the top supervisor starts, which prepends table and plan to the arguments."
  @spec specs(Config.t()) :: [Supervisor.child_spec()]
  def specs(%{snapshots?: false, sample_interval: nil}), do: []
  def specs(_plan), do: [%{id: __MODULE__, start: {__MODULE__, :start_link, []}}]

  @doc "Starts one for a worker whose module has snapshots, where there is none yet."
  @spec needed(Roster.table(), Config.t(), module()) :: :ok
  def needed(table, plan, module) do
    wanted = %{
      plan
      | snapshots?: plan.fault_tolerance == :self_healing and Snapshots.able?(module)
    }

    for spec <- specs(wanted), :ets.insert_new(table, {:ticker, nil}) do
      {_id, supervisor, _started_at, _config} = Roster.about(table)
      DynamicSupervisor.start_child(supervisor, spec)
    end

    :ok
  catch
    # The ecosystem ends.
    :exit, _reason -> :ok
  end

  @impl true
  def init({table, id, plan}) do
    Roster.put(table, :ticker, self())
    Process.send_after(self(), :snapshots, plan.snapshot_interval)
    if plan.sample_interval, do: Process.send_after(self(), :sample, plan.sample_interval)
    state = %__MODULE__{table: table, id: id, plan: plan}
    {:ok, %{state | sample: Samples.new(), scarcity: Scarcity.new()}}
  end

  @impl true
  def handle_info(message, state) do
    {:noreply, handle(message, state)}
  rescue
    # The table is gone, and this process is next.
    error in ArgumentError ->
      if :ets.info(state.table, :owner) == :undefined,
        do: {:noreply, state},
        else: reraise(error, __STACKTRACE__)
  end

  defp handle(:snapshots, %{table: table, plan: plan} = state) do
    Process.send_after(self(), :snapshots, plan.snapshot_interval)
    rows = Roster.members(table)

    able =
      for {_, _, _, _, _, module} <- rows, into: state.able, do: {module, able?(module, state)}

    members =
      for {number, pid, _, _, :up, module} <- rows, able[module], do: {number, pid, module}

    state = %{state | back: state.back || Quiet.back()}
    rounds = Rounds.keep(state.rounds, Map.new(rows, &{elem(&1, 0), true}))
    %{state | able: able, rounds: ask(members, rounds, state)}
  end

  # What they have answered, or refuse to.
  defp handle({:snapshot, number, pid, answer, mark}, state) do
    case Rounds.answered(state.rounds, number, pid, answer, mark) do
      {:tell, rounds} ->
        {:refused, fault} = answer
        Events.snapshot_refused(state.id, number, pid, fault)
        %{state | rounds: rounds}

      {_quiet, rounds} ->
        %{state | rounds: rounds}
    end
  end

  defp handle(:sample, %{table: table} = state) do
    Process.send_after(self(), :sample, state.plan.sample_interval)
    %{sample: before} = state = if state.sample.open, do: tell(state), else: state
    sample = Samples.take(before, Roster.living(table))
    Process.send_after(self(), {:over, sample.at}, Samples.over())
    whole(%{state | sample: sample})
  end

  defp handle({{:sampled, pid}, answer}, state),
    do: whole(%{state | sample: Samples.answered(state.sample, pid, answer)})

  defp handle({:over, at}, %{sample: %{at: at, open: open}} = state) when open != nil,
    do: tell(state)

  defp handle(_late_reply, state), do: state

  defp whole(state), do: if(Samples.whole?(state.sample), do: tell(state), else: state)

  defp tell(%{table: table, id: id} = state) do
    {figures, sample} = Samples.told(state.sample)
    Roster.put(table, :sample, figures)
    messages = figures |> Map.take([:count, :duration]) |> Map.put(:members, figures.counted)
    Events.messages(id, messages)
    Events.collections(id, Map.take(figures, [:collections, :heap_bytes, :duration, :members]))
    {change, scarcity} = Scarcity.look(state.scarcity)
    if change, do: Events.pressure(id, change, Map.take(figures, [:memory, :members]))
    %{state | sample: sample, scarcity: scarcity}
  end

  defp able?(module, %{able: able}) do
    case able do
      %{^module => able?} -> able?
      _unknown -> Snapshots.able?(module)
    end
  end

  # One that cannot be asked now, as it is none of OTP's still, may be the next time.
  defp ask(members, rounds, %{table: table, plan: plan, back: back}) do
    {due, rounds} = Rounds.due(rounds, for({number, pid, _} <- members, do: {number, pid}))
    modules = Map.new(members, fn {number, _pid, module} -> {number, module} end)
    marks = for {number, pid} <- due, do: {pid, Rounds.mark(rounds, number, pid)}
    verdicts = Quiet.verdicts(marks, back)

    Enum.reduce(due, rounds, fn {number, pid}, rounds ->
      case verdicts[pid] do
        :ask ->
          Snapshots.ask(table, number, pid, modules[number], plan.max_snapshot_bytes, self())
          rounds

        :leave ->
          Rounds.not_asked(rounds, number)

        :impossible ->
          Rounds.forget(rounds, number)
      end
    end)
  end
end
