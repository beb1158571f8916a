defmodule Foundation.ChaosModel do
  @moduledoc """
  What an ecosystem is like after kills, for `proper_statem`: its roles, and its topology. The state names
  the module whose functions are called, so that a twin that breaks something can stand in for the
  real one.
  """

  @behaviour :proper_statem

  import :proper_types, only: [oneof: 1, frequency: 1, integer: 2, vector: 2]

  alias Foundation.Chaos

  defmodule Real do
    @moduledoc "The calls as they are."

    # Milliseconds that it has to come to rest.
    def patience, do: 5_000

    defdelegate start(opts), to: Chaos
    defdelegate pass(ecosystem), to: Chaos
    defdelegate add(ecosystem), to: Chaos
    defdelegate remove(ecosystem, role), to: Chaos
    defdelegate topology(ecosystem, name), to: Chaos

    def kill(ecosystem, places), do: Enum.count(places, &Chaos.kill(ecosystem, &1))
    def settle(ecosystem, roles), do: Chaos.settle(ecosystem, roles, patience())
  end

  @impl true
  def initial_state, do: new(Real, [])

  @doc "The state before any call, of the module to be called, with options for `start`."
  def new(module, opts),
    do: %{
      module: module,
      opts: opts,
      ecosystem: nil,
      roles: [],
      next: 0,
      topology: nil,
      rest?: false
    }

  @impl true
  def command(%{ecosystem: nil, module: module, opts: opts}), do: {:call, module, :start, [opts]}

  def command(%{module: module, ecosystem: ecosystem} = state) do
    call = fn name, arguments -> {:call, module, name, [ecosystem | arguments]} end

    at_rest =
      if state.rest? do
        workers = for {:worker, _} = role <- state.roles, do: role
        names = [:tree, :mesh, :ring]

        for(_ <- 1..1, length(workers) < 7, do: {2, call.(:add, [])}) ++
          for(_ <- 1..1, length(workers) > 2, do: {2, call.(:remove, [oneof(workers)])}) ++
          [{1, call.(:topology, [oneof(names)])}]
      else
        [{4, call.(:settle, [state.roles])}]
      end

    frequency([
      {6, call.(:kill, [vector(3, integer(0, 1_000))])},
      {2, call.(:pass, [])} | at_rest
    ])
  end

  @impl true
  def precondition(%{ecosystem: nil}, {:call, _, name, _}), do: name == :start
  def precondition(_state, {:call, _, :start, _}), do: false

  def precondition(%{rest?: false}, {:call, _, name, _}) when name in [:add, :remove, :topology],
    do: false

  def precondition(%{roles: roles}, {:call, _, :settle, [_, expected]}), do: roles == expected
  def precondition(%{roles: roles}, {:call, _, :remove, [_, role]}), do: role in roles
  def precondition(_state, _call), do: true

  @impl true
  def next_state(state, ecosystem, {:call, _, :start, [opts]}) do
    count = Keyword.get(opts, :count, 4)
    roles = [:coordinator | for(n <- 1..count, do: {:worker, n})]
    topology = Keyword.get(opts, :topology, :tree)
    %{state | ecosystem: ecosystem, roles: roles, next: count + 1, topology: topology}
  end

  def next_state(state, _result, {:call, _, :kill, _}), do: %{state | rest?: false}
  def next_state(state, _result, {:call, _, :settle, _}), do: %{state | rest?: true}

  def next_state(state, _result, {:call, _, :add, _}),
    do: %{state | roles: state.roles ++ [{:worker, state.next}], next: state.next + 1}

  def next_state(state, _result, {:call, _, :remove, [_, role]}),
    do: %{state | roles: List.delete(state.roles, role)}

  def next_state(state, _result, {:call, _, :topology, [_, name]}), do: %{state | topology: name}
  def next_state(state, _result, {:call, _, :pass, _}), do: state

  @impl true
  def postcondition(_state, {:call, _, :settle, _}, faults), do: faults == []
  def postcondition(state, {:call, _, :add, _}, role), do: role == {:worker, state.next}
  def postcondition(_state, {:call, _, :remove, _}, result), do: result == :ok
  def postcondition(_state, _call, _result), do: true
end
