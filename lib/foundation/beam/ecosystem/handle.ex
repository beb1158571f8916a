defmodule Foundation.BEAM.Ecosystem.Handle do
  @moduledoc false

  # From what a caller has of an ecosystem to its supervisor and its table. A struct names the very
  # ecosystem that it was made of; an id whoever has it now.
  #
  # An ecosystem is found from when its id is taken until it has ended, also while its members start: a member
  # asks for its own in its `init`, and who goes through a list wants to know of each what it does. So every
  # function answers then, of the members that there are: one that has not started is no member yet, and
  # a coordinator that there has never been is `:starting`, as the whole is (`Info`, `Health`). Only who wants to
  # add to what is not complete, or take from it, is refused.

  alias Foundation.BEAM.Ecosystem
  alias Foundation.BEAM.Ecosystem.{Caller, Roster}
  alias Foundation.{Error, Options}

  @type found :: {pid(), Roster.table()}

  @doc """
  Calls the function with supervisor and table, or gives the error: `:not_found` where the ecosystem
  has ended, before or meanwhile, `:foreign_node` where it is on another node.
  """
  @spec with_table(Ecosystem.ref(), String.t(), (pid(), Roster.table() -> result)) ::
          result | {:error, Error.t()}
        when result: term()
  def with_table(ref, where, fun) do
    with {:ok, {supervisor, table}} <- find(ref, where), do: guarded(ref, supervisor, table, fun)
  end

  defp guarded(ref, supervisor, table, fun) do
    fun.(supervisor, table)
  rescue
    error in ArgumentError ->
      if :ets.info(table, :owner) == supervisor,
        do: reraise(error, __STACKTRACE__),
        else: not_found(ref)
  end

  @spec find(Ecosystem.ref(), String.t()) :: {:ok, found()} | {:error, Error.t()}
  def find(%Ecosystem{supervisor: supervisor} = ecosystem, _where)
      when node(supervisor) != node(),
      do: foreign(ecosystem)

  def find(%Ecosystem{supervisor: supervisor, table: table} = ecosystem, _where) do
    # Anybody may put a struct together, of any process and a table that it has.
    if :ets.info(table, :owner) == supervisor and :ets.info(table, :name) == Roster,
      do: {:ok, {supervisor, table}},
      else: not_found(ecosystem)
  end

  def find(pid, _where) when is_pid(pid) and node(pid) != node(), do: foreign(pid)
  def find(pid, _where) when is_pid(pid), do: found(Roster.of(pid), pid)

  def find(id, _where) when (is_atom(id) and not is_nil(id)) or is_binary(id) or is_integer(id),
    do: found(with(:error <- Caller.find(id), do: Roster.whereis(id)), id)

  def find(other, where) do
    raise ArgumentError,
          "expected an ecosystem (a %Foundation.BEAM.Ecosystem{}, the pid of its supervisor, or its " <>
            "id) in #{where}, got: #{Options.given(other)}"
  end

  defp found({:ok, found}, _ref), do: {:ok, found}
  defp found(:error, ref), do: not_found(ref)

  defp not_found(ref) do
    text = "there is no ecosystem #{shown(ref)} on this node, or it has ended"
    {:error, Error.new(:not_found, text, %{ecosystem: name(ref)})}
  end

  defp foreign(ref) do
    node = node(if is_pid(ref), do: ref, else: ref.supervisor)
    text = "the ecosystem #{shown(ref)} is on the node #{node}"
    {:error, Error.new(:foreign_node, text, %{ecosystem: name(ref), node: node})}
  end

  defp shown(ref), do: Options.given(name(ref))

  defp name(%Ecosystem{id: id}), do: id
  defp name(ref), do: ref
end
