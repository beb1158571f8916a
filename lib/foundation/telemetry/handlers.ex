defmodule Foundation.Telemetry.Handlers do
  @moduledoc false

  # Who listens, and where events go. One process writes; executing an event only reads.
  #
  # In front of the table stand two persistent terms. The mode is an atom, which is cheap to replace:
  # `:none` where nobody listens, `:own` where this table has handlers, `:telemetry` where that library
  # takes the events. The gate is put there once in the life of the VM: atomic integers that count the
  # events with handlers by a hash of their name. So an event that nobody listens to costs no lookup.
  #
  # The gate opens before the rows are written and closes after they are gone; the rows of one
  # change are written by one insert, which is atomic. An execution therefore sees a change to
  # several events either whole or not at all.

  use GenServer

  require Logger

  # Only there when the user's application brings it.
  @compile {:no_warn_undefined, :telemetry}
  @compile {:inline, own: 2, slot: 1}

  @type id :: term()
  @type handler :: {id(), function(), term()}

  @mode __MODULE__
  @gate __MODULE__.Gate
  @slots 256
  # 1 in the gate where the next event may ask whether `:telemetry` has been started meanwhile.
  @look @slots + 1
  # Milliseconds between two looks, where `:telemetry` is loaded and never started.
  @look_again 1_000

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_arg), do: GenServer.start_link(__MODULE__, nil, name: __MODULE__)

  @doc "Where the event goes: to nobody, to the handlers of this table, or to `:telemetry`."
  @spec route([atom(), ...]) :: :none | :own | :telemetry
  def route(event) do
    # No mode: the application has never been started.
    case :persistent_term.get(@mode, :none) do
      :telemetry -> :telemetry
      mode -> if :erlang.module_loaded(:telemetry), do: look(mode, event), else: own(mode, event)
    end
  end

  defp own(:none, _event), do: :none

  defp own(:own, event) do
    if :atomics.get(:persistent_term.get(@gate), slot(event)) == 0, do: :none, else: :own
  end

  # Whoever listens by means of `:telemetry` has loaded it.
  defp look(mode, event) do
    gate = :persistent_term.get(@gate, nil)

    if gate != nil and :atomics.exchange(gate, @look, 0) == 1 and call(:look) == :telemetry,
      do: :telemetry,
      else: own(mode, event)
  end

  @doc "The handlers of an event, in the order in which they were attached."
  @spec for_event([atom(), ...]) :: [handler()]
  def for_event(event) do
    case :ets.lookup(__MODULE__, event) do
      [{_event, handlers}] -> handlers
      [] -> []
    end
  rescue
    # The application has been stopped: the table went with its process.
    ArgumentError -> []
  end

  @doc "Every event that has handlers."
  @spec all() :: [{[atom(), ...], [handler()]}]
  def all do
    :ets.tab2list(__MODULE__)
  rescue
    ArgumentError -> []
  end

  # Each of these first hands over to `:telemetry` if that has been started meanwhile, and then
  # answers `:telemetry`: the caller goes there itself.

  @doc "Where handlers live."
  @spec home() :: :own | :telemetry | :not_started
  def home, do: call(:home)

  @spec attach(id(), [[atom(), ...]], function(), term()) ::
          :ok | {:error, :already_exists} | :telemetry | :not_started
  def attach(id, events, function, config), do: call({:attach, id, events, function, config})

  @spec detach(id()) :: :ok | {:error, :not_found} | :telemetry | :not_started
  def detach(id), do: call({:detach, id})

  @doc "Detaches what failed, unless another function has been attached under its id meanwhile."
  @spec detach_failed(id(), function()) :: :ok | {:error, :not_found} | :telemetry | :not_started
  def detach_failed(id, function), do: call({:detach_failed, id, function})

  defp call(request) do
    GenServer.call(__MODULE__, request, :infinity)
  catch
    :exit, {reason, _} when reason in [:noproc, :normal, :shutdown, :killed] -> :not_started
  end

  @impl true
  def init(nil) do
    :ets.new(__MODULE__, [:named_table, :protected, :set, read_concurrency: true])
    :persistent_term.put(@mode, :none)
    for slot <- 1..@slots, do: :atomics.put(gate(), slot, 0)
    state = hand_over(%{next: 0, ids: %{}})
    :atomics.put(gate(), @look, 1)
    {:ok, state}
  end

  @impl true
  def handle_call(request, _from, state) do
    state = hand_over(state)

    if handed_over?() do
      {:reply, :telemetry, state}
    else
      {reply, state} = handle(request, state)
      {:reply, reply, state}
    end
  end

  @impl true
  def handle_info(:look, state) do
    :atomics.put(gate(), @look, 1)
    {:noreply, state}
  end

  defp handle(:home, state), do: {:own, state}

  defp handle(:look, state) do
    Process.send_after(self(), :look, @look_again)
    {:own, state}
  end

  defp handle({:attach, id, _, _, _}, %{ids: ids} = state) when is_map_key(ids, id),
    do: {{:error, :already_exists}, state}

  defp handle({:attach, _id, [], _function, _config}, state), do: {:ok, state}

  defp handle({:attach, id, events, function, config}, state) do
    ids = Map.put(state.ids, id, {state.next, events, function, config})
    open(events)
    :ets.insert(__MODULE__, for(e <- events, do: {e, for_event(e) ++ [{id, function, config}]}))
    {:ok, %{state | ids: ids, next: state.next + 1}}
  end

  defp handle({:detach, id}, %{ids: ids} = state) when is_map_key(ids, id) do
    {{_, events, _, _}, ids} = Map.pop!(ids, id)
    :ets.insert(__MODULE__, for(e <- events, do: {e, List.keydelete(for_event(e), id, 0)}))
    for e <- events, do: :ets.delete_object(__MODULE__, {e, []})
    close(events, ids)
    {:ok, %{state | ids: ids}}
  end

  defp handle({:detach_failed, id, function}, %{ids: ids} = state) do
    case ids do
      %{^id => {_, _, ^function, _}} -> handle({:detach, id}, state)
      _ -> {{:error, :not_found}, state}
    end
  end

  defp handle({:detach, _id}, state), do: {{:error, :not_found}, state}

  defp open(events) do
    for event <- events, do: :atomics.add(gate(), slot(event), 1)
    :persistent_term.put(@mode, :own)
  end

  defp close(events, ids) do
    if ids == %{}, do: :persistent_term.put(@mode, :none)
    for event <- events, do: :atomics.sub(gate(), slot(event), 1)
  end

  # `:telemetry` gets our handlers before the events, so that none of these is lost. The rows stay
  # for the executions that have passed the gate already; nobody reads them afterwards.
  defp hand_over(state) do
    if not handed_over?() and telemetry_started?() do
      for {id, {_, events, function, config}} <- Enum.sort_by(state.ids, &elem(elem(&1, 1), 0)),
          {:error, reason} <- [:telemetry.attach_many(id, events, function, config)] do
        Logger.warning("telemetry handler #{inspect(id)} was not handed over: #{inspect(reason)}")
      end

      :persistent_term.put(@mode, :telemetry)
      %{state | ids: %{}}
    else
      state
    end
  end

  defp handed_over?, do: :persistent_term.get(@mode) == :telemetry

  # A loaded module is not enough: handlers live in processes of its application. Those answer if they
  # are there; the application controller would not while it stops some application. The cheap question
  # comes first: looking for a module that is not there searches the whole code path.
  defp telemetry_started? do
    :application.get_key(:telemetry, :vsn) != :undefined and
      Code.ensure_loaded?(:telemetry) and
      :telemetry.detach(make_ref()) == {:error, :not_found}
  catch
    _kind, _reason -> false
  end

  defp gate do
    with nil <- :persistent_term.get(@gate, nil) do
      gate = :atomics.new(@slots + 1, signed: true)
      :persistent_term.put(@gate, gate)
      gate
    end
  end

  defp slot(event), do: :erlang.phash2(event, @slots) + 1
end
