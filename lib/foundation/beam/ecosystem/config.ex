defmodule Foundation.BEAM.Ecosystem.Config do
  @moduledoc false

  # From what the user gives to what the ecosystem is built by. Every fault is told at once: whoever
  # writes a configuration wants to correct it once.

  alias Foundation.{Error, Options}

  @most_ms 0xFFFFFFFF

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
                  "it is not given. Each worker gets the other options."
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
                  "coordinator, and of each supervisor of workers. Default: 3 for the coordinator, " <>
                  "for workers their count where that is more."
            ],
            max_seconds: [
              type: {:integer, 1, 86_400},
              default: 5,
              doc: "See `max_restarts`."
            ],
            start_timeout: [
              type: @timeout,
              default: 5_000,
              doc: "Milliseconds that each `start_link/1` may take, at restarts too."
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

  @keys @schema.order

  # What members are told on their own account.
  @reserved [:ecosystem_id, :role, :coordinator, :worker_id]

  # From here on, a second supervisor of workers saves more time than it costs.
  @one_part 256

  @enforce_keys [:id, :config, :coordinator, :worker, :count, :parts]
  defstruct [
    :id,
    :config,
    :coordinator,
    :worker,
    :count,
    :parts,
    :fault_tolerance,
    :supervision,
    :max_restarts,
    :max_seconds,
    :start_timeout,
    :startup_timeout,
    :shutdown_timeout,
    :monitor,
    :nested?
  ]

  @type t :: %__MODULE__{}

  @type fault :: %{key: atom(), message: String.t()}

  @spec docs() :: String.t()
  def docs, do: Options.docs(@schema)

  @doc "The plan, or an error whose `context.faults` has all that is wrong."
  @spec new(term()) :: {:ok, t()} | {:error, Error.t()}
  def new(config) when is_map(config) and not is_struct(config), do: check(config, config)

  def new(config) when is_list(config) do
    if Keyword.keyword?(config),
      do: check(Map.new(Enum.reverse(config)), config),
      else: refuse_all(config)
  end

  def new(config), do: refuse_all(config)

  @doc "The plan without what the user gave to members, which may be large."
  @spec without_data(t()) :: t()
  def without_data(plan), do: %{plan | config: nil, coordinator: nil, worker: nil}

  @doc "The id that a configuration gives, `nil` where it gives none."
  @spec id(map() | keyword()) :: term()
  def id(config), do: config[:id]

  defp refuse_all(config) do
    text = "expected a map or a keyword list, got: #{Options.given(config)}"
    {:error, error([%{key: :config, message: text}])}
  end

  defp check(given, config) do
    case Enum.flat_map(Map.to_list(given), &fault/1) ++ missing(given) ++ module_faults(given) do
      [] -> {:ok, plan(Map.merge(@schema.defaults, given), config)}
      faults -> {:error, error(Enum.sort(faults))}
    end
  end

  defp fault({key, value}) when key in @keys do
    Options.validate!([{key, value}], Map.put(@schema, :required, []), "the configuration")
    []
  rescue
    error in ArgumentError -> [%{key: key, message: later(key, value, error.message)}]
  end

  defp fault({key, _value}) do
    known = Enum.map_join(@keys, ", ", &inspect/1)
    [%{key: key, message: "unknown key #{Options.given(key)}; known: #{known}"}]
  end

  defp later(:distribution, :cluster_wide, message),
    do: message <> " (:cluster_wide is not available)"

  defp later(_key, _value, message), do: message

  defp missing(given) do
    for key <- @schema.required, not is_map_key(given, key) do
      text = "#{inspect(key)} is required: expected #{elem(@schema.specs[key][:type], 1)}"
      %{key: key, message: text}
    end
  end

  # Modules and options of members, where they have the right form.

  defp module_faults(given) do
    coordinator = for {:coordinator, value} <- given, coordinator?(value), do: member(value)
    workers = for {:workers, value} <- given, workers?(value), do: member(value)
    faults_of(:coordinator, coordinator) ++ faults_of(:workers, workers) ++ count_faults(workers)
  end

  defp faults_of(key, [{module, opts}]) do
    exports(key, module) ++
      for name <- @reserved, Keyword.has_key?(opts, name) do
        %{key: key, message: "option #{inspect(name)} of #{inspect(key)} is set by the ecosystem"}
      end
  end

  defp faults_of(_key, _malformed), do: []

  defp exports(key, module) do
    cond do
      not Code.ensure_loaded?(module) ->
        [%{key: key, message: "the module #{inspect(module)} of #{inspect(key)} does not exist"}]

      not function_exported?(module, :start_link, 1) ->
        text = "the module #{inspect(module)} of #{inspect(key)} does not export start_link/1"
        [%{key: key, message: text}]

      true ->
        []
    end
  end

  defp count_faults([{_module, opts}]) do
    case Keyword.get(opts, :count, 1) do
      count when count in [:cpu_count, :auto_scale] -> []
      count when is_integer(count) and count > 0 -> room(count)
      count -> [%{key: :workers, message: no_count(count)}]
    end
  end

  defp count_faults(_malformed), do: []

  defp no_count(count) do
    "invalid :count of :workers: expected an integer from 1, :cpu_count or :auto_scale, " <>
      "got: #{Options.given(count)}"
  end

  defp room(count) do
    {limit, used} = {:erlang.system_info(:process_limit), :erlang.system_info(:process_count)}

    if count + used < limit do
      []
    else
      text =
        "invalid :count of :workers: #{Options.given(count)} do not fit into the process limit of the VM, " <>
          "#{limit}, of which #{used} are in use; the VM's option +P raises it"

      [%{key: :workers, message: text}]
    end
  end

  # What is right

  defp plan(values, config) do
    {worker, opts} = member(values.workers)
    {count, opts} = Keyword.pop(opts, :count, 1)
    count = if is_atom(count), do: System.schedulers_online(), else: count

    %__MODULE__{
      id: values.id || unique_id(),
      config: config,
      coordinator: member(values.coordinator),
      worker: {worker, opts},
      count: count,
      parts: if(count < @one_part, do: 1, else: System.schedulers_online()),
      fault_tolerance: values.fault_tolerance,
      supervision: values.supervision,
      max_restarts: values.max_restarts,
      max_seconds: values.max_seconds,
      start_timeout: values.start_timeout,
      startup_timeout: values.startup_timeout,
      shutdown_timeout: values.shutdown_timeout,
      monitor: values.monitor,
      nested?: values.fault_tolerance == :self_healing and values.supervision != :one_for_one
    }
  end

  # One of its own also after the VM has been restarted, as logs are read.
  defp unique_id do
    "ecosystem_#{Integer.to_string(System.system_time(), 36)}_" <>
      Integer.to_string(:erlang.unique_integer([:positive]), 36)
  end

  defp member(module) when is_atom(module), do: {module, []}
  defp member({_module, _opts} = member), do: member

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

  defp error(faults) do
    text = "invalid ecosystem: " <> Enum.map_join(faults, "; ", & &1.message)
    Error.new(:validation_error, text, %{faults: faults})
  end
end
