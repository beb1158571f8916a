defmodule Foundation.BEAM.Ecosystem.Routes do
  @moduledoc false

  # Messages between members by the topology. Nobody stands in between but the members by whom a message
  # goes: these get what they are to pass on, `{:ecosystem_forward, hop}`, and do it by `forward/2`, in the order
  # in which it came. A hop keeps the topology that it began with, so that nobody gets a message twice
  # when that is changed on its way.

  alias Foundation.BEAM.Ecosystem.{Caller, Nearest, Roster}
  alias Foundation.BEAM.Topology
  alias Foundation.BEAM.Topology.{Ring, Router}
  alias Foundation.{Error, Options}

  @opaque hop ::
            {__MODULE__, Topology.name(), from :: Topology.role(), to() | :all, message :: term()}

  # With the pid where it was asked for by that: for nobody else under its role.
  @typep to :: Topology.role() | {Topology.role(), pid()}

  defguardp is_role(role)
            when role == :coordinator or
                   (is_tuple(role) and tuple_size(role) == 2 and elem(role, 0) == :worker and
                      is_integer(elem(role, 1)) and elem(role, 1) > 0)

  defguardp is_to(to)
            when to == :all or is_role(to) or
                   (is_tuple(to) and tuple_size(to) == 2 and is_role(elem(to, 0)) and
                      is_pid(elem(to, 1)))

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
      known = Map.new(living)
      {:ok, for(role <- roles, do: {role, known[role]})}
    end
  end

  defp roles(living), do: Enum.map(living, &elem(&1, 0))

  @doc "From the calling process to all members but itself."
  @spec broadcast(Roster.table(), term()) :: :ok | {:error, Error.t()}
  def broadcast(table, message) do
    case Caller.role(table) do
      # From outside there is no way but to each.
      nil -> to_all(table, self(), message)
      role -> pass_on({__MODULE__, Roster.topology(table), role, :all, message}, role, table)
    end
  end

  @doc "From the calling process to one member."
  @spec send_to(Roster.table(), Topology.role() | pid(), term()) :: :ok | {:error, Error.t()}
  def send_to(table, who, message) do
    with {:ok, to, role, pid} <- living(table, who) do
      case Caller.role(table) do
        nil ->
          deliver(pid, self(), message)

        ^role ->
          deliver(pid, role, message)

        from ->
          hand({__MODULE__, Roster.topology(table), from, to, message}, from, role, pid, table)
      end
    end
  end

  @doc "What a member does that got a hop."
  @spec forward(Roster.table(), hop()) :: :ok | {:error, Error.t()}
  def forward(table, {__MODULE__, name, from, to, _message} = hop)
      when name in [:tree, :mesh, :ring] and is_role(from) and is_to(to) do
    case Caller.role(table) do
      nil ->
        no_member(table, self())

      at when to == :all ->
        pass_on(hop, at, table)

      at ->
        with {:ok, _to, role, pid} <- living(table, to), do: hand(hop, at, role, pid, table)
    end
  end

  def forward(_table, other) do
    raise ArgumentError,
          "expected what came with :ecosystem_forward in Processes.forward/2, " <>
            "got: #{Options.given(other)}"
  end

  # Who is to get it, its role and its pid.
  defp living(table, pid) when is_pid(pid) do
    case Roster.member_of(table, pid) do
      {number, ^pid, _, _, :up, _} ->
        role = Roster.role(number)
        {:ok, {role, pid}, role, pid}

      {_number, ^pid, _, _, :down, _} ->
        down(pid)

      nil ->
        no_member(table, pid)
    end
  end

  # Another has its role by now.
  defp living(table, {role, pid} = to) when is_pid(pid) do
    if up(table, role) == {:ok, pid}, do: {:ok, to, role, pid}, else: down(pid)
  end

  defp living(table, role) do
    case up(table, role) do
      {:ok, pid} -> {:ok, role, role, pid}
      :error -> with({:ok, role} <- role(table, role), do: down(role))
    end
  end

  defp down(who),
    do: {:error, Error.new(:no_route, "#{Options.given(who)} is down", %{to: who})}

  defp up(table, role), do: Roster.up(table, Roster.number(role))

  # What follows says of running members what `Router` says of a list of all: the way to one and to all is
  # found by those few of them that it depends on.

  # To one, whose pid is known, from member `at`: straight where they are next to each other.
  defp hand({_, name, from, _to, message} = hop, at, role, pid, table) do
    case between(name, table, at, role) do
      :nobody -> deliver(pid, from, message)
      {:ok, next} -> put_into(next, hop)
      :error -> Router.no_route(name, at, role)
    end
  end

  defp between(:mesh, _table, _at, _to), do: :nobody
  defp between(:tree, _table, at, to) when :coordinator in [at, to], do: :nobody
  defp between(:tree, table, _at, _to), do: up(table, :coordinator)

  defp between(:ring, table, at, to) do
    to = Roster.number(to)

    case Nearest.next(table, Roster.number(at)) do
      {^to, _pid} -> :nobody
      {_number, pid} -> {:ok, pid}
      nil -> :error
    end
  end

  # To all, from member `at`.
  defp pass_on({_, :mesh, from, :all, message}, from, table), do: to_all(table, from, message)
  defp pass_on({_, :mesh, _from, :all, _message}, _at, _table), do: :ok

  defp pass_on({_, :tree, from, :all, message}, :coordinator, table),
    do: to_all(table, from, message)

  # Only who has somebody to pass it on to is asked to.
  defp pass_on({_, :tree, from, :all, message} = hop, from, table) do
    with {:ok, pid} <- up(table, :coordinator) do
      deliver(pid, from, message)
      if another_worker?(table, Roster.number(from)), do: put_into(pid, hop)
    end

    :ok
  end

  defp pass_on({_, :tree, _from, :all, _message}, _leaf, _table), do: :ok

  defp pass_on({_, :ring, from, :all, message} = hop, at, table) do
    {origin, at} = {Roster.number(from), Roster.number(at)}

    with {next, pid} <- Nearest.next(table, at),
         false <- Ring.past?(origin, at, next) do
      deliver(pid, from, message)

      with {behind, _pid} <- Nearest.next(table, next),
           false <- Ring.past?(origin, next, behind),
           do: put_into(pid, hop)
    end

    :ok
  end

  # The coordinator is up: it is who comes next after the last worker.
  defp another_worker?(table, number) do
    case Nearest.next(table, 0) do
      {^number, _pid} -> not match?({0, _pid}, Nearest.next(table, number))
      {_another, _pid} -> true
      nil -> false
    end
  end

  # To all but the calling process and whoever it is from, which is looked up when the list is there: a new
  # life of it that is not in the list gets nothing either.
  defp to_all(table, from, message) do
    pids = Roster.pids(table)
    each(pids, self(), origin(table, from), {:ecosystem_message, from, message})
  end

  defp origin(_table, pid) when is_pid(pid), do: pid

  defp origin(table, role) do
    with {:ok, pid} <- up(table, role), do: pid
  end

  defp each([], _me, _origin, _message), do: :ok

  defp each([pid | rest], me, origin, message) do
    if pid != me and pid != origin, do: send(pid, message)
    each(rest, me, origin, message)
  end

  defp put_into(pid, hop) do
    send(pid, {:ecosystem_forward, hop})
    :ok
  end

  defp deliver(pid, from, message) do
    send(pid, {:ecosystem_message, from, message})
    :ok
  end
end
