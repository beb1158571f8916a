defmodule Foundation.TelemetryPropertyTest do
  use ExUnit.Case, async: true
  use Foundation.Property

  # Handlers that fail are logged each time.
  @moduletag :capture_log

  defmodule Model do
    @moduledoc false
    # The handlers as a list in the order of attaching: what the dispatcher must act like.
    @behaviour :proper_statem

    alias Foundation.Telemetry
    import :proper_types, only: [oneof: 1, list: 1, frequency: 1]

    @root :telemetry_property
    # Few ids and events, so that they collide.
    @ids [:a, :b, :c, :d]
    @events [[@root, :x], [@root, :x, :y], [@root, :z]]
    @prefixes [[@root], [@root, :x] | @events]

    def handler(_event, _measurements, _metadata, {kind, id}) do
      Process.put(:heard, [id | Process.get(:heard, [])])
      kind == :fails and raise "on purpose"
    end

    def attach(id, events, kind) do
      Telemetry.attach_many({@root, id}, events, &__MODULE__.handler/4, {kind, id})
    end

    def detach(id), do: Telemetry.detach({@root, id})

    def execute(event) do
      Process.delete(:heard)
      :ok = Telemetry.execute(event, %{})
      Enum.reverse(Process.get(:heard, []))
    end

    def listed(prefix) do
      Enum.sort(
        for %{id: {@root, id}} = h <- Telemetry.list_handlers(prefix), do: {id, h.event_name}
      )
    end

    def clear, do: Enum.each(@ids, &detach/1)

    @impl true
    def initial_state, do: %{attached: [], kinds: [:works, :works, :fails], lists: true}
    def parallel_state, do: %{attached: [], kinds: [:works], lists: false}

    @impl true
    def command(%{kinds: kinds, lists: lists}) do
      frequency(
        [
          {3, {:call, __MODULE__, :attach, [oneof(@ids), list(oneof(@events)), oneof(kinds)]}},
          {2, {:call, __MODULE__, :detach, [oneof(@ids)]}},
          {4, {:call, __MODULE__, :execute, [oneof(@events)]}}
        ] ++ if(lists, do: [{1, {:call, __MODULE__, :listed, [oneof(@prefixes)]}}], else: [])
      )
    end

    @impl true
    def precondition(_state, _call), do: true

    @impl true
    def next_state(state, _result, {:call, _, :attach, [_, [], _]}), do: state

    def next_state(%{attached: attached} = state, _result, {:call, _, :attach, [id | rest]}) do
      if List.keymember?(attached, id, 0),
        do: state,
        else: %{state | attached: attached ++ [List.to_tuple([id | rest])]}
    end

    def next_state(state, _result, {:call, _, :detach, [id]}),
      do: %{state | attached: List.keydelete(state.attached, id, 0)}

    def next_state(state, _result, {:call, _, :execute, [event]}) do
      failed = fn {_, events, kind} -> kind == :fails and event in events end
      %{state | attached: Enum.reject(state.attached, failed)}
    end

    def next_state(state, _result, {:call, _, :listed, _}), do: state

    @impl true
    def postcondition(%{attached: attached}, {:call, _, name, args}, result) do
      result == expected(name, args, attached)
    end

    defp expected(:attach, [id, _, _], attached),
      do: if(List.keymember?(attached, id, 0), do: {:error, :already_exists}, else: :ok)

    defp expected(:detach, [id], attached),
      do: if(List.keymember?(attached, id, 0), do: :ok, else: {:error, :not_found})

    defp expected(:execute, [event], attached),
      do: for({id, events, _} <- attached, event in events, do: id)

    defp expected(:listed, [prefix], attached) do
      Enum.sort(
        for {id, events, _} <- attached,
            event <- Enum.uniq(events),
            List.starts_with?(event, prefix),
            do: {id, event}
      )
    end
  end

  setup do
    on_exit(&Model.clear/0)
  end

  property "any sequence of calls behaves like a list of handlers", runs: 300 do
    forall commands <- :proper_statem.commands(Model) do
      Model.clear()
      {_history, _state, result} = :proper_statem.run_commands(Model, commands)
      result == :ok
    end
  end

  # Handlers that fail are left out: the call of one and its detachment are two steps, by design.
  property "calls from two processes at once behave like some sequence of them", runs: 60 do
    forall commands <- :proper_statem.parallel_commands(Model, Model.parallel_state()) do
      Model.clear()
      {_sequential, _parallel, result} = :proper_statem.run_parallel_commands(Model, commands)
      result == :ok
    end
  end
end
