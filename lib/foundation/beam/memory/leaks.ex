defmodule Foundation.BEAM.Memory.Leaks do
  @moduledoc false

  # A search for processes that keep binaries alive which they do not use. It runs in a process of its
  # own: what it collects on the way is garbage at once with it, late answers find nobody, and it ends
  # with its caller.

  alias Foundation.BEAM.Memory.Leaks.Search
  alias Foundation.BEAM.Memory.Tether
  alias Foundation.Options

  @schema Options.schema!(
            limit: [
              type: :pos_integer,
              default: 10,
              doc: "Processes in the result."
            ],
            min_bytes: [
              type: :pos_integer,
              default: 1_000_000,
              doc:
                "Bytes that a process must keep, alone or with others, to be in the result. Processes " <>
                  "whose binaries are smaller together are not looked into."
            ],
            look: [
              type: :boolean,
              default: true,
              doc:
                "Whether to look inside idle `GenServer` and `:gen_statem` processes. Each does " <>
                  "nothing else meanwhile: about a millisecond for every two megabytes of its heap, " <>
                  "of which 64 MB are walked at most, and timeouts that its callbacks have returned and " <>
                  "`:hibernate_after` start anew."
            ],
            max_looks: [
              type: :non_neg_integer,
              default: 200,
              doc: "Processes that are looked into, those with most bytes of binaries first."
            ],
            collect: [
              type: :boolean,
              default: false,
              doc:
                "Whether to collect the processes that may have garbage, one at a time, and to " <>
                  "measure what that gives back."
            ],
            timeout: [
              type: :timeout,
              default: 10_000,
              doc: "Milliseconds after which the search ends with what it has found."
            ],
            pids: [
              type: {:custom, "a list of pids of this node", &__MODULE__.pids?/1},
              doc:
                "The processes to search, where not all. What others refer to as well counts as used."
            ]
          )

  @doc false
  def pids?(value) do
    is_list(value) and not List.improper?(value) and
      Enum.all?(value, &(is_pid(&1) and node(&1) == node()))
  end

  @doc "The options of a search."
  @spec schema() :: Options.schema()
  def schema, do: @schema

  @doc "Searches with these options, or with the defaults of those that are not given."
  @spec search(map()) :: map()
  def search(opts \\ %{}) do
    opts = Map.merge(@schema.defaults, opts)
    {caller, reference} = {self(), make_ref()}

    # A limit on every heap (`+hmax`) is not meant for it.
    {worker, monitor} =
      :erlang.spawn_opt(fn -> work(caller, reference, opts) end, [:monitor, max_heap_size: 0])

    receive do
      {^reference, result} ->
        Process.demonitor(monitor, [:flush])

        with {:raised, kind, reason, stacktrace} <- result,
             do: raise_again(kind, reason, stacktrace)

      {:DOWN, ^monitor, :process, ^worker, reason} ->
        exit({reason, {__MODULE__, :search, [opts]}})
    end
  end

  defp raise_again(kind, reason, stacktrace), do: :erlang.raise(kind, reason, stacktrace)

  defp work(caller, reference, opts) do
    Tether.to(caller)
    send(caller, {reference, Search.run(opts)})
  catch
    kind, reason -> send(caller, {reference, {:raised, kind, reason, __STACKTRACE__}})
  end
end
