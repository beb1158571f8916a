defmodule Foundation.ChaosModel do
  @moduledoc """
  What an ecosystem is like after kills, for `proper_statem`: its roles. Workers are added and removed at
  rest, where both have to succeed, and while it heals, where the roles are what both have returned. The state names the module whose functions are called, so that a twin that breaks something
  can stand in for the real one.
  """

  @behaviour :proper_statem

  import :proper_types, only: [oneof: 1, frequency: 1, integer: 2, resize: 2, list: 1, vector: 2]

  alias Foundation.Chaos

  defmodule Real do
    @moduledoc "The calls as they are."

    # Milliseconds that it has to come to rest.
    def patience, do: 30_000

    defdelegate start(opts), to: Chaos
    defdelegate pass(ecosystem), to: Chaos
    defdelegate add(ecosystem), to: Chaos
    defdelegate remove(ecosystem, place), to: Chaos
    defdelegate churn(ecosystem, kills, removals, additions, acts), to: Chaos
    defdelegate topology(ecosystem, name), to: Chaos

    def kill(ecosystem, places), do: Enum.count(places, &Chaos.kill(ecosystem, &1))

    def settle(ecosystem, roles, results),
      do: Chaos.settle(ecosystem, Chaos.roles(roles, List.flatten(results)), patience())
  end

  @impl true
  def initial_state, do: new(Real, [])

  @doc "The state before any call, of the module to be called, with options for `start`."
  def new(module, opts),
    do: %{
      module: module,
      opts: opts,
      ecosystem: nil,
      # Of the start, and what adding and removing have returned since: each a list of results.
      roles: [],
      results: [],
      additions: 0,
      rest?: false
    }

  @impl true
  def command(%{ecosystem: nil, module: module, opts: opts}), do: {:call, module, :start, [opts]}

  def command(%{module: module, ecosystem: ecosystem} = state) do
    call = fn name, arguments -> {:call, module, name, [ecosystem | arguments]} end

    at_rest =
      if state.rest?,
        do: [{1, call.(:topology, [oneof([:tree, :mesh, :ring])])}],
        else: [{4, call.(:settle, [state.roles, state.results])}]

    place = integer(0, 1_000)
    places = resize(3, list(place))
    more = for _ <- 1..1, state.additions < 12, do: {2, call.(:add, [])}

    frequency([
      {6, call.(:kill, [vector(3, place)])},
      {3, call.(:churn, [vector(3, place), places, integer(0, 2), acts()])},
      {2, call.(:remove, [place])},
      {2, call.(:pass, [])} | more ++ at_rest
    ])
  end

  defp acts, do: resize(3, list(oneof([:steward, :coordinator, :pass, :tree, :mesh, :ring])))

  @impl true
  def precondition(%{ecosystem: nil}, {:call, _, name, _}), do: name == :start
  def precondition(_state, {:call, _, :start, _}), do: false

  def precondition(%{rest?: rest?}, {:call, _, :topology, _}), do: rest?

  def precondition(state, {:call, _, :settle, [_, roles, results]}),
    do: {state.roles, state.results} == {roles, results}

  def precondition(_state, _call), do: true

  @impl true
  def next_state(state, ecosystem, {:call, _, :start, [opts]}) do
    count = Keyword.get(opts, :count, 4)
    roles = [:coordinator | for(n <- 1..count, do: {:worker, n})]
    %{state | ecosystem: ecosystem, roles: roles}
  end

  def next_state(state, _result, {:call, _, :kill, _}), do: %{state | rest?: false}
  def next_state(state, _result, {:call, _, :settle, _}), do: %{state | rest?: true}

  def next_state(state, result, {:call, _, name, _}) when name in [:add, :remove],
    do: %{state | results: [result | state.results], additions: state.additions + 1}

  def next_state(state, results, {:call, _, :churn, _}),
    do: %{
      state
      | results: [results | state.results],
        additions: state.additions + 1,
        rest?: false
    }

  def next_state(state, _result, {:call, _, name, _}) when name in [:topology, :pass], do: state

  @impl true
  def postcondition(_state, {:call, _, :settle, _}, faults), do: faults == []

  def postcondition(%{rest?: true}, {:call, _, :add, _}, result),
    do: match?({:added, {_, _}}, result)

  def postcondition(%{rest?: true}, {:call, _, :remove, _}, result),
    do: elem(result, 0) == :removed

  def postcondition(_state, _call, _result), do: true
end
