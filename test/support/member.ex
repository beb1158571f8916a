defmodule Foundation.Member do
  @moduledoc """
  A member of an ecosystem that does in its `init` what its options say, and tells the test of it.

    * `test:` - the pid that gets `{:up, role, pid, opts}`, `{:changed, role, pid, coordinator}` and
      `{:terminated, role, pid, reason}`
    * `at:` - the roles, or `:all`, that the following are for
    * `init:` - `{:error, reason}`, `:ignore`, `:raise`, `:hang` (until killed), `:exit`, `:wait` (until
      it gets `:go`, after it has told `{:waits, role, pid}`), or a function that is called with its options
    * `trap:` - trap exits
    * `stuck:` - do not end when asked to
    * `armed:` - an `:atomics`: `init:` is done only while its first element is above 0, which goes
      down by one each time
  """

  use GenServer

  alias Foundation.BEAM.Processes

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  @doc "Has a member stop with that reason."
  def stop(pid, reason), do: GenServer.cast(pid, {:stop, reason})

  @doc "Keeps a member inside a callback until the process that called it sends it `:go`."
  def hold(pid) do
    GenServer.cast(pid, {:hold, self()})

    receive do
      {:held, ^pid} -> :ok
    end
  end

  @doc "Starts an ecosystem of these, whose members speak to the test; it ends with the test."
  def ecosystem!(opts \\ [], member \\ []) do
    {:ok, ecosystem} = ecosystem(opts, member)
    ExUnit.Callbacks.on_exit(fn -> Processes.shutdown_ecosystem(ecosystem, timeout: 1_000) end)
    # Before it monitors a member, the steward does not see why one ends.
    Foundation.Ecosystems.settle(ecosystem)
  end

  @doc "The same of one that heals itself, however often it is killed."
  def healing!(opts \\ [], member \\ []),
    do: ecosystem!([fault_tolerance: :self_healing, max_restarts: 1_000] ++ opts, member)

  @doc "As `ecosystem!/2`, with the result of `spawn_ecosystem/1`."
  def ecosystem(opts \\ [], member \\ []),
    do: opts |> config(member) |> Processes.spawn_ecosystem()

  @doc "The configuration of such an ecosystem; `count:` is that of the workers, 3 unless given."
  def config(opts \\ [], member \\ []) do
    {count, opts} = Keyword.pop(opts, :count, 3)
    member = Keyword.put_new(member, :test, self())

    defaults = %{
      coordinator: {__MODULE__, member},
      workers: {__MODULE__, [count: count] ++ member}
    }

    Map.merge(defaults, Map.new(opts))
  end

  @doc "Members that are alive, wherever they are from, in their `init` as well."
  def alive do
    for pid <- Process.list(),
        {:dictionary, dictionary} <- [Process.info(pid, :dictionary)],
        dictionary[:"$initial_call"] == {__MODULE__, :init, 1},
        do: pid
  end

  @impl true
  def init(opts) do
    if opts[:trap] || opts[:stuck], do: Process.flag(:trap_exit, true)
    if concerned?(opts) and armed?(opts[:armed]), do: act(opts[:init], opts), else: up(opts)
  end

  defp concerned?(opts), do: opts[:at] in [nil, :all] or opts[:role] in opts[:at]

  defp armed?(nil), do: true
  defp armed?(counter), do: :atomics.sub_get(counter, 1, 1) >= 0

  defp act(nil, opts), do: up(opts)
  defp act(:raise, _opts), do: raise("no")
  defp act(:exit, _opts), do: exit(:no)
  defp act(:ignore, _opts), do: :ignore
  defp act({:error, reason}, _opts), do: {:stop, reason}

  defp act(:hang, opts) do
    tell(opts, {:hangs, opts[:role], self()})
    hang()
  end

  defp act(:wait, opts) do
    tell(opts, {:waits, opts[:role], self()})

    receive do
      :go -> up(opts)
    end
  end

  defp act(fun, opts) when is_function(fun, 1) do
    fun.(opts)
    up(opts)
  end

  defp hang do
    receive do
      :never -> :ok
    end
  end

  defp up(opts) do
    tell(opts, {:up, opts[:role], self(), opts})
    {:ok, opts}
  end

  defp tell(opts, message), do: if(opts[:test], do: send(opts[:test], message))

  @impl true
  def handle_call(:opts, _from, opts), do: {:reply, opts, opts}

  @impl true
  def handle_cast({:stop, reason}, opts), do: {:stop, reason, opts}

  def handle_cast({:hold, from}, opts) do
    send(from, {:held, self()})

    receive do
      :go -> {:noreply, opts}
    end
  end

  @impl true
  def handle_info({:coordinator_changed, pid}, opts) do
    tell(opts, {:changed, opts[:role], self(), pid})
    {:noreply, Keyword.put(opts, :coordinator, pid)}
  end

  def handle_info(_other, opts), do: {:noreply, opts}

  @impl true
  def terminate(reason, opts) do
    tell(opts, {:terminated, opts[:role], self(), reason})
    if opts[:stuck], do: hang()
  end
end
