defmodule Foundation.Talker do
  @moduledoc """
  A member that speaks with others by the topology, passes on what is to be passed on, and tells the test of
  what it gets: `{:heard, role, message}`.

  With `subscribe: true` it keeps the list of all members, from its `init` on. A token stays with it until
  it is told to pass it on (`pass/1`), or goes round at once with `pass: true`.
  """

  use GenServer

  alias Foundation.BEAM.Processes

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @doc "Runs the function in the member, and gives its result."
  def inside(pid, fun), do: GenServer.call(pid, {:inside, fun})

  @doc "The members that it knows of, by role."
  def known(pid), do: GenServer.call(pid, :known)

  @doc "The token that it got last, if it has not passed it on."
  def token(pid), do: GenServer.call(pid, :token)

  @doc "All that it knows, as a map: its `:role`, `:coordinator`, the members `:known`, its `:token`."
  def look(pid), do: GenServer.call(pid, :look)

  @doc "Has it pass on the token that it has, if it has one."
  def pass(pid), do: GenServer.cast(pid, :pass)

  @impl true
  def init(opts) do
    known = if opts[:subscribe], do: Map.new(elem(Processes.subscribe(opts[:ecosystem_id]), 1))
    state = %{opts: opts, id: opts[:ecosystem_id], role: opts[:role], known: known, token: nil}
    {:ok, Map.put(state, :coordinator, opts[:coordinator])}
  end

  @impl true
  def handle_call({:inside, fun}, _from, state), do: {:reply, fun.(), state}
  def handle_call(:look, _from, state), do: {:reply, Map.delete(state, :opts), state}
  def handle_call(:known, _from, state), do: {:reply, state.known, state}
  def handle_call(:token, _from, state), do: {:reply, state.token, state}

  @impl true
  def handle_cast(:pass, %{token: nil} = state), do: {:noreply, state}
  def handle_cast(:pass, state), do: {:noreply, pass_on(state)}

  @impl true
  def handle_info({:ecosystem_forward, hop}, state) do
    tell(state, :forwards)
    Processes.forward(state.id, hop)
    {:noreply, state}
  end

  def handle_info({:members_changed, _id, %{joined: joined, left: left}} = message, state) do
    tell(state, message)
    # One that has come back under its role is not who has left.
    known = Enum.reduce(left, state.known, &without/2)
    {:noreply, %{state | known: Enum.into(joined, known)}}
  end

  def handle_info({:ecosystem_token, token}, state) do
    tell(state, {:token, token})
    state = %{state | token: token}
    {:noreply, if(state.opts[:pass], do: pass_on(state), else: state)}
  end

  def handle_info({:coordinator_changed, pid} = message, state) do
    tell(state, message)
    {:noreply, %{state | coordinator: pid}}
  end

  def handle_info(message, state) do
    tell(state, message)
    {:noreply, state}
  end

  defp without({role, pid}, known) do
    case known do
      %{^role => ^pid} -> Map.delete(known, role)
      _another -> known
    end
  end

  defp pass_on(state) do
    Processes.pass_token(state.id, state.token)
    %{state | token: nil}
  end

  defp tell(%{opts: opts, role: role}, message),
    do: if(opts[:test], do: send(opts[:test], {:heard, role, message}))
end
