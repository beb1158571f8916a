defmodule Foundation.BEAM.SharedStore do
  alias Foundation.BEAM.SharedStore.{Atomic, Batch, Call, Flights, Server}
  alias Foundation.BEAM.SharedStore.Options, as: StoreOptions
  alias Foundation.BEAM.SharedStore.Stream, as: StoreStream
  alias Foundation.{Error, Native, Options}

  import Call, only: [native: 1, missing: 0]

  @moduledoc """
  A table of terms in memory that Rust holds, read and written by every process of the node.

      iex> alias Foundation.BEAM.SharedStore
      iex> store = SharedStore.new(max_entries: 10_000, ttl: :timer.minutes(10))
      iex> SharedStore.put(store, "ada", %{name: "Ada", visits: [3, 5]})
      :ok
      iex> SharedStore.fetch_in(store, "ada", [:visits, 1])
      {:ok, 5}
      iex> SharedStore.get_or_store(store, "joe", fn -> %{name: "Joe", visits: []} end)
      {:ok, %{name: "Joe", visits: []}}
      iex> SharedStore.size(store)
      2

  In an application, a store with a name stands under a supervisor and is used by that name, from
  wherever:

      children = [{Foundation.BEAM.SharedStore, name: MyApp.Cache, max_bytes: 100_000_000}]

  Keys and values are any terms. Keys are told apart by exact equality: `1` and `1.0` are two.

  ## When to use it

    * A cache: expiry, limits in bytes or entries, one computation a key at a time.
    * Large values of which readers need a part.
    * Counters and values that several processes change at once.

  Do not use it for what needs match specs, ordered keys or `:ets.select/2` (`:ets`), for what never
  changes and is read all the time (`:persistent_term` copies nothing), across nodes, or for what
  must outlive the VM. The guide "When to use SharedStore" compares them.

  ## Ownership

  A store of `start_link/1` ends with its process; one of `new/1` with its `:owner`, or where it has
  none, with the last copy of its handle. Every process of the node may use a store that it knows the
  name or the handle of. When a store ends, whoever uses it gets `:noproc`. A handle that lies in its
  own store counts as a copy: that store has to be closed, or to have an owner.

  `give_away/2` makes another process the owner. With an `:heir`, a store of `start_link/1` passes to
  that process when its own ends. Either gets the message `{:foundation_store_transfer, store, from}`:
  the name of the store, or its handle where it has none, and the process that gave it or had it. A
  `start_link/1` under the same name with the same ttl, limits and `:compress_above` takes a store back
  from its heir, as it does when a supervisor restarts it.

  ## Expiry

  An entry past its ttl is never returned or met by `stream/2`. Whether or not anybody asks for it, a
  process of the application `:foundation` begins to free it about a second later at most, on a normal
  scheduler, in slices of about 100 us; until then it counts in `size/1`. A put without `:ttl` gives the
  entry the store's; `update/4` and the like leave it what it had left.

  ## Limits

  A put that passes `:max_entries` or `:max_bytes` evicts others before it returns, by S3-FIFO (Yang
  et al., SOSP 2023): what is read once and never again goes first. Entries past their ttl count until
  they are freed.

  `:max_bytes` counts what keys and values take as they are kept: compressed where they are, with
  payloads of binaries, large ones for each entry that refers to them, at least 2.5 KB for an entry
  that has an environment of its own (above 8 KB and not compressed, or with funs or handles in it), and
  64 bytes an entry for its part of the table. A value that does not fit at all is refused.

  With `:compress_above`, larger values are kept as LZ4 and unpacked in the process that reads them.
  A handle of this library, or any other native resource, does not keep alive what it refers to
  while it lies in a compressed value.

  ## Errors

  | `error_type` | it means |
  |---|---|
  | `:not_found` | the store has no such key, or no longer |
  | `:noproc` | no store with this name or handle is alive; or the owner or heir that was named is not |
  | `:foreign_node` | the handle is of another node, `context.node` |
  | `:unknown_handle` | a reference with no store behind it |
  | `:path_not_found` | a step of the path leads nowhere; `context` has `:at` (steps before it) and `:step` |
  | `:too_large` | the value does not fit into `:max_bytes`, has more than 1 GiB, or over a million funs; or the key has more than 64 MiB |
  | `:already_exists` | `put_new/4`: the key is there; `start_link/1`: a store of that name is alive |
  | `:conflict` | `compare_and_put/4`: the value is another |
  | `:not_a_number` | `increment/4`: of the value, or the sum is beyond a float |
  | `:computation_failed` | `get_or_store/4`: in another process; `context` has `:kind` and `:reason` |
  | `:timeout` | `get_or_store/4`: the computation in another process goes on |
  | `:reentrant` | `get_or_store/4`: the function asks for the key that it computes |
  | `:not_started` | `get_or_store/4`: the application `:foundation` is not running |

  Other terms than a name or a handle, and bad options, raise `ArgumentError`.

  ## Cost

  A call runs in the caller; no process is asked, but by `get_or_store/4` on a miss. A read copies
  the value, as `:ets.lookup/2` does, with binaries of more than 64 bytes by reference; `fetch_in/3`
  copies the part. Copies of more than 16 KB reach the caller as a message that the call itself
  receives; above 256 KB they are made on a dirty scheduler. Keys are hashed and compared at each call:
  small ones are best, and above 16 KB the call goes to a dirty scheduler.
  `mix run bench/shared_store.exs` prints the figures.
  """

  @typedoc "The name of a store, or the handle that `new/1` gave."
  @type store :: atom() | reference()

  @typedoc "What `stats/1` tells."
  @type stats :: %{
          entries: non_neg_integer(),
          live_bytes: non_neg_integer(),
          dead_bytes: non_neg_integer(),
          overhead_bytes: non_neg_integer(),
          hits: non_neg_integer(),
          misses: non_neg_integer(),
          evictions: non_neg_integer(),
          expirations: non_neg_integer(),
          compactions: non_neg_integer()
        }

  @doc """
  Starts a process that owns a new store, both under one name.

  The error of a name that a living store has is `%Foundation.Error{error_type: :already_exists}`.

  ## Options

  #{StoreOptions.docs(:start)}

  ## Example

      iex> {:ok, _pid} = Foundation.BEAM.SharedStore.start_link(name: :doc_start_link)
      iex> Foundation.BEAM.SharedStore.put(:doc_start_link, :key, "value")
      :ok
      iex> GenServer.stop(:doc_start_link)
      iex> {:error, error} = Foundation.BEAM.SharedStore.fetch(:doc_start_link, :key)
      iex> error.error_type
      :noproc
  """
  @spec start_link(keyword()) :: GenServer.on_start() | {:error, Error.t()}
  def start_link(opts),
    do: opts |> StoreOptions.validate!(:start, "SharedStore.start_link/1") |> Server.start_link()

  @doc """
  For a supervisor: `{Foundation.BEAM.SharedStore, name: MyApp.Cache}`; options of `start_link/1`.

      iex> Foundation.BEAM.SharedStore.child_spec(name: MyApp.Cache).id
      MyApp.Cache
  """
  @spec child_spec(keyword()) :: Supervisor.child_spec()
  def child_spec(opts) do
    %{name: name} = StoreOptions.validate!(opts, :start, "SharedStore.child_spec/1")
    %{id: name, start: {__MODULE__, :start_link, [opts]}}
  end

  @doc """
  Makes a store without a name and gives its handle.

  Returns `{:error, %Foundation.Error{error_type: :noproc}}` where the owner is not alive.

  ## Options

  #{StoreOptions.docs(:new)}

  ## Example

      iex> is_reference(Foundation.BEAM.SharedStore.new(max_bytes: 1_000_000))
      true
  """
  @spec new(keyword()) :: reference() | {:error, Error.t()}
  def new(opts \\ []) do
    opts = StoreOptions.validate!(opts, :new, "SharedStore.new/1")

    handle = Native.shared_store_new(nil, opts.owner, nil, StoreOptions.limits(opts))

    if opts.owner && !alive?(handle),
      do: {:error, Error.new(:noproc, "the owner is not alive")},
      else: handle
  end

  @doc """
  Makes a process of this node the owner, with which the store ends.

  It gets `{:foundation_store_transfer, store, from}`, see "Ownership". Returns `:noproc` where it
  is not alive.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.give_away(store, self())
      :ok
      iex> receive do: ({:foundation_store_transfer, ^store, _from} -> :mine)
      :mine
  """
  @spec give_away(store(), pid()) :: :ok | {:error, Error.t()}
  def give_away(store, pid) when is_pid(pid) and node(pid) == node() do
    case Native.shared_store_give_away(store, pid) do
      :noproc -> {:error, Error.new(:noproc, "the new owner is not alive")}
      result -> Call.settle(result, store)
    end
  end

  def give_away(_store, other) do
    raise ArgumentError,
          "expected a pid of this node in SharedStore.give_away/2, got: #{Options.given(other)}"
  end

  @doc """
  Ends a store at once. The process of `start_link/1` stops; its supervisor may start another.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.close(store)
      :ok
      iex> Foundation.BEAM.SharedStore.alive?(store)
      false
  """
  @spec close(store()) :: :ok | {:error, Error.t()}
  def close(store) do
    with {:ok, %{name: name, owner: owner}} <- info(store),
         :ok <- store |> Native.shared_store_close() |> Call.settle(store),
         do: Server.closed(name, owner)
  end

  @doc """
  Who has the store: `id` is the one of telemetry events; `name`, `owner` and `heir` may be `nil`.

      iex> {:ok, info} = Foundation.BEAM.SharedStore.info(Foundation.BEAM.SharedStore.new())
      iex> {info.name, info.owner, info.heir}
      {nil, nil, nil}
  """
  @spec info(store()) ::
          {:ok, %{id: term(), name: atom(), owner: pid() | nil, heir: pid() | nil}}
          | {:error, Error.t()}
  def info(store) do
    case Native.shared_store_about(store) do
      {id, name, owner, heir} -> {:ok, %{id: id, name: name, owner: owner, heir: heir}}
      fault -> Call.settle(fault, store)
    end
  end

  @doc """
  Whether the store can be used now, from here.

      iex> Foundation.BEAM.SharedStore.alive?(:doc_no_such_store)
      false
  """
  @spec alive?(store()) :: boolean()
  def alive?(store), do: match?({:ok, _}, info(store))

  @doc """
  The value of a key.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put(store, 1, "one")
      iex> Foundation.BEAM.SharedStore.fetch(store, 1)
      {:ok, "one"}
      iex> {:error, error} = Foundation.BEAM.SharedStore.fetch(store, 1.0)
      iex> error.error_type
      :not_found
  """
  @spec fetch(store(), term()) :: {:ok, term()} | {:error, Error.t()}
  def fetch(store, key) do
    case Native.shared_store_fetch(store, key) do
      {:ok, _value} = ok -> ok
      :missing -> missing()
      other -> Call.fetched(other, store, key)
    end
  end

  @doc """
  As `fetch/2`, the value itself; raises `Foundation.Error`.

      iex> Foundation.BEAM.SharedStore.fetch!(Foundation.BEAM.SharedStore.new(), :key)
      ** (Foundation.Error) the store has no such key
  """
  @spec fetch!(store(), term()) :: term()
  def fetch!(store, key), do: store |> fetch(key) |> Error.unwrap!()

  @doc """
  The value of a key, the default where `fetch/2` gives an error.

      iex> Foundation.BEAM.SharedStore.get(Foundation.BEAM.SharedStore.new(), :key, 0)
      0
  """
  @spec get(store(), term(), term()) :: term()
  def get(store, key, default \\ nil) do
    case fetch(store, key) do
      {:ok, value} -> value
      {:error, _} -> default
    end
  end

  @doc """
  The part of a value at the end of a path; the rest is not copied.

  A path is that of `Foundation.BEAM.SharedTerm`: keys of maps and keyword lists, positions in lists
  and tuples, from 0. A compressed value is unpacked whole.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put(store, :rows, [%{id: {1, 2}}])
      iex> Foundation.BEAM.SharedStore.fetch_in(store, :rows, [0, :id, 1])
      {:ok, 2}
  """
  @spec fetch_in(store(), term(), [term()]) :: {:ok, term()} | {:error, Error.t()}
  def fetch_in(store, key, path), do: Call.fetch_in(store, key, path)

  @doc """
  Whether the key is there. Counts neither as a hit nor as a miss; `false` where there is no store.

      iex> Foundation.BEAM.SharedStore.member?(Foundation.BEAM.SharedStore.new(), :key)
      false
  """
  @spec member?(store(), term()) :: boolean()
  def member?(store, key),
    do: native(shared_store_member(store, key)) |> Call.settle(store) == true

  @doc """
  Puts a value under a key, in the place of the one that is there.

  Returns `:too_large` for a value that does not fit; then the one that was there stays.

  ## Options

  #{StoreOptions.docs(:put)}

  ## Example

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put(store, :token, "secret", ttl: 60_000)
      :ok
      iex> {:ok, left} = Foundation.BEAM.SharedStore.ttl(store, :token)
      iex> left <= 60_000
      true
  """
  @spec put(store(), term(), term(), keyword()) :: :ok | {:error, Error.t()}
  def put(store, key, value, opts \\ [])

  def put(store, key, value, []) do
    case Native.shared_store_put(store, key, value, :default, :always) do
      :ok -> :ok
      other -> other |> Call.written(store, key, value, :default, :always) |> Call.stored()
    end
  end

  def put(store, key, value, opts) do
    ttl = lifetime(opts, "SharedStore.put/4")
    store |> Call.put(key, value, ttl, :always) |> Call.stored()
  end

  @doc """
  As `put/4`, where the key is not there; else `:already_exists`. Of several callers at once one
  succeeds.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put_new(store, :lock, self())
      :ok
      iex> {:error, error} = Foundation.BEAM.SharedStore.put_new(store, :lock, self())
      iex> error.error_type
      :already_exists
  """
  @spec put_new(store(), term(), term(), keyword()) :: :ok | {:error, Error.t()}
  def put_new(store, key, value, opts \\ []) do
    with :conflict <-
           Call.put(store, key, value, lifetime(opts, "SharedStore.put_new/4"), :absent),
         do: {:error, Error.new(:already_exists, "the key is there already")}
  end

  @doc """
  The value of a key, which is removed with it. Of several callers at once one gets it.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put(store, :job, {:run, 1})
      iex> Foundation.BEAM.SharedStore.take(store, :job)
      {:ok, {:run, 1}}
      iex> Foundation.BEAM.SharedStore.member?(store, :job)
      false
  """
  @spec take(store(), term()) :: {:ok, term()} | {:error, Error.t()}
  def take(store, key), do: Call.take(store, key)

  @doc """
  Removes a key; `:ok` also where it is not there.

      iex> Foundation.BEAM.SharedStore.delete(Foundation.BEAM.SharedStore.new(), :key)
      :ok
  """
  @spec delete(store(), term()) :: :ok | {:error, Error.t()}
  def delete(store, key), do: native(shared_store_delete(store, key)) |> Call.settle(store)

  @doc """
  Removes every key. What is put meanwhile may stay or go.

      iex> Foundation.BEAM.SharedStore.clear(Foundation.BEAM.SharedStore.new())
      :ok
  """
  @spec clear(store()) :: :ok | {:error, Error.t()}
  def clear(store), do: store |> Native.shared_store_clear() |> Call.settle(store)

  @doc """
  The number of entries, with those whose end has come and that are not freed yet.

      iex> Foundation.BEAM.SharedStore.size(Foundation.BEAM.SharedStore.new())
      0
  """
  @spec size(store()) :: non_neg_integer() | {:error, Error.t()}
  def size(store), do: store |> Native.shared_store_size() |> Call.settle(store)

  @doc """
  Gives an entry a new ttl, in milliseconds or `:infinity`, counted from now.

      iex> store = Foundation.BEAM.SharedStore.new(ttl: 60_000)
      iex> Foundation.BEAM.SharedStore.put(store, :session, "ada")
      iex> Foundation.BEAM.SharedStore.touch(store, :session, :infinity)
      :ok
      iex> Foundation.BEAM.SharedStore.ttl(store, :session)
      {:ok, :infinity}
  """
  @spec touch(store(), term(), timeout()) :: :ok | {:error, Error.t()}
  def touch(store, key, ttl) do
    %{ttl: ttl} = StoreOptions.validate!([ttl: ttl], :touch, "SharedStore.touch/3")
    ttl = StoreOptions.ttl(ttl)
    native(shared_store_touch(store, key, ttl)) |> Call.settle(store)
  end

  @doc """
  What is left to an entry: milliseconds, or `:infinity`.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put(store, :key, 1)
      iex> Foundation.BEAM.SharedStore.ttl(store, :key)
      {:ok, :infinity}
  """
  @spec ttl(store(), term()) :: {:ok, timeout()} | {:error, Error.t()}
  def ttl(store, key) do
    case native(shared_store_ttl(store, key)) do
      left when is_integer(left) or left == :infinity -> {:ok, left}
      fault -> Call.settle(fault, store)
    end
  end

  @doc """
  Adds a number to a number, as one step; the entry keeps its ttl.

  An integer and a float give a float. `:not_a_number` where the value is none.

  ## Options

  #{StoreOptions.docs(:increment)}

  ## Example

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.increment(store, :visits)
      {:ok, 1}
      iex> Foundation.BEAM.SharedStore.increment(store, :visits, -0.5)
      {:ok, 0.5}
      iex> Foundation.BEAM.SharedStore.increment(store, :stock, -1, initial: 100)
      {:ok, 99}
  """
  @spec increment(store(), term(), number(), keyword()) :: {:ok, number()} | {:error, Error.t()}
  def increment(store, key, by \\ 1, opts \\ [])

  def increment(store, key, by, opts) when is_number(by) do
    opts = StoreOptions.validate!(opts, :increment, "SharedStore.increment/4")
    Atomic.increment(store, key, by, opts.initial, StoreOptions.ttl(opts.ttl))
  end

  def increment(_store, _key, by, _opts) do
    raise ArgumentError,
          "expected a number to add in SharedStore.increment/4, got: #{Options.given(by)}"
  end

  @doc """
  Puts what the function makes of the value, and returns that.

  The function runs in the caller, with nothing held, and runs again where another process has
  changed the value meanwhile: give it no side effects. What it raises goes on in the caller, and the
  value stays. A missing key takes `:initial`, as in `Map.update/4`, or is `:not_found`.

  ## Options

  #{StoreOptions.docs(:update)}

  ## Example

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.update(store, :list, &[:b | &1], initial: [:a])
      {:ok, [:a]}
      iex> Foundation.BEAM.SharedStore.update(store, :list, &[:b | &1])
      {:ok, [:b, :a]}
  """
  @spec update(store(), term(), (term() -> term()), keyword()) ::
          {:ok, term()} | {:error, Error.t()}
  def update(store, key, fun, opts \\ []) do
    Call.fun!(fun, 1, "SharedStore.update/4")
    %{ttl: ttl} = StoreOptions.validate!(opts, :update, "SharedStore.update/4")
    lifetime = if ttl, do: StoreOptions.ttl(ttl), else: :kept
    Atomic.update(store, key, fun, Keyword.fetch(opts, :initial), lifetime)
  end

  @doc """
  As `Map.get_and_update/3`: the function gets the value, `nil` where the key is missing, and returns
  `{get, new}` to put `new`, or `:pop` to remove the key. Returns `{:ok, get}`.

  The function is run as that of `update/4`.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.get_and_update(store, :turn, &{&1, :mine})
      {:ok, nil}
      iex> Foundation.BEAM.SharedStore.get_and_update(store, :turn, fn _ -> :pop end)
      {:ok, :mine}
  """
  @spec get_and_update(store(), term(), (term() -> {term(), term()} | :pop)) ::
          {:ok, term()} | {:error, Error.t()}
  def get_and_update(store, key, fun) do
    Call.fun!(fun, 1, "SharedStore.get_and_update/3")
    Atomic.get_and_update(store, key, fun)
  end

  @doc """
  Puts a value where the present one is exactly equal to what is expected; else `:conflict`, or
  `:not_found` where there is none. The entry keeps its ttl.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put(store, :state, :idle)
      iex> Foundation.BEAM.SharedStore.compare_and_put(store, :state, :idle, :busy)
      :ok
      iex> {:error, error} = Foundation.BEAM.SharedStore.compare_and_put(store, :state, :idle, :busy)
      iex> error.error_type
      :conflict
  """
  @spec compare_and_put(store(), term(), term(), term()) :: :ok | {:error, Error.t()}
  def compare_and_put(store, key, expected, new),
    do: Atomic.compare_and_put(store, key, expected, new)

  @doc """
  The value of a key; where it is missing, what the function returns, which is put.

  However many processes ask for a key at once, one of them runs the function and the others wait for
  its result, which they get also where it was not stored (`:too_large`) or is gone again. If
  the key is put by others meanwhile, that value stays and is the result.

  What the function raises goes on in its process, and nothing is put. Those who wait then get
  `:computation_failed`, or compute themselves, one after the other (`on_crash: :retry`); so do they
  where that process is killed. A function that asks for the key that it computes gets `:reentrant`;
  two that ask for each other's wait until `:timeout`.

  ## Options

  #{StoreOptions.docs(:compute)}

  ## Example

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.get_or_store(store, {:square, 7}, fn -> 7 * 7 end)
      {:ok, 49}
      iex> Foundation.BEAM.SharedStore.get_or_store(store, {:square, 7}, fn -> raise "not run" end)
      {:ok, 49}
  """
  @spec get_or_store(store(), term(), (() -> term()), keyword()) ::
          {:ok, term()} | {:error, Error.t()}
  def get_or_store(store, key, fun, opts \\ []) do
    Call.fun!(fun, 0, "SharedStore.get_or_store/4")
    opts = StoreOptions.validate!(opts, :compute, "SharedStore.get_or_store/4")

    with {:error, %Error{error_type: :not_found}} <- fetch(store, key),
         {:ok, %{id: id}} <- info(store),
         do: Flights.run({id, key}, Call.access(store, key, opts.ttl), fun, opts)
  end

  @doc """
  Puts many entries, of a map or a list of pairs; of a key that comes twice the last counts.

  Each entry is put as by `put/4`, one after the other, not all at once: of a list with anything but
  pairs in it, which raises, what comes before that is put. Values that are too large are
  left out and the rest is put: the error `:too_large` has their keys in `context.keys`.

  ## Options

  #{StoreOptions.docs(:put)}

  ## Example

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put_many(store, %{a: 1, b: 2})
      :ok
      iex> Foundation.BEAM.SharedStore.fetch_many(store, [:b, :c, :a])
      {:ok, [b: 2, a: 1]}
  """
  @spec put_many(store(), map() | [{term(), term()}], keyword()) :: :ok | {:error, Error.t()}
  def put_many(store, pairs, opts \\ []) do
    where = "SharedStore.put_many/3"
    Batch.put(store, pairs, lifetime(opts, where), where)
  end

  @doc """
  The keys that are there with their values, in the order asked for.

      iex> Foundation.BEAM.SharedStore.fetch_many(Foundation.BEAM.SharedStore.new(), [:a])
      {:ok, []}
  """
  @spec fetch_many(store(), [term()]) :: {:ok, [{term(), term()}]} | {:error, Error.t()}
  def fetch_many(store, keys), do: Batch.fetch(store, keys, "SharedStore.fetch_many/2")

  @doc """
  Removes keys; those that are not there do not matter.

      iex> Foundation.BEAM.SharedStore.delete_many(Foundation.BEAM.SharedStore.new(), [:a, :b])
      :ok
  """
  @spec delete_many(store(), [term()]) :: :ok | {:error, Error.t()}
  def delete_many(store, keys), do: Batch.delete(store, keys, "SharedStore.delete_many/2")

  @doc """
  The entries as a stream, in no order: `:entries` as `{key, value}`, `:keys`, or `{:path, path}` as
  `{key, part}` for those values in which the path leads somewhere.

  The store is not held while the stream is consumed. An entry that is there from the beginning to
  the end is met exactly once; one that is put, replaced or removed meanwhile once or not at all, a
  replaced one with a value that it had during that time. Raises `Foundation.Error` while it is
  consumed if there is no store, or no longer.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.put_many(store, a: %{id: 1}, b: %{id: 2}, c: :none)
      iex> store |> Foundation.BEAM.SharedStore.stream({:path, [:id]}) |> Enum.sort()
      [a: 1, b: 2]
  """
  @spec stream(store(), :entries | :keys | {:path, [term()]}) :: Enumerable.t()
  def stream(store, what \\ :entries), do: StoreStream.new(store, what)

  @doc """
  Figures of a store: entries and bytes now, and what has been counted since it was made.

  `:live_bytes` are those of the entries, `:dead_bytes` those of entries that were cleared and are not
  freed yet, `:overhead_bytes` those of the table, of its lists of deadlines and of eviction, and of keys
  of maps that are kept once for many entries. `:compactions` counts how often the table gave memory
  back. Reads of a value or a part count as a hit or a miss; `take/2`, `member?/2` and `ttl/2` do not.

      iex> store = Foundation.BEAM.SharedStore.new()
      iex> Foundation.BEAM.SharedStore.get(store, :key)
      iex> {:ok, stats} = Foundation.BEAM.SharedStore.stats(store)
      iex> {stats.entries, stats.hits, stats.misses}
      {0, 0, 1}
  """
  @spec stats(store()) :: {:ok, stats()} | {:error, Error.t()}
  def stats(store), do: Call.stats(store)

  defp lifetime([], _where), do: :default

  defp lifetime(opts, where),
    do: opts |> StoreOptions.validate!(:put, where) |> Map.fetch!(:ttl) |> StoreOptions.ttl()
end
