defmodule Foundation.ProcessRegistry do
  @moduledoc """
  Finds processes of this node by name, each name within a namespace, with metadata beside the pid.

  It is Elixir's `Registry` with unique keys: a name belongs to one process, is free again when that
  process ends, and is looked up in an ETS table, so no process stands in the way of readers.
  Ecosystems are found here, as `{:ecosystem_supervisor, id}` in the namespace `:production`.

  A namespace is any term: `:production` for what an application really runs, one of its own
  (`{:test, make_ref()}`) for each test that starts the same names at the same time. Only two kinds
  of terms name nobody, in namespaces as in keys, because `Registry` takes them for patterns when
  it removes a name: maps, and the atoms `:_` and `:"$1"`, `:"$2"`, ..., also within tuples and lists.
  `register/4`, `unregister/2` and `via/3` raise `ArgumentError` for them; the others answer as for any
  name that nobody has: `:error`, `[]`, `0`, `false`, and `update_metadata/3` with `:not_owner`.

      iex> alias Foundation.ProcessRegistry
      iex> namespace = {:test, make_ref()}
      iex> {:ok, agent} = Agent.start_link(fn -> 1 end, name: ProcessRegistry.via(namespace, :counter))
      iex> ProcessRegistry.lookup(namespace, :counter) == {:ok, agent}
      true
      iex> Agent.get(ProcessRegistry.via(namespace, :counter), & &1)
      1
      iex> ProcessRegistry.lookup(:production, :counter)
      :error

  A process registers itself: by a `:via` tuple when it starts, or by `register/4`. Nobody can
  register another, because a name that outlives its process must not exist.
  """

  alias Foundation.Error
  alias Foundation.Options

  @typedoc "A term without maps and without atoms such as `:_`."
  @type namespace :: term()

  @typedoc "A term without maps and without atoms such as `:_`."
  @type key :: term()

  @type metadata :: map()

  @doc """
  The registry, for a supervisor. Foundation starts it: there is one of a node.

      iex> Foundation.ProcessRegistry.child_spec([]).type
      :supervisor
  """
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(_opts) do
    Registry.child_spec(
      keys: :unique,
      name: __MODULE__,
      partitions: System.schedulers_online()
    )
  end

  @doc """
  Registers the calling process.

  `pid` is there so that a call says whom it registers; any other than the caller's is refused with
  `ArgumentError`. A process may have several names. One that registers again under a name that it
  has keeps the name, with the metadata that it gives now.

  Error: `:already_registered`, where `context.pid` is the process that has the name.

      iex> namespace = {:test, make_ref()}
      iex> Foundation.ProcessRegistry.register(namespace, :me, self(), %{since: 2024})
      :ok
      iex> Foundation.ProcessRegistry.metadata(namespace, :me)
      {:ok, %{since: 2024}}
      iex> task = Task.async(fn -> Foundation.ProcessRegistry.register(namespace, :me) end)
      iex> {:error, error} = Task.await(task)
      iex> {error.error_type, error.context.pid == self()}
      {:already_registered, true}
  """
  @spec register(namespace(), key(), pid(), metadata()) :: :ok | {:error, Error.t()}
  def register(namespace, key, pid \\ self(), metadata \\ %{}) do
    caller!(pid)
    metadata!(metadata)
    name = name!(namespace, key)
    claim(name, metadata)
  end

  # One that has died in between is asked for anew: `Registry` then gives the name away.
  defp claim(name, metadata) do
    case Registry.register(__MODULE__, name, metadata) do
      {:ok, _registry} ->
        :ok

      {:error, {:already_registered, pid}} when pid == self() ->
        {_new, _old} = Registry.update_value(__MODULE__, name, fn _old -> metadata end)
        :ok

      {:error, {:already_registered, pid}} ->
        {:error,
         Error.new(:already_registered, "another process has the name", %{
           name: name,
           pid: pid
         })}
    end
  end

  @doc """
  Takes a name of the calling process away; nothing happens when the name is not the caller's.

      iex> namespace = {:test, make_ref()}
      iex> :ok = Foundation.ProcessRegistry.register(namespace, :me)
      iex> Foundation.ProcessRegistry.unregister(namespace, :me)
      :ok
      iex> Foundation.ProcessRegistry.lookup(namespace, :me)
      :error
  """
  @spec unregister(namespace(), key()) :: :ok
  def unregister(namespace, key), do: Registry.unregister(__MODULE__, name!(namespace, key))

  @doc """
  The process of that name, alive when it was looked up, or `:error`.

      iex> Foundation.ProcessRegistry.lookup(:production, :nobody)
      :error
  """
  @spec lookup(namespace(), key()) :: {:ok, pid()} | :error
  def lookup(namespace, key) do
    with {:ok, {pid, _metadata}} <- lookup_with_metadata(namespace, key), do: {:ok, pid}
  end

  @doc """
  The process of that name and its metadata, read at once, or `:error`.

      iex> namespace = {:test, make_ref()}
      iex> :ok = Foundation.ProcessRegistry.register(namespace, :me, self(), %{role: :reader})
      iex> {:ok, {pid, metadata}} = Foundation.ProcessRegistry.lookup_with_metadata(namespace, :me)
      iex> {pid == self(), metadata}
      {true, %{role: :reader}}
  """
  @spec lookup_with_metadata(namespace(), key()) :: {:ok, {pid(), metadata()}} | :error
  def lookup_with_metadata(namespace, key) do
    # `Registry` may still show a process that has died a moment ago.
    with [{pid, metadata}] <- Registry.lookup(__MODULE__, {namespace, key}),
         true <- Process.alive?(pid) do
      {:ok, {pid, metadata || %{}}}
    else
      _nobody -> :error
    end
  end

  @doc """
  The metadata of the process of that name, `%{}` where it gave none, or `:error`.

      iex> namespace = {:test, make_ref()}
      iex> :ok = Foundation.ProcessRegistry.register(namespace, :me)
      iex> Foundation.ProcessRegistry.metadata(namespace, :me)
      {:ok, %{}}
  """
  @spec metadata(namespace(), key()) :: {:ok, metadata()} | :error
  def metadata(namespace, key) do
    with {:ok, {_pid, metadata}} <- lookup_with_metadata(namespace, key), do: {:ok, metadata}
  end

  @doc """
  Replaces the metadata of a name of the calling process: by a map, or by what a function makes of
  the former.

  Error: `:not_owner` when the name is not the caller's, or not any more when the function returns.

      iex> namespace = {:test, make_ref()}
      iex> :ok = Foundation.ProcessRegistry.register(namespace, :me, self(), %{done: 1})
      iex> Foundation.ProcessRegistry.update_metadata(namespace, :me, &Map.update!(&1, :done, fn n -> n + 1 end))
      :ok
      iex> Foundation.ProcessRegistry.metadata(namespace, :me)
      {:ok, %{done: 2}}
  """
  @spec update_metadata(namespace(), key(), metadata() | (metadata() -> metadata())) ::
          :ok | {:error, Error.t()}
  # The function first: `Registry` writes the name again, whatever has become of it in there.
  def update_metadata(namespace, key, fun) when is_function(fun, 1) do
    case Registry.lookup(__MODULE__, {namespace, key}) do
      [{pid, old}] when pid == self() -> replace(namespace, key, metadata!(fun.(old || %{})))
      _nobody_or_another -> not_owner(namespace, key)
    end
  end

  def update_metadata(namespace, key, metadata),
    do: replace(namespace, key, metadata!(metadata))

  defp replace(namespace, key, metadata) do
    case Registry.update_value(__MODULE__, {namespace, key}, fn _old -> metadata end) do
      {_new, _old} -> :ok
      :error -> not_owner(namespace, key)
    end
  end

  defp not_owner(namespace, key) do
    text = "the calling process does not have the name"
    {:error, Error.new(:not_owner, text, %{name: {namespace, key}})}
  end

  @doc """
  Whether a living process has the name.

      iex> Foundation.ProcessRegistry.registered?(:production, :nobody)
      false
  """
  @spec registered?(namespace(), key()) :: boolean()
  def registered?(namespace, key), do: lookup(namespace, key) != :error

  @doc """
  The `:via` tuple of a name: for `name:` when a process starts, and wherever a server is named.

  With metadata it carries them into the registration.

      iex> namespace = {:test, make_ref()}
      iex> via = Foundation.ProcessRegistry.via(namespace, :counter, %{unit: :ms})
      iex> {:ok, _agent} = Agent.start_link(fn -> 1 end, name: via)
      iex> Foundation.ProcessRegistry.metadata(namespace, :counter)
      {:ok, %{unit: :ms}}
  """
  @spec via(namespace(), key(), metadata() | nil) :: {:via, Registry, tuple()}
  def via(namespace, key, metadata \\ nil)

  def via(namespace, key, nil), do: {:via, Registry, {__MODULE__, name!(namespace, key)}}

  def via(namespace, key, metadata) do
    {:via, Registry, {__MODULE__, name!(namespace, key), metadata!(metadata)}}
  end

  @doc """
  The same as `via/2`.

      iex> Foundation.ProcessRegistry.via_tuple(:production, :a) == Foundation.ProcessRegistry.via(:production, :a)
      true
  """
  @spec via_tuple(namespace(), key()) :: {:via, Registry, tuple()}
  def via_tuple(namespace, key), do: via(namespace, key)

  @doc """
  The names in a namespace and the living processes that have them, in no order.

  It goes through all names of all namespaces.

      iex> namespace = {:test, make_ref()}
      iex> :ok = Foundation.ProcessRegistry.register(namespace, :me)
      iex> Foundation.ProcessRegistry.list(namespace) == [{:me, self()}]
      true
  """
  @spec list(namespace()) :: [{key(), pid()}]
  def list(namespace) do
    # A guard, not a pattern: what is in the namespace is compared as it is.
    guard = {:"=:=", :"$1", {:const, namespace}}
    spec = [{{{:"$1", :"$2"}, :"$3", :_}, [guard], [{{:"$2", :"$3"}}]}]
    for {_key, pid} = entry <- Registry.select(__MODULE__, spec), Process.alive?(pid), do: entry
  end

  @doc """
  How many names of living processes the namespace has; costs what `list/1` does.

      iex> Foundation.ProcessRegistry.count({:test, make_ref()})
      0
  """
  @spec count(namespace()) :: non_neg_integer()
  def count(namespace), do: namespace |> list() |> length()

  defp name!(namespace, key) do
    plain?(namespace) || pattern!("namespace", namespace)
    plain?(key) || pattern!("key", key)
    {namespace, key}
  end

  defp plain?(term) when is_map(term), do: false
  defp plain?(term) when is_tuple(term), do: term |> Tuple.to_list() |> plain?()
  defp plain?([head | tail]), do: plain?(head) and plain?(tail)
  defp plain?(:_), do: false

  defp plain?(atom) when is_atom(atom), do: not (Atom.to_string(atom) =~ ~r/\A\$\d+\z/)
  defp plain?(_leaf), do: true

  defp pattern!(what, term) do
    raise ArgumentError,
          "expected a #{what} without maps and without atoms such as :_ and :\"$1\", " <>
            "got: #{Options.given(term)}"
  end

  defp caller!(pid) when pid == self(), do: :ok

  defp caller!(pid) do
    raise ArgumentError,
          "expected pid to be the calling process (another registers itself, or is started with " <>
            "name: via(namespace, key)), got: #{Options.given(pid)}"
  end

  defp metadata!(metadata) when is_map(metadata), do: metadata

  defp metadata!(metadata) do
    raise ArgumentError, "expected metadata to be a map, got: #{Options.given(metadata)}"
  end
end
