defmodule Foundation.Peer do
  @moduledoc """
  Other nodes for tests: `:peer` nodes on this machine, with this project's code.

  What runs there has to be compiled code, so the few things that tests ask of them are here.
  """

  import ExUnit.Callbacks, only: [on_exit: 1]

  # An address, not a name: nothing has to resolve it, and nobody outside reaches it.
  @address "127.0.0.1"

  @doc "Makes this node one that others can connect to. Does nothing where it is one."
  def start_distribution! do
    unless Node.alive?() do
      # Starts in the background; where one runs already this one ends.
      {_, 0} = System.cmd("epmd", ["-daemon", "-address", @address])
      true = Foundation.Eventually.eventually?(fn -> match?({:ok, _}, names()) end)
      Application.put_env(:kernel, :inet_dist_use_interface, {127, 0, 0, 1})
      {:ok, _} = :net_kernel.start([:"foundation_#{System.pid()}@#{@address}", :longnames])
    end

    :ok
  end

  # Of those that `epmd` knows: it may not listen yet when the command ends.
  defp names, do: :erl_epmd.names({127, 0, 0, 1})

  # A node connects with this one only. Else `:global` connects each with all others, those of other
  # tests as well, and cuts off one that another has lost.
  @alone [~c"-connect_all", ~c"false"]

  # Milliseconds; the default of `:peer` is a quarter of it.
  @boot 60_000

  @doc """
  A connected node that ends with the test, with the application started and, where `flags` has some,
  these of the VM's own.
  """
  def start!(flags \\ []) do
    options = %{name: :peer.random_name(), host: to_charlist(@address), longnames: true}
    options = Map.merge(options, %{args: flags ++ @alone ++ paths(), wait_boot: @boot})
    {:ok, peer, node} = :peer.start(options)
    on_exit(fn -> stop(peer) end)
    {:ok, _} = :erpc.call(node, Application, :ensure_all_started, [:foundation])
    {peer, node}
  end

  @doc "A process on the node that sends what it gets to the caller: `{:arrived, message}`."
  def relay(node), do: Node.spawn_link(node, __MODULE__, :relay_loop, [self()])

  @doc "The same, but what it gets is opened there: `{:opened, result}`."
  def opener(node), do: Node.spawn_link(node, __MODULE__, :open_loop, [self()])

  @doc "A process on the node that reads nothing."
  def deaf(node), do: Node.spawn(node, __MODULE__, :deaf_loop, [])

  @doc "A process on the node that reads nothing before `{Foundation.Peer, :go}`, then is a relay."
  def slow(node), do: Node.spawn_link(node, __MODULE__, :slow_loop, [self()])

  @doc false
  def slow_loop(to) do
    receive do
      {__MODULE__, :go} -> relay_loop(to)
    end
  end

  @doc false
  def relay_loop(to) do
    receive do
      message -> send(to, {:arrived, message})
    end

    relay_loop(to)
  end

  @doc false
  def open_loop(to) do
    receive do
      message -> send(to, {:opened, Foundation.BEAM.Messages.open(message)})
    end

    open_loop(to)
  end

  @doc false
  def deaf_loop do
    receive do
      {__MODULE__, :never} -> :ok
    end
  end

  @doc "What a call gives or raises, and what it leaves with the process that makes it."
  def traces_of(module, function, args) do
    result =
      try do
        {:returned, apply(module, function, args)}
      rescue
        error -> {:raised, error}
      end

    {result, Process.info(self(), [:links, :monitors, :messages])}
  end

  defp paths, do: Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

  defp stop(peer) do
    :peer.stop(peer)
  catch
    :exit, _stopped_by_the_test -> :ok
  end
end
