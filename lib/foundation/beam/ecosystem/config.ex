defmodule Foundation.BEAM.Ecosystem.Config do
  @moduledoc false

  # From what the user gives to what the ecosystem is built by. Every fault is told at once: whoever
  # writes a configuration wants to correct it once.

  alias Foundation.BEAM.Ecosystem.{Schema, Snapshots, Strategies}
  alias Foundation.{Error, Options}

  @schema Schema.schema()
  @keys @schema.order

  # What members are told on their own account.
  @reserved [:ecosystem_id, :role, :coordinator, :worker_id, :shared_store]

  # So many workers at least are worth a supervisor of workers, beside which another scheduler starts
  # those of the next one.
  @part 16

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
    :max_queue_size,
    :start_timeout,
    :startup_timeout,
    :shutdown_timeout,
    :monitor,
    :nested?,
    # Whether it ends with who starts it.
    :linked?,
    :topology,
    :shared?,
    # Of coordinator and workers: spawn options, and whether `start_link/2` takes them.
    :flags,
    :spawn_opt,
    :snapshots?,
    :snapshot_interval,
    :max_snapshot_bytes,
    :sample_interval
  ]

  @type t :: %__MODULE__{}

  @type fault :: %{key: atom(), message: String.t()}

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

  @doc "What is wrong with options that the ecosystem gives members itself; `whose` is in the text."
  @spec reserved(keyword(), (() -> String.t())) :: [String.t()]
  def reserved(opts, whose) do
    for name <- @reserved, Keyword.has_key?(opts, name) do
      "option #{inspect(name)} of #{whose.()} is set by the ecosystem"
    end
  end

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
    coordinator =
      for {:coordinator, value} <- given, Schema.coordinator?(value), do: member(value)

    workers = for {:workers, value} <- given, Schema.workers?(value), do: member(value)
    faults_of(:coordinator, coordinator) ++ faults_of(:workers, workers) ++ count_faults(workers)
  end

  defp faults_of(key, [{module, opts}]) do
    exports(key, module) ++
      spawn_opt_faults(key, module, opts[:spawn_opt]) ++
      for(message <- reserved(opts, fn -> inspect(key) end), do: %{key: key, message: message})
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

  defp spawn_opt_faults(_key, _module, given) when given in [nil, false], do: []

  defp spawn_opt_faults(key, module, true) do
    if function_exported?(module, :start_link, 2) do
      []
    else
      text = "the module #{inspect(module)} of #{inspect(key)} does not export start_link/2"
      [%{key: key, message: text <> ", which :spawn_opt asks for"}]
    end
  end

  defp spawn_opt_faults(key, _module, given) do
    text = "invalid :spawn_opt of #{inspect(key)}: expected true or false"
    [%{key: key, message: "#{text}, got: #{Options.given(given)}"}]
  end

  defp count_faults([{_module, opts}]) do
    case Keyword.get(opts, :count, 1) do
      count when count in [:cpu_count, :auto_scale] -> room(System.schedulers_online())
      count when is_integer(count) and count > 0 -> room(count)
      count -> [%{key: :workers, message: no_count(count)}]
    end
  end

  defp count_faults(_malformed), do: []

  defp no_count(count) do
    "invalid :count of :workers: expected an integer from 1, :cpu_count or :auto_scale, " <>
      "got: #{Options.given(count)}"
  end

  # Beside the workers: their supervisors, each with a process that fills it, the coordinator, the top
  # supervisor, that of the members, the steward, the ticker, and one that ends them all.
  @others 6

  defp room(count) do
    {limit, used} = {:erlang.system_info(:process_limit), :erlang.system_info(:process_count)}

    if count + 2 * parts(count) + @others + used <= limit do
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
    {worker_given?, opts} = Keyword.pop(opts, :spawn_opt, false)
    {coordinator, coordinator_opts} = member(values.coordinator)
    {given?, coordinator_opts} = Keyword.pop(coordinator_opts, :spawn_opt, false)
    healing? = values.fault_tolerance == :self_healing

    %__MODULE__{
      id: values.id || unique_id(),
      config: config,
      coordinator: {coordinator, coordinator_opts},
      worker: {worker, opts},
      count: count,
      parts: parts(count),
      fault_tolerance: values.fault_tolerance,
      supervision: values.supervision,
      max_restarts: values.max_restarts,
      max_seconds: values.max_seconds,
      max_queue_size: values.max_queue_size,
      start_timeout: values.start_timeout,
      startup_timeout: values.startup_timeout,
      shutdown_timeout: values.shutdown_timeout,
      monitor: values.monitor,
      nested?: healing? and values.supervision != :one_for_one,
      linked?: false,
      topology: values.topology,
      shared?: values.memory_strategy == :shared_heap,
      flags: {flags(values, :coordinator), flags(values, :worker)},
      spawn_opt: {given? == true, worker_given? == true},
      # Who stays dead needs none.
      snapshots?: healing? and (Snapshots.able?(coordinator) or Snapshots.able?(worker)),
      snapshot_interval: values.snapshot_interval,
      max_snapshot_bytes: values.max_snapshot_bytes,
      sample_interval: values.sample_interval
    }
  end

  defp parts(count), do: count |> div(@part) |> min(System.schedulers_online()) |> max(1)

  defp flags(values, kind), do: Strategies.flags(values.memory_strategy, values.gc_strategy, kind)

  # One of its own also after the VM has been restarted, as logs are read.
  defp unique_id do
    "ecosystem_#{Integer.to_string(System.system_time(), 36)}_" <>
      Integer.to_string(:erlang.unique_integer([:positive]), 36)
  end

  defp member(module) when is_atom(module), do: {module, []}
  defp member({_module, _opts} = member), do: member

  defp error(faults) do
    text = "invalid ecosystem: " <> Enum.map_join(faults, "; ", & &1.message)
    Error.new(:validation_error, text, %{faults: faults})
  end
end
