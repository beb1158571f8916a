defmodule Foundation.BEAM.Ecosystem do
  @moduledoc """
  An ecosystem as it was when somebody looked: what `Foundation.BEAM.Processes.spawn_ecosystem/1` and
  `Foundation.BEAM.Processes.current/1` return.

  A value, not the ecosystem itself: when members are restarted or workers are added, the struct stays
  as it is, and `current/1` gives a new one. Every function of `Foundation.BEAM.Processes` takes an old
  struct as well as a new one.

    * `:id` - the name, an atom, a string or an integer.
    * `:coordinator` - its pid, `nil` where it is dead, or has not started.
    * `:workers` - pids of living workers, in the order of their numbers.
    * `:monitors` - references of the monitors that the process has which called
      `spawn_ecosystem/1` with `monitor: true`: of the coordinator and of each worker, in this order.
    * `:topology` - how members speak with each other.
    * `:supervisor` - the process to stop, link to or monitor for the whole.
    * `:config` - as it was given.
    * `:started_at` - system time in milliseconds.
    * `:health_status` - the `:status` of `Foundation.BEAM.Processes.ecosystem_health/1`, by the same rule,
      which stands there, with one difference: for the struct no process is asked for its figures. Members
      that live count as `:alive`, and neither their queues nor the memory's pressure are looked at.
  """

  @enforce_keys [:id, :coordinator, :workers, :supervisor, :config, :started_at, :table]
  defstruct [
    :id,
    :coordinator,
    :supervisor,
    :config,
    :started_at,
    :table,
    workers: [],
    monitors: [],
    topology: :tree,
    health_status: :healthy
  ]

  @typedoc "What names an ecosystem."
  @type id :: atom() | String.t() | integer()

  @type t :: %__MODULE__{
          id: id(),
          coordinator: pid() | nil,
          workers: [pid()],
          monitors: [reference()],
          topology: :tree | :mesh | :ring,
          supervisor: pid(),
          config: map() | keyword(),
          started_at: integer(),
          health_status: :starting | :healthy | :degraded | :critical,
          table: :ets.tid() | atom()
        }

  @typedoc "What a function takes for an ecosystem: the struct, its supervisor, or its id."
  @type ref :: t() | pid() | id()
end
