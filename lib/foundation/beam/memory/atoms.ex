defmodule Foundation.BEAM.Memory.Atoms do
  @moduledoc false

  # Makes atoms within a limit. Atoms are never freed, and a full table ends the VM.
  #
  # Whatever exists is found in the caller. What does not is made by this one process: between its look
  # at the table and the new atom there is nobody else that could pass the limit, and a caller that is
  # killed leaves no reservation behind. (A check in the callers does pass it:
  # test/foundation/beam/memory/atoms_test.exs.)

  use GenServer
  require Logger

  alias Foundation.BEAM.Memory.Atoms.Namespaces
  alias Foundation.BEAM.Term.Size
  alias Foundation.{Error, Options}

  @where "Memory.safe_atom/2"

  # Of the VM's own limit. The rest is for code that is loaded, and for whoever makes atoms elsewhere.
  @share 0.95

  @characters 255
  @namespace_bytes 1_024
  @warn_again 60_000

  @schema Options.schema!(
            max_atoms: [
              type: :non_neg_integer,
              default: 800_000,
              doc:
                "Atoms in the VM's table at which no new one is made; 95 % of the table at most."
            ],
            rate: [
              type:
                {:custom,
                 "{n, per_ms}: at most n (0 or more) new atoms in per_ms (1 to 4294967295) milliseconds",
                 &__MODULE__.rate?/1},
              doc:
                "`{n, per_ms}`: at most `n` new atoms in any `per_ms` milliseconds. Default: none."
            ],
            namespace: [
              type:
                {:custom, "a term of at most #{@namespace_bytes} bytes", &__MODULE__.namespace?/1},
              default: :default,
              doc: "What the new atom is counted under, for `:rate` and `atom_usage/0`."
            ]
          )

  @typedoc "The VM's table; tests have others. `now` is in milliseconds."
  @type table :: %{
          limit: pos_integer(),
          count: (() -> non_neg_integer()),
          find: (String.t() -> {:ok, term()} | :none),
          make: (String.t() -> {:ok, term()} | {:error, :invalid_atom}),
          now: (() -> integer())
        }

  @type reason :: :invalid_atom | :atom_table_nearly_full | :rate_limited

  @spec schema() :: Options.schema()
  def schema, do: @schema

  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(opts) do
    opts = Keyword.merge([table: table(), name: __MODULE__], opts)
    GenServer.start_link(__MODULE__, opts[:table], name: opts[:name])
  end

  @spec safe_atom(String.t(), keyword()) :: {:ok, atom()} | {:error, reason()}
  def safe_atom(string, opts) when is_binary(string) do
    opts = Options.validate!(opts, @schema, @where)

    case find(string) do
      {:ok, _} = found ->
        found

      :none ->
        if name?(string, @characters), do: make(string, opts), else: {:error, :invalid_atom}
    end
  end

  def safe_atom(string, _opts) do
    raise ArgumentError,
          "expected a string (a binary) in #{@where}, got: #{Options.given(string)}"
  end

  @doc "The atom of a valid name from the process, as options (all of them) say."
  @spec make(GenServer.server(), String.t(), map()) :: {:ok, term()} | {:error, reason()}
  def make(server \\ __MODULE__, string, opts) do
    # Of their own: parts would keep what they are parts of alive until the process is collected.
    name = :binary.copy(string)
    namespace = :erlang.term_to_binary(opts.namespace)
    call(server, {:make, name, min(opts.max_atoms, 0xFFFFFFFF), opts.rate, namespace})
  end

  @spec usage(GenServer.server()) :: map()
  def usage(server \\ __MODULE__) do
    usage = call(server, :usage)
    names = Map.new(usage.namespaces, fn {key, made} -> {:erlang.binary_to_term(key), made} end)
    %{usage | namespaces: names}
  end

  @doc false
  def rate?({n, per}),
    do: is_integer(n) and n >= 0 and is_integer(per) and per >= 1 and per <= 0xFFFFFFFF

  def rate?(_other), do: false

  @doc false
  def namespace?(term), do: is_atom(term) or Size.measure(term, @namespace_bytes).complete?

  @impl true
  def init(table), do: {:ok, %{table: table, namespaces: %{}, warned: nil}}

  @impl true
  def handle_call({:make, name, max, rate, namespace}, _from, %{table: table} = state) do
    # Made for somebody else since the caller looked.
    with :none <- table.find.(name),
         :ok <- room(table, max),
         {:ok, namespaces} <- Namespaces.admit(state.namespaces, namespace, rate, table.now.()),
         {:ok, _} = made <- table.make.(name) do
      {:reply, made, %{state | namespaces: namespaces}}
    else
      {:ok, _} = found ->
        {:reply, found, state}

      {:full, count, ceiling} ->
        {:reply, {:error, :atom_table_nearly_full}, warn(state, count, ceiling)}

      :refused ->
        {:reply, {:error, :rate_limited}, state}

      {:error, _} = error ->
        {:reply, error, state}
    end
  end

  def handle_call(:usage, _from, %{table: table} = state) do
    figures = %{count: table.count.(), limit: table.limit, ceiling: ceiling(table.limit)}
    {:reply, Map.put(figures, :namespaces, Namespaces.made(state.namespaces)), state}
  end

  @impl true
  def handle_info(_other, state), do: {:noreply, state}

  defp room(table, max) do
    ceiling = min(max, ceiling(table.limit))
    count = table.count.()
    if count < ceiling, do: :ok, else: {:full, count, ceiling}
  end

  defp ceiling(limit), do: floor(@share * limit)

  defp warn(state, count, ceiling) do
    now = state.table.now.()

    if state.warned == nil or now - state.warned >= @warn_again do
      # Handlers run in the process that logs, and may make atoms themselves.
      spawn(fn -> Logger.warning("Atom table approaching limit: #{count}/#{ceiling}") end)
      %{state | warned: now}
    else
      state
    end
  end

  # As many characters as an atom may have, of valid UTF-8; longer strings are not read to their end.
  defp name?(<<>>, _left), do: true
  defp name?(<<_::utf8, rest::binary>>, left) when left > 0, do: name?(rest, left - 1)
  defp name?(_string, _left), do: false

  defp table do
    %{
      limit: :erlang.system_info(:atom_limit),
      count: fn -> :erlang.system_info(:atom_count) end,
      find: &find/1,
      make: &create/1,
      now: fn -> System.monotonic_time(:millisecond) end
    }
  end

  # Caught, not rescued: that would have a sentence written about the string, in a time that grows with it.
  defp find(string) when byte_size(string) <= 4 * @characters do
    {:ok, :erlang.binary_to_existing_atom(string, :utf8)}
  catch
    :error, _none_or_no_name -> :none
  end

  defp find(_string), do: :none

  defp create(name) do
    {:ok, :erlang.binary_to_atom(name, :utf8)}
  catch
    :error, _no_name -> {:error, :invalid_atom}
  end

  defp call(server, request) do
    GenServer.call(server, request, :infinity)
  catch
    :exit, {:calling_self, _call} ->
      raise Error.new(:calling_self, "the process that makes atoms was called from within")

    :exit, {_reason, {GenServer, :call, _}} ->
      text =
        "the process that makes atoms is not running: the :foundation application is not started"

      raise Error.new(:not_started, text)
  end
end
