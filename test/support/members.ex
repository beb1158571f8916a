defmodule Foundation.Members do
  @moduledoc "Processes of every kind that an ecosystem may have as its members."

  defmodule Server do
    @moduledoc "A `GenServer` that keeps what it was started with, and does what it is sent."
    use GenServer

    def start_link(arg), do: GenServer.start_link(__MODULE__, arg)
    def start_link(arg, opts), do: GenServer.start_link(__MODULE__, arg, opts)

    @impl true
    def init(arg), do: {:ok, arg}

    @impl true
    def handle_call(:state, _from, state), do: {:reply, state, state}

    @impl true
    def handle_cast({:run, fun}, state) do
      fun.()
      {:noreply, state}
    end

    # What `Foundation.BEAM.Ecosystem.Snapshots` asks for.
    def snapshot(state), do: answer(state[:snapshot], state)
    def restore(state, snapshot), do: answer(state[:restore], {state, snapshot})

    defp answer(fun, argument) when is_function(fun, 1), do: fun.(argument)
    defp answer(_none, {state, snapshot}), do: Keyword.put(state, :kept, snapshot)
    defp answer(_none, state), do: state[:kept]
  end

  @doc "A `Server` inside a callback, and the function that lets it go on."
  def busy do
    caller = self()
    {:ok, pid} = Server.start_link([])

    wait = fn ->
      send(caller, {:busy, self()})
      receive do: (:go_on -> :ok)
    end

    GenServer.cast(pid, {:run, wait})
    receive do: ({:busy, ^pid} -> :ok)
    {pid, fn -> send(pid, :go_on) end}
  end

  defmodule Machine do
    @moduledoc "A `:gen_statem`; its state and its data count together."
    @behaviour :gen_statem

    def start_link(arg), do: :gen_statem.start_link(__MODULE__, arg, [])

    @impl true
    def callback_mode, do: :handle_event_function
    @impl true
    def init(arg), do: {:ok, :on, arg}

    @impl true
    def handle_event({:call, from}, :state, state, data),
      do: {:keep_state_and_data, {:reply, from, {state, data}}}

    def snapshot({state, data}), do: {state, data[:kept]}
    def restore({_state, data}, {state, kept}), do: {state, Keyword.put(data, :kept, kept)}
  end

  defmodule Unnamed do
    @moduledoc "A `GenServer` whose module names no behaviour."
    def start_link(arg), do: GenServer.start_link(__MODULE__, arg)
    def init(arg), do: {:ok, arg}
    def handle_call(:state, _from, state), do: {:reply, state, state}
  end

  defmodule Kept do
    @moduledoc "An `Agent`, which hides that it is a `GenServer`."
    def start_link(arg), do: Agent.start_link(fn -> arg end)
  end

  defmodule Handlers do
    @moduledoc "A `:gen_event`, whose system messages are of another kind."
    def start_link(_arg), do: :gen_event.start_link()
  end

  defmodule Plain do
    @moduledoc "A process of nobody's, which passes on every message that it gets."
    def start_link(arg) do
      test = Keyword.get(arg, :test, self())
      {:ok, spawn_link(fn -> loop(test) end)}
    end

    defp loop(test) do
      receive do: (message -> send(test, {:got, self(), message}))
      loop(test)
    end
  end

  defmodule Tasked do
    @moduledoc "A `Task`, which is started by `:proc_lib` as well."
    def start_link(arg) do
      test = Keyword.get(arg, :test, self())

      Task.start_link(fn ->
        receive do: (message -> send(test, {:got, self(), message}))
      end)
    end
  end
end
