defmodule Foundation.BEAM.Ecosystem.Schema do
  @moduledoc false

  # What a configuration may hold: data that checks it and writes its documentation.

  alias Foundation.BEAM.Ecosystem.Strategies
  alias Foundation.BEAM.Topology.Router
  alias Foundation.Options

  @most_ms 0xFFFFFFFF
  @most_bytes 0xFFFFFFFFFF

  @timeout {:custom, "a number of milliseconds from 1 to #{@most_ms}",
            &__MODULE__.milliseconds?/1}

  @schema Options.schema!(
            coordinator: [
              type: {:custom, "a module, or `{module, options}`", &__MODULE__.coordinator?/1},
              required: true,
              doc:
                "What coordinates: a module that exports `start_link/1`, alone or with options for it."
            ],
            workers: [
              type: {:custom, "`{module, options}`", &__MODULE__.workers?/1},
              required: true,
              doc:
                "What works. `count:` among the options is how many there are: an integer from 1, " <>
                  "`:cpu_count` or `:auto_scale` (both: as many as schedulers are online), 1 where " <>
                  "it is not given. `spawn_opt: true` says that the module exports `start_link/2`, see " <>
                  "\"Strategies\". Each worker gets the other options."
            ],
            id: [
              type:
                {:custom, "an atom (none such as `:_` or `:\"$1\"`), a string or an integer",
                 &__MODULE__.id?/1},
              doc: "The name of the ecosystem, one of its own on the node. Default: one is made."
            ],
            fault_tolerance: [
              type: {:in, [:standard, :self_healing]},
              default: :standard,
              doc:
                "Whether members that die stay dead (`:standard`) or come back (`:self_healing`)."
            ],
            supervision: [
              type: {:in, [:one_for_one, :one_for_all, :rest_for_one]},
              default: :one_for_one,
              doc:
                "Who is restarted when a member dies, of a `:self_healing` ecosystem: that member; " <>
                  "all members; or that member, and all workers when it is the coordinator."
            ],
            max_restarts: [
              type: {:integer, 0, 1_000_000},
              doc:
                "Restarts within `max_seconds` after one more of which the ecosystem ends: of the " <>
                  "coordinator, and of all workers of one supervisor together. Default: 3 for the " <>
                  "coordinator and for each single worker, and for all workers of one supervisor " <>
                  "together as many as it has, 3 at least. With `supervision: :one_for_all` it is of " <>
                  "all members together, 3 by default."
            ],
            max_seconds: [
              type: {:integer, 1, 86_400},
              default: 5,
              doc: "See `max_restarts`."
            ],
            max_queue_size: [
              type: :pos_integer,
              default: 1_000,
              doc:
                "Messages that wait in the queue of one member from which on `ecosystem_health/1` says " <>
                  "`:degraded`."
            ],
            start_timeout: [
              type: @timeout,
              default: 5_000,
              doc:
                "Milliseconds that each `start_link/1` may take, at restarts too. Four times in that time " <>
                  "it is looked whether one takes longer."
            ],
            startup_timeout: [
              type: @timeout,
              default: 60_000,
              doc: "Milliseconds that the start of all members may take."
            ],
            shutdown_timeout: [
              type: @timeout,
              default: 5_000,
              doc: "Milliseconds from `:shutdown` until a member is killed."
            ],
            memory_strategy: [
              type: {:in, Strategies.memory()},
              default: :default,
              doc: "The spawn options of members, see \"Strategies\"."
            ],
            gc_strategy: [
              type: {:in, Strategies.gc()},
              doc:
                "What it says of collections counts, whatever `memory_strategy` says. Default: what that says."
            ],
            topology: [
              type: {:in, Router.names()},
              default: :tree,
              doc:
                "Who is next to whom, see `Foundation.BEAM.Topology`; `set_topology/2` changes it."
            ],
            snapshot_interval: [
              type: @timeout,
              default: 1_000,
              doc:
                "Milliseconds from one round of snapshots to the next, see \"Snapshots\". To be asked " <>
                  "starts a member's own timeout and `hibernate_after` anew: once after it has done something."
            ],
            max_snapshot_bytes: [
              type: {:integer, 1, @most_bytes},
              default: 1_048_576,
              doc:
                "What one snapshot may take, large binaries included; the one before a larger one stays."
            ],
            sample_interval: [
              type: @timeout,
              doc:
                "Milliseconds from one count of members' messages and collections to the next, for the " <>
                  "events `:message_processed` and `:gc_completed` of `Foundation.Telemetry`, and from one " <>
                  "look at the memory to the next, for `:memory_pressure`. It makes members count their " <>
                  "messages (`:sys.statistics/2`), and starts their own timeouts and `hibernate_after` anew at " <>
                  "each sample: those that are longer never come. Default: nothing is counted."
            ],
            distribution: [
              type: {:in, [:local]},
              default: :local,
              doc: "Where members run: on this node. `:cluster_wide` is not available."
            ],
            monitor: [
              type: :boolean,
              default: false,
              doc:
                "Whether the process that calls `spawn_ecosystem/1` monitors the members that the " <>
                  "ecosystem starts with; see `:monitors` of `Foundation.BEAM.Ecosystem`."
            ]
          )

  @spec schema() :: Options.schema()
  def schema, do: @schema

  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc false
  def coordinator?(module) when is_atom(module), do: module not in [nil, true, false]
  def coordinator?(member), do: workers?(member)

  @doc false
  def workers?({module, opts}) when is_atom(module),
    do: module not in [nil, true, false] and Keyword.keyword?(opts)

  def workers?(_other), do: false

  @doc false
  def id?(id) when is_atom(id),
    do: id not in [nil, :_] and not match?("$" <> _, Atom.to_string(id))

  def id?(id), do: is_binary(id) or is_integer(id)

  @doc false
  def milliseconds?(ms), do: is_integer(ms) and ms in 1..@most_ms
end
