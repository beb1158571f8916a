defmodule Foundation.Application do
  @moduledoc false

  use Application

  @impl true
  def start(_type, _args) do
    # Nothing works without the library: its absence is the reason that starting gives.
    with :ok <- Foundation.Native.Loader.ensure(Foundation.Native),
         :ok <- Foundation.BEAM.Messages.Policy.load!() do
      # Later, a busy scheduler could be in the way of asking.
      Foundation.BEAM.Memory.OS.carrier?()
      Foundation.BEAM.Ecosystem.Inheritance.new()
      Foundation.BEAM.Ecosystem.Heir.outlived()
      Supervisor.start_link(children(), strategy: :one_for_one, name: Foundation.Supervisor)
    end
  end

  # Ecosystems end in their own order, workers before the coordinator, which their supervisor does not
  # know: while all that they may need for it is still there.
  @impl true
  def prep_stop(state) do
    Foundation.BEAM.Ecosystem.Shutdown.all(Foundation.BEAM.Ecosystems)
    state
  end

  defp children do
    [
      # Telemetry: first, so that everything after it is heard.
      Foundation.Telemetry.Handlers,
      # Names: whom others look up, before all who have one.
      Foundation.ProcessRegistry,
      # Frees what expires: before whatever makes shared terms.
      Foundation.Janitor,
      # Messages: what waits for room in a receiver's queue.
      Foundation.BEAM.Messages.BufferSupervisor,
      # SharedStore: who computes what, and what stores have lost.
      Foundation.BEAM.SharedStore.Coordinator.partitions(),
      Foundation.BEAM.SharedStore.Reporter,
      # Memory: makes new atoms, one after the other.
      Foundation.BEAM.Memory.Atoms,
      # Schedulers: who waits for a cancellation, and whose turn it is.
      Foundation.BEAM.Schedulers.Cancel.registry(),
      Foundation.BEAM.Schedulers.Slots,
      # Ecosystems: whom they leave their tables to, and those that are in nobody else's tree.
      Foundation.BEAM.Ecosystem.Heir,
      {DynamicSupervisor, name: Foundation.BEAM.Ecosystems, strategy: :one_for_one}
      # Memory: watches the limits, where the configuration asks for it.
    ] ++ Foundation.BEAM.Memory.Monitor.configured()
  end
end
