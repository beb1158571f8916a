defmodule Foundation.BEAM.Ecosystem.Roster do
  @moduledoc false

  # What everybody knows of an ecosystem: an ETS table that its top supervisor owns. Members' rows are
  # written by the supervisors that start them and by the steward; readers ask no process.
  #
  #     {number, pid, begun, restarts, status, module}     0 is the coordinator, workers count from 1
  #     {{:supervisor, part}, pid}                         of the coordinator (0), of each part of the workers
  #     {:starting, pid}                                   of members, when it began to start
  #     {:steward, pid}
  #     {:state, :starting | :ready | :ending | :ended}
  #     {:next, number}                                    of the worker that was added last
  #     {{:own, number}, [module, options, spawn_opt?]}    of a worker that was added with its own
  #     {{:adding, number}, supervisor, begun, fault}      of a worker that is being added, see `Additions`
  #     {{:left, pid}, number}                             of one that was removed
  #     {:about, id, supervisor, started_at, config}
  #     {:plan, plan}                                      without what members are given
  #     {:fault, number, reason}                           what the start was given up for
  #     {{:failure, slot}, number, failure}                see `Failures`
  #     {:failed_at, milliseconds}                         of the newest, in monotonic time
  #     {:topology, name, change, told}                    see `Arrangement`, `Changes`
  #     {:token, token, from, ring}                        see `RingToken`
  #     {{:subscriber, pid}}                               who is told of changes, see `Changes`
  #     {:subscriptions, count}                            how often somebody has asked for it
  #     {{:snapshot, number}, at, bytes, snapshot}         see `Snapshots`
  #     {{:trial, number}, restores, failed}               see `Snapshots.Trial`
  #     {:ticker, pid or nil}, {:sample, figures}          see `Ticker`; nil while one is being started
  #     {:changes, count}, {:pids, count, pids}            see `pids/1`
  #     {:pressure, level}, {:reader, pid}                 of the memory, when it was read last; who reads
  #     {:store, store}                                    of `memory_strategy: :shared_heap`
  #     {{:without_flags, module}, true}                   see `Strategies`
  #     {{:unlinked, module}, true}                        see `Revival`
  #
  # `begun` is when its start began, in monotonic time and native units; `status` is `:up`, or `:down` from
  # when the steward hears of a member's end until the member is back.
  #
  # Rows are small on purpose: there is one for each of perhaps a hundred thousand workers.

  alias Foundation.BEAM.Ecosystem.{Config, Names}
  alias Foundation.BEAM.{SharedStore, Topology}

  @type table :: :ets.tid() | atom()

  @type row ::
          {non_neg_integer(), pid(), integer(), non_neg_integer(), :up | :down, module()}

  # Of rows whose key is a number.
  @members [{{:"$1", :_, :_, :_, :_, :_}, [{:is_integer, :"$1"}], [:"$_"]}]
  @workers [{{:"$1", :_, :_, :_, :_, :_}, [{:>, :"$1", 0}, {:is_integer, :"$1"}], [:"$_"]}]
  @living [{{:"$1", :"$2", :_, :_, :up, :_}, [{:is_integer, :"$1"}], [{{:"$1", :"$2"}}]}]
  @pids [{{:"$1", :"$2", :_, :_, :up, :_}, [{:is_integer, :"$1"}], [:"$2"]}]
  @numbers [{{:"$1", :_, :_, :_, :_, :_}, [{:>, :"$1", 0}, {:is_integer, :"$1"}], [:"$1"]}]

  @doc "The table of a new ecosystem, which belongs to the calling process, its top supervisor."
  @spec new(Config.t()) :: table()
  def new(plan) do
    table = :ets.new(__MODULE__, [:set, :public])
    about = {:about, plan.id, self(), System.system_time(:millisecond), plan.config}

    rows = [
      {{:supervisor, 0}, self()},
      {:plan, Config.without_data(plan)},
      {:state, :starting},
      {:topology, plan.topology, 0, 0},
      {:next, plan.count}
    ]

    :ets.insert(table, [about | store(plan) ++ rows])
    table
  end

  # It ends with the calling process, and with the table.
  defp store(%{shared?: false}), do: []
  defp store(_plan), do: [{:store, SharedStore.new(owner: self())}]

  @doc "Writes down that a member has started: for the first time, or anew, after that pid."
  @spec started(table(), non_neg_integer(), pid(), module(), integer()) ::
          :first | {:again, pid()} | :removed
  def started(table, number, pid, module, begun) do
    if :ets.insert_new(table, {number, pid, begun, 0, :up, module}),
      do: :first,
      else: again(table, number, pid, module, begun)
  end

  @doc "The same of one that is to be there already: `:removed` where somebody has removed it meanwhile."
  @spec again(table(), non_neg_integer(), pid(), module(), integer()) ::
          {:again, pid()} | :removed
  def again(table, number, pid, module, begun) do
    with [{_, old, _, restarts, _, _}] <- :ets.lookup(table, number),
         row = {number, {:const, pid}, begun, restarts + 1, :up, {:const, module}},
         1 <- :ets.select_replace(table, [{{number, old, :_, :_, :_, :_}, [], [{row}]}]) do
      changed(table)
      {:again, old}
    else
      _removed -> :removed
    end
  end

  @doc "The same of a worker that is added with its own module and options, which come with its row."
  @spec added(table(), pos_integer(), pid(), module(), integer(), [term()]) :: :first | :removed
  def added(table, number, pid, module, begun, own) do
    rows = [{number, pid, begun, 0, :up, module}, {{:own, number}, own}]
    if :ets.insert_new(table, rows), do: :first, else: :removed
  end

  @doc "Marks a member as down; `false` where the row is of another process by now, or gone."
  @spec down(table(), non_neg_integer(), pid()) :: boolean()
  def down(table, number, pid) do
    row = {number, pid, :"$1", :"$2", :_, :"$3"}
    down = {{number, {:const, pid}, :"$1", :"$2", :down, :"$3"}}
    marked? = :ets.select_replace(table, [{row, [], [down]}]) == 1
    if marked?, do: changed(table)
    marked?
  end

  @spec member(table(), non_neg_integer()) :: row() | nil
  def member(table, number), do: table |> :ets.lookup(number) |> List.first()

  @doc "Every member, the coordinator first, workers by their numbers."
  @spec members(table()) :: [row()]
  def members(table), do: table |> :ets.select(@members) |> :lists.sort()

  @spec workers(table()) :: [row()]
  def workers(table), do: table |> :ets.select(@workers) |> :lists.sort()

  @doc "Roles and pids of members that are up, as far as is known, in the order of topologies."
  @spec living(table()) :: [{Topology.role(), pid()}]
  def living(table) do
    for {number, pid} <- table |> :ets.select(@living) |> :lists.sort(), do: {role(number), pid}
  end

  @doc """
  The pids of all that are up, in no order.

  They are kept as a list for as long as nobody comes or goes: whoever changes rows counts that, `changed/1`,
  when it has. While members are started nobody counts, and nothing is kept.
  """
  @spec pids(table()) :: [pid()]
  def pids(table) do
    {count, state} = {get(table, :changes), get(table, :state)}

    case :ets.lookup(table, :pids) do
      [{:pids, ^count, pids}] ->
        pids

      _none_or_old ->
        pids = :ets.select(table, @pids)
        if state == :ready, do: :ets.insert(table, {:pids, count, pids})
        pids
    end
  end

  @doc "Says that a member has come or gone; the row says so already."
  @spec changed(table()) :: integer()
  def changed(table), do: :ets.update_counter(table, :changes, 1, {:changes, 0})

  @doc "Role and pid of that role's member, if it is up."
  @spec up(table(), non_neg_integer()) :: {:ok, pid()} | :error
  def up(table, number) do
    case :ets.lookup(table, number) do
      [{_number, pid, _begun, _restarts, :up, _module}] -> {:ok, pid}
      _not_up -> :error
    end
  end

  @doc "The numbers of the workers, in no order."
  @spec numbers(table()) :: [pos_integer()]
  def numbers(table), do: :ets.select(table, @numbers)

  @doc "The member of that pid, the coordinator or a worker; it looks at all of them."
  @spec member_of(table(), pid()) :: row() | nil
  def member_of(table, pid) do
    row = {:"$1", pid, :_, :_, :_, :_}
    table |> :ets.select([{row, [{:is_integer, :"$1"}], [:"$_"]}]) |> List.first()
  end

  @spec place(table(), pid()) :: non_neg_integer() | nil
  def place(table, pid), do: with({number, _, _, _, _, _} <- member_of(table, pid), do: number)

  @doc "The number of the next worker."
  @spec next(table()) :: pos_integer()
  def next(table), do: :ets.update_counter(table, :next, 1)

  @doc "The number of a worker, alive or dead, by its pid; it looks at all members."
  @spec worker(table(), pid()) :: pos_integer() | nil
  def worker(table, pid), do: with(0 <- place(table, pid), do: nil)

  @doc "Forgets a worker, so that its end is no failure; `false` where another process has its number."
  @spec forget(table(), pos_integer(), pid()) :: boolean()
  def forget(table, number, pid) do
    forgotten? = :ets.select_delete(table, [{{number, pid, :_, :_, :_, :_}, [], [true]}]) == 1
    if forgotten?, do: changed(table)
    forgotten?
  end

  @doc "Module and options of a worker that has its own, otherwise nothing."
  @spec own(table(), pos_integer()) :: [term()]
  def own(table, number), do: get(table, {:own, number}) || []

  @spec put(table(), term(), term()) :: true
  def put(table, key, value), do: :ets.insert(table, {key, value})

  @spec get(table(), term()) :: term()
  def get(table, key) do
    case :ets.lookup(table, key) do
      [{_key, value}] -> value
      [] -> nil
    end
  end

  @spec fault(table(), non_neg_integer(), term()) :: boolean()
  def fault(table, number, reason), do: :ets.insert_new(table, {:fault, number, reason})

  @doc "The coordinator as it is known now, whether it lives or not."
  @spec coordinator(table()) :: pid()
  def coordinator(table), do: :ets.lookup_element(table, 0, 2)

  @spec about(table()) :: {Foundation.BEAM.Ecosystem.id(), pid(), integer(), map() | keyword()}
  def about(table) do
    [{:about, id, supervisor, started_at, config}] = :ets.lookup(table, :about)
    {id, supervisor, started_at, config}
  end

  @spec id(table()) :: Foundation.BEAM.Ecosystem.id()
  def id(table), do: :ets.lookup_element(table, :about, 2)

  @spec supervisor(table()) :: pid()
  def supervisor(table), do: :ets.lookup_element(table, :about, 3)

  @spec started_at(table()) :: integer()
  def started_at(table), do: :ets.lookup_element(table, :about, 4)

  @spec plan(table()) :: Config.t()
  def plan(table), do: :ets.lookup_element(table, :plan, 2)

  @spec part(pos_integer(), pos_integer()) :: pos_integer()
  def part(number, parts), do: rem(number - 1, parts) + 1

  @spec role(non_neg_integer()) :: :coordinator | {:worker, pos_integer()}
  def role(0), do: :coordinator
  def role(number), do: {:worker, number}

  @doc "The number of a role, `nil` for anything else."
  @spec number(term()) :: non_neg_integer() | nil
  def number(:coordinator), do: 0
  def number({:worker, number}) when is_integer(number) and number > 0, do: number
  def number(_other), do: nil

  @spec topology(table()) :: Topology.name()
  def topology(table), do: :ets.lookup_element(table, :topology, 2)

  # Finding

  defdelegate whereis(id), to: Names
  defdelegate of(supervisor), to: Names
end
