defmodule Foundation.BEAM.Ecosystem.Inheritance do
  @moduledoc false

  # Which table has which id, `{id, table, top supervisor}`, from the start of an ecosystem until all of
  # it is gone, also where its top supervisor was killed: so one that starts anew under the same id finds
  # out about the one before, without a question to any process.
  #
  # The application owns the list. `Heir` is registered under this name.

  alias Foundation.BEAM.Ecosystem.Roster

  @type id :: Foundation.BEAM.Ecosystem.id()

  @doc "Makes the list, which belongs to the calling process."
  @spec new() :: :ok
  def new do
    :ets.new(__MODULE__, [:bag, :public, :named_table, write_concurrency: true])
    :ok
  end

  @doc "Leaves the table of the calling top supervisor to the heir."
  @spec bequeath(Roster.table(), id()) :: true
  def bequeath(table, id) do
    # First onto the list: an heir that is started just now asks for what it finds there.
    :ets.insert(__MODULE__, {id, table, self()})
    bequeath(table)
  end

  @spec bequeath(Roster.table()) :: true
  def bequeath(table) do
    if heir = Process.whereis(__MODULE__), do: :ets.setopts(table, {:heir, heir, nil}), else: true
  end

  @spec all() :: [{id(), Roster.table(), pid()}]
  def all, do: :ets.tab2list(__MODULE__)

  @doc "Takes the table off the list: nobody of that ecosystem is left."
  @spec forget(id(), Roster.table()) :: true
  def forget(id, table) do
    :ets.match_delete(__MODULE__, {id, table, :_})
  rescue
    # The application has ended meanwhile.
    ArgumentError -> true
  end

  @doc "Whether somebody may be left of an ecosystem that had the id before that of the table."
  @spec anybody_before?(id(), Roster.table()) :: boolean()
  def anybody_before?(id, table),
    do: Enum.any?(:ets.lookup(__MODULE__, id), &(elem(&1, 1) != table))

  @doc "Returns when nobody is left of ecosystems that had the id and whose top supervisor has ended."
  @spec await(id()) :: :ok
  def await(id) do
    for {_, table, top} <- :ets.lookup(__MODULE__, id), not Process.alive?(top) do
      gone(table)
      # Where there was no heir, nobody else has.
      forget(id, table)
    end

    :ok
  rescue
    # Without the application there is no list: the start says so.
    ArgumentError -> :ok
  end

  @doc "Returns when nobody is left of that ecosystem, whose top supervisor ends or has ended."
  @spec gone(Roster.table()) :: :ok
  def gone(table) do
    heir = Process.whereis(__MODULE__)

    case :ets.info(table, :owner) do
      :undefined ->
        :ok

      # It is with the heir for no longer than it takes to hand it on.
      ^heir ->
        handed_on(heir)
        gone(table)

      owner ->
        monitor = Process.monitor(owner)
        receive do: ({:DOWN, ^monitor, :process, ^owner, _reason} -> gone(table))
    end
  end

  defp handed_on(heir) do
    GenServer.call(heir, :handed_on, :infinity)
  catch
    :exit, _it_has_ended -> :ok
  end
end
