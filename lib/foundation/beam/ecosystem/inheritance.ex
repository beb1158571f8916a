defmodule Foundation.BEAM.Ecosystem.Inheritance do
  @moduledoc false

  # Which table has which id, `{id, table, top supervisor, shutdown_timeout}`, from the start of an ecosystem
  # until all of it is gone, also where its top supervisor was killed: so one that starts anew under the same
  # id finds out about the one before, without a question to any process.
  #
  # A row outlives its table, which is gone where who had it was killed while there was no heir: then the
  # row is what is left to find the members by.
  #
  # Ecosystems are found here as well, see `Names`.
  #
  # The application owns the list. `Heir` is registered under this name.

  alias Foundation.BEAM.Ecosystem.{Config, Roster}

  @type id :: Foundation.BEAM.Ecosystem.id()
  @type row :: {id(), Roster.table(), pid(), pos_integer()}

  @doc "Makes the list, which belongs to the calling process."
  @spec new() :: :ok
  def new do
    :ets.new(__MODULE__, [:bag, :public, :named_table, write_concurrency: true])
    :ok
  end

  @doc "Leaves the table of the calling top supervisor to the heir."
  @spec bequeath(Roster.table(), Config.t()) :: true
  def bequeath(table, plan) do
    # First onto the list: an heir that is started just now asks for what it finds there.
    list(plan.id, table, self(), plan.shutdown_timeout)
    bequeath(table)
  end

  @spec bequeath(Roster.table()) :: true
  def bequeath(table) do
    if heir = Process.whereis(__MODULE__), do: :ets.setopts(table, {:heir, heir, nil}), else: true
  end

  @spec all() :: [row()]
  def all, do: :ets.tab2list(__MODULE__)

  @doc "Whether there is a list, and with it the application."
  @spec running?() :: boolean()
  def running?, do: :ets.whereis(__MODULE__) != :undefined

  @doc "The ecosystem that has that id and lives."
  @spec find(id()) :: {:ok, {pid(), Roster.table()}} | :error
  def find(id), do: first(fn -> :ets.lookup(__MODULE__, id) end)

  @doc "The one of that top supervisor."
  @spec of(pid()) :: {:ok, {pid(), Roster.table()}} | :error
  def of(top), do: first(fn -> :ets.match_object(__MODULE__, {:_, :_, top, :_}) end)

  defp first(listed) do
    case living(listed.()) do
      # Another that found the name free is about to end for this one.
      [{_id, table, top, _} | _] -> {:ok, {top, table}}
      [] -> :error
    end
  rescue
    # The application is not running.
    ArgumentError -> :error
  end

  @doc "All that live."
  @spec living() :: [row()]
  def living do
    living(all())
  rescue
    ArgumentError -> []
  end

  defp living(listed), do: Enum.filter(listed, fn {_, table, top, _} -> living?(table, top) end)

  defp living?(table, top), do: :ets.info(table, :owner) == top and Process.alive?(top)

  @doc "Puts a living one onto the list, if it is not there."
  @spec list(id(), Roster.table(), pid(), pos_integer()) :: true
  def list(id, table, top, timeout), do: :ets.insert(__MODULE__, {id, table, top, timeout})

  @doc "Takes the table off the list: nobody of that ecosystem is left."
  @spec forget(id(), Roster.table()) :: true
  def forget(id, table) do
    :ets.match_delete(__MODULE__, {id, table, :_, :_})
  rescue
    # The application has ended meanwhile.
    ArgumentError -> true
  end

  @doc "Whether somebody may be left of an ecosystem that had the id before that of the table, or it lives."
  @spec before(id(), Roster.table()) :: :nobody | :ending | {:living, pid()}
  def before(id, table) do
    case for({_, other, _, _} = row <- :ets.lookup(__MODULE__, id), other != table, do: row) do
      [] ->
        :nobody

      others ->
        case living(others) do
          [{_, _, top, _} | _] -> {:living, top}
          [] -> :ending
        end
    end
  rescue
    ArgumentError -> :nobody
  end

  @doc "Whether it is on the list still."
  @spec listed?(id(), Roster.table()) :: boolean()
  def listed?(id, table) do
    Enum.any?(:ets.lookup(__MODULE__, id), &(elem(&1, 1) == table))
  rescue
    ArgumentError -> false
  end

  @doc "Those that had the id and whose top supervisor has ended; none without the application."
  @spec ended(id()) :: [row()]
  def ended(id) do
    for {_, _table, top, _} = row <- :ets.lookup(__MODULE__, id), not Process.alive?(top), do: row
  rescue
    # There is no list: the start says so.
    ArgumentError -> []
  end

  @doc """
  Returns when nobody is left of that ecosystem, whose top supervisor ends or has ended; or when its table
  is lost.
  """
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
