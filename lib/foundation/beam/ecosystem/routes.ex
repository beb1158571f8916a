defmodule Foundation.BEAM.Ecosystem.Routes do
  @moduledoc false

  # Messages between members by the topology. Nobody stands in between but the members by whom a message
  # goes: these get what they are to pass on, `{:ecosystem_forward, hop}`, and do it by `forward/2`, in the order
  # in which it came. A hop keeps the topology that it began with, so that nobody gets a message twice
  # when that is changed on its way.

  alias Foundation.BEAM.Ecosystem.Roster
  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.Router
  alias Foundation.{Error, Options}

  @opaque hop ::
            {__MODULE__, Topology.name(), from :: Topology.role(), to :: Topology.role() | :all,
             message :: term()}

  @doc "Role of a member that is named by it, or by its pid."
  @spec role(Roster.table(), Topology.role() | pid()) ::
          {:ok, Topology.role()} | {:error, Error.t()}
  def role(table, pid) when is_pid(pid) do
    case Roster.place(table, pid) do
      nil -> no_member(table, pid)
      number -> {:ok, Roster.role(number)}
    end
  end

  def role(table, role) do
    case Roster.member(table, Roster.number(role)) do
      nil -> no_member(table, role)
      _row -> {:ok, role}
    end
  end

  @spec no_member(Roster.table(), term()) :: {:error, Error.t()}
  def no_member(table, who) do
    id = Roster.id(table)
    text = "#{Options.given(who)} is no member of the ecosystem #{Options.given(id)}"
    {:error, Error.new(:not_a_member, text, %{ecosystem: id, member: who})}
  end

  @spec neighbours(Roster.table(), Topology.role() | pid()) ::
          {:ok, [{Topology.role(), pid()}]} | {:error, Error.t()}
  def neighbours(table, member) do
    with {:ok, role} <- role(table, member) do
      living = Roster.living(table)
      roles = Router.neighbours(Roster.topology(table), roles(living), role)
      {:ok, for(role <- roles, do: List.keyfind(living, role, 0))}
    end
  end

  defp roles(living), do: Enum.map(living, &elem(&1, 0))

  @doc "From the calling process to all members but itself."
  @spec broadcast(Roster.table(), term()) :: :ok | {:error, Error.t()}
  def broadcast(table, message) do
    case me(table) do
      nil ->
        # From outside there is no way but to each.
        for {_role, pid} <- Roster.living(table), do: deliver(pid, self(), message)
        :ok

      role ->
        pass_on({__MODULE__, Roster.topology(table), role, :all, message}, role, table)
    end
  end

  @doc "From the calling process to one member."
  @spec send_to(Roster.table(), Topology.role(), term()) :: :ok | {:error, Error.t()}
  def send_to(table, to, message) do
    with {:ok, to} <- role(table, to) do
      case me(table) do
        nil -> straight(table, to, self(), message)
        ^to -> straight(table, to, to, message)
        from -> pass_on({__MODULE__, Roster.topology(table), from, to, message}, from, table)
      end
    end
  end

  @doc "What a member does that got a hop."
  @spec forward(Roster.table(), hop()) :: :ok | {:error, Error.t()}
  def forward(table, {__MODULE__, _name, _from, _to, _message} = hop) do
    case me(table) do
      nil -> no_member(table, self())
      role -> pass_on(hop, role, table)
    end
  end

  def forward(_table, other) do
    raise ArgumentError,
          "expected what came with :ecosystem_forward in Processes.forward/2, " <>
            "got: #{Options.given(other)}"
  end

  # On from member `at`.
  defp pass_on({_, name, from, :all, message} = hop, at, table) do
    living = Roster.living(table)
    roles = roles(living)

    for next <- Router.forward(name, roles, from, at) do
      {^next, pid} = List.keyfind(living, next, 0)
      deliver(pid, from, message)
      # Only who has somebody to pass it on to is asked to.
      if name != :mesh and Router.forward(name, roles, from, next) != [],
        do: send(pid, {:ecosystem_forward, hop})
    end

    :ok
  end

  defp pass_on({_, :mesh, from, to, message}, _at, table), do: straight(table, to, from, message)

  defp pass_on({_, name, from, to, message} = hop, at, table) do
    case Router.next_hop(name, table |> Roster.living() |> roles(), at, to) do
      {:ok, ^to} ->
        straight(table, to, from, message)

      {:ok, next} ->
        with {:ok, pid} <- up(table, next), do: put_into(pid, hop)

      {:error, _no_route} = error ->
        error
    end
  end

  defp put_into(pid, hop) do
    send(pid, {:ecosystem_forward, hop})
    :ok
  end

  defp straight(table, to, from, message) do
    with {:ok, pid} <- up(table, to), do: deliver(pid, from, message)
  end

  defp up(table, role) do
    with :error <- Roster.up(table, Roster.number(role)) do
      {:error, Error.new(:no_route, "#{inspect(role)} is down", %{to: role})}
    end
  end

  defp deliver(pid, from, message) do
    send(pid, {:ecosystem_message, from, message})
    :ok
  end

  # The role of the calling process. It looks through all members for it, once in the life of a member: no
  # other process takes its role while it lives.
  defp me(table) do
    with nil <- Process.get({__MODULE__, table}),
         number when number != nil <- Roster.place(table, self()) do
      role = Roster.role(number)
      Process.put({__MODULE__, table}, role)
      role
    end
  end
end
