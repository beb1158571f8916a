defmodule Foundation.Telemetry.Dispatch do
  @moduledoc false

  # What everything inside the library calls to tell of an event. It knows nothing of the library,
  # so that `Foundation.Telemetry`, which is for users, may look at all of it.

  require Logger

  alias Foundation.Error
  alias Foundation.Options
  alias Foundation.Telemetry.Handlers

  # Only there when the user's application brings it.
  @compile {:no_warn_undefined, :telemetry}

  @not_started "the :foundation application is not started: nothing can be attached"

  @type event :: [atom(), ...]

  @spec execute(event(), map(), map()) :: :ok
  def execute(event, measurements, metadata \\ %{})

  # `length/1` fails for an improper list, and costs nothing that can be measured. To look at every
  # element would take some 6 ns of the 24 that an event without handlers costs: a name that is no
  # list of atoms cannot be attached to, so nobody hears it.
  def execute(event, measurements, metadata)
      when length(event) > 0 and is_map(measurements) and is_map(metadata) do
    case Handlers.route(event) do
      :none -> :ok
      :own -> run(Handlers.for_event(event), event, measurements, metadata)
      :telemetry -> :telemetry.execute(event, measurements, metadata)
    end
  end

  def execute(event, measurements, metadata) do
    event!(event)
    is_map(measurements) || invalid!("measurements", "a map", measurements)
    invalid!("metadata", "a map", metadata)
  end

  @spec span(event(), map(), (() -> {any(), map()} | {any(), map(), map()})) :: any()
  def span(prefix, metadata, function) do
    event!(prefix)
    is_map(metadata) || invalid!("metadata", "a map", metadata)
    is_function(function, 0) || invalid!("function", "a function of arity 0", function)

    started = System.monotonic_time()
    context = make_ref()
    start = %{monotonic_time: started, system_time: System.system_time()}
    execute(prefix ++ [:start], start, in_span(metadata, context))

    try do
      function.()
    catch
      kind, reason ->
        failure = %{kind: kind, reason: reason, stacktrace: __STACKTRACE__}
        failed = metadata |> Map.merge(failure) |> in_span(context)
        execute(prefix ++ [:exception], stopped(started), failed)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {result, %{} = stop} ->
        execute(prefix ++ [:stop], stopped(started), in_span(stop, context))
        result

      {result, %{} = extra, %{} = stop} ->
        measurements = Map.merge(extra, stopped(started))
        execute(prefix ++ [:stop], measurements, in_span(stop, context))
        result

      other ->
        returns = "to return {result, metadata} or {result, measurements, metadata}"
        invalid!("function", returns, other)
    end
  end

  @spec attach_many(Handlers.id(), [event()], function(), term()) ::
          :ok | {:error, :already_exists | Error.t()}
  def attach_many(id, events, function, config) do
    is_function(function, 4) || invalid!("function", "a function of arity 4", function)
    proper?(events) || invalid!("events", "a list of event names", events)
    Enum.each(events, &event!/1)
    # An event that is named twice is one subscription, in either mode.
    events = Enum.uniq(events)

    case Handlers.attach(id, events, function, config) do
      :telemetry -> :telemetry.attach_many(id, events, function, config)
      :not_started -> {:error, Error.new(:not_started, @not_started)}
      result -> result
    end
  end

  @spec detach(Handlers.id()) :: :ok | {:error, :not_found}
  def detach(id) do
    case Handlers.detach(id) do
      :telemetry -> :telemetry.detach(id)
      :not_started -> {:error, :not_found}
      result -> result
    end
  end

  @spec list_handlers([atom()]) :: [map()]
  def list_handlers(prefix) do
    atoms?(prefix) || invalid!("event prefix", "a list of atoms", prefix)

    case Handlers.home() do
      :telemetry -> :telemetry.list_handlers(prefix)
      _ -> for {e, list} <- Handlers.all(), List.starts_with?(e, prefix), h <- list, do: map(e, h)
    end
  end

  defp map(event, {id, function, config}),
    do: %{id: id, event_name: event, function: function, config: config}

  defp run([], _event, _measurements, _metadata), do: :ok

  defp run([{id, function, config} | rest], event, measurements, metadata) do
    try do
      function.(event, measurements, metadata, config)
    catch
      kind, reason -> failed(id, function, config, event, {kind, reason, __STACKTRACE__})
    end

    run(rest, event, measurements, metadata)
  end

  defp failed(id, function, config, event, {kind, reason, stacktrace}) do
    Handlers.detach_failed(id, function)

    Logger.error(
      "telemetry handler #{inspect(id)} failed on #{inspect(event)} and has been detached\n" <>
        Exception.format(kind, reason, stacktrace)
    )

    execute(
      [:telemetry, :handler, :failure],
      %{monotonic_time: System.monotonic_time(), system_time: System.system_time()},
      %{
        event_name: event,
        handler_id: id,
        handler_config: config,
        kind: kind,
        reason: reason,
        stacktrace: stacktrace
      }
    )
  end

  defp stopped(started) do
    now = System.monotonic_time()
    %{duration: now - started, monotonic_time: now}
  end

  defp in_span(metadata, context), do: Map.put_new(metadata, :telemetry_span_context, context)

  defp event!([_ | _] = event), do: atoms?(event) || invalid_event!(event)
  defp event!(event), do: invalid_event!(event)

  defp atoms?([atom | rest]) when is_atom(atom), do: atoms?(rest)
  defp atoms?(rest), do: rest == []

  @spec invalid_event!(term()) :: no_return()
  defp invalid_event!(event), do: invalid!("event", "a non-empty list of atoms", event)

  defp proper?(list), do: is_list(list) and not List.improper?(list)

  @spec invalid!(String.t(), String.t(), term()) :: no_return()
  defp invalid!(argument, expected, given) do
    raise ArgumentError, "invalid #{argument}: expected #{expected}, got: #{Options.given(given)}"
  end
end
