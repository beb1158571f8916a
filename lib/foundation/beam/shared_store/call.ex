defmodule Foundation.BEAM.SharedStore.Call do
  @moduledoc false

  # From what the stubs answer to what users get, in one place: the detours of what is large, the
  # unpacking of what is compressed, and the errors. Those that a program may meet a million times a
  # second are literals: nothing is built on a miss.

  alias Foundation.BEAM.Compression
  alias Foundation.BEAM.SharedStore.Options, as: StoreOptions
  alias Foundation.BEAM.Term.{Path, Size}
  alias Foundation.{Error, Native, Options}

  @missing {:error, Error.new(:not_found, "the store has no such key")}
  @gone {:error, Error.new(:noproc, "no store with this name or handle is alive")}

  # The largest value, as for shared terms: no walk and no copy goes on for ever.
  @largest 1_073_741_824

  @type store :: atom() | reference()
  @type condition :: :always | :absent | non_neg_integer()

  @doc "Calls a stub, and where it answers `:dirty` its twin for dirty schedulers."
  defmacro native({stub, _meta, args}) do
    quote do
      case Foundation.Native.unquote(stub)(unquote_splicing(args)) do
        :dirty -> Foundation.Native.unquote(:"#{stub}_dirty")(unquote_splicing(args))
        result -> result
      end
    end
  end

  @doc "`{:error, :not_found}`, as a literal."
  defmacro missing, do: Macro.escape(@missing)

  @doc "The whole value."
  @spec fetch(store(), term()) :: {:ok, term()} | {:error, Error.t()}
  def fetch(store, key), do: store |> Native.shared_store_fetch(key) |> fetched(store, key)

  @doc "What a call of `shared_store_fetch/2` has answered."
  @spec fetched(term(), store(), term()) :: {:ok, term()} | {:error, Error.t()}
  def fetched({:ok, _value} = ok, _store, _key), do: ok

  def fetched(:dirty, store, key),
    do: store |> Native.shared_store_fetch_dirty(key) |> whole(store, key, :fetch)

  def fetched(result, store, key), do: whole(result, store, key, :fetch)

  @doc "The whole value, which is removed."
  @spec take(store(), term()) :: {:ok, term()} | {:error, Error.t()}
  def take(store, key), do: native(shared_store_take(store, key)) |> whole(store, key, :take)

  defp whole(:send, store, key, request),
    do: store |> by_message(key, request) |> whole(store, key, request)

  defp whole({:packed, binary}, _store, _key, _request), do: unpack(binary)
  defp whole(result, store, _key, _request), do: settle(result, store)

  @doc "The part of a value at the end of a path."
  @spec fetch_in(store(), term(), [term()]) :: {:ok, term()} | {:error, Error.t()}
  def fetch_in(store, key, path) when is_list(path),
    do: native(shared_store_fetch_in(store, key, path)) |> part(store, key, path)

  def fetch_in(_store, _key, path), do: Path.invalid!(path)

  defp part({:ok, _part} = ok, _store, _key, _path), do: ok
  defp part(:improper, _store, _key, path), do: Path.invalid!(path)

  defp part(:send, store, key, path),
    do: store |> by_message(key, path) |> part(store, key, path)

  defp part({:packed, binary}, _store, _key, path),
    do: with({:ok, value} <- unpack(binary), do: Path.fetch(value, path))

  defp part({:error, {:path_not_found, _, _}} = lost, _store, _key, path),
    do: Path.refuse(lost, path)

  defp part(result, store, _key, _path), do: settle(result, store)

  # A large copy comes as a message: as the result of a call it would be moved once more, by the
  # collection that it causes. All in one function: only then does the compiler see that the
  # reference is new, and the receive look at no older message.
  defp by_message(store, key, request) do
    reference = make_ref()

    case native(shared_store_send(store, key, request, reference)) do
      :sent ->
        receive do
          {^reference, copy} -> {:ok, copy}
        end

      result ->
        result
    end
  end

  @doc "The value with its version, which a later `put/5` may name as its condition."
  @spec read(store(), term()) ::
          {:ok, term(), non_neg_integer()} | :missing | {:error, Error.t()}
  def read(store, key) do
    case native(shared_store_read(store, key)) do
      {:ok, _value, _version} = ok -> ok
      :missing -> :missing
      :send -> read_large(store, key)
      {:packed, binary, version} -> versioned(unpack(binary), version)
      result -> settle(result, store)
    end
  end

  # The version first: whoever changes the value between the two calls makes it one that is over.
  defp read_large(store, key) do
    case native(shared_store_version(store, key)) do
      version when is_integer(version) -> store |> fetch(key) |> versioned(version)
      :missing -> :missing
      result -> settle(result, store)
    end
  end

  defp versioned({:ok, value}, version), do: {:ok, value, version}
  defp versioned({:error, %Error{error_type: :not_found}}, _version), do: :missing
  defp versioned(error, _version), do: error

  @doc "Puts a value where the condition is met; `ttl` as the native side takes it."
  @spec put(store(), term(), term(), non_neg_integer() | :default, condition()) ::
          :ok | :conflict | {:error, Error.t()}
  def put(store, key, value, ttl, condition) do
    store
    |> Native.shared_store_put(key, value, ttl, condition)
    |> written(store, key, value, ttl, condition)
  end

  @doc "What a call of `shared_store_put/5` has answered."
  @spec written(term(), store(), term(), term(), non_neg_integer() | :default, condition()) ::
          :ok | :conflict | {:error, Error.t()}
  def written(done, _store, _key, _value, _ttl, _condition) when done in [:ok, :conflict],
    do: done

  def written(again, store, key, value, ttl, condition) when again in [:dirty, :pack] do
    with {:ok, heap, binary} <- measure(value) do
      result =
        with :dirty <- again,
             do: Native.shared_store_put_dirty(store, key, value, ttl, condition, heap, binary)

      with :pack <- result, do: pack(store, key, value, ttl, condition, heap + binary)
    end
    |> written(store)
  end

  def written(result, store, _key, _value, _ttl, _condition), do: written(result, store)

  defp written({:over, number}, store), do: make_room(store, number)
  defp written(result, store), do: settle(result, store)

  @doc "Evicts what a put was not to wait for, in slices of a normal scheduler."
  @spec make_room(store(), non_neg_integer()) :: :ok
  def make_room(store, number) do
    # A store that has ended is over no limit.
    if Native.shared_store_make_room(store, number) == true,
      do: make_room(store, number),
      else: :ok
  end

  @doc "Of a put without a condition."
  @spec stored(:ok | :conflict | {:error, Error.t()}) :: :ok | {:error, Error.t()}
  def stored(:ok), do: :ok
  def stored({:error, _} = error), do: error

  defp pack(store, key, value, ttl, condition, size) do
    with packed when is_binary(packed) <- Compression.pack_term(value, :default, size),
         do: Native.shared_store_put_packed(store, key, packed, ttl, condition, size)
  end

  @doc "Whether a value can be copied at all, and the bytes that it takes."
  @spec measure(term()) :: {:ok, non_neg_integer(), non_neg_integer()} | {:error, Error.t()}
  def measure(value) do
    case Size.measure(value, @largest) do
      %{complete?: true, heap_bytes: heap, binary_bytes: binary} ->
        {:ok, heap, binary}

      size ->
        passed? = size.heap_bytes + size.binary_bytes > @largest
        text = if passed?, do: "is larger than #{@largest} bytes", else: "has over a million funs"
        {:error, Error.new(:too_large, "the value " <> text, %{max_size: @largest})}
    end
  end

  @doc """
  The store as single flight sees it: a look that counts a hit but no second miss, and what puts
  the value where none has been put meanwhile.
  """
  @spec access(store(), term(), timeout() | nil) :: %{look: function(), keep: function()}
  def access(store, key, ttl) do
    %{
      look: fn -> look(store, key) end,
      keep: fn value -> keep(store, key, value, StoreOptions.ttl(ttl)) end
    }
  end

  defp look(store, key) do
    with true <- native(shared_store_member(store, key)),
         {:error, %Error{error_type: :not_found}} <- fetch(store, key) do
      :missing
    else
      false -> :missing
      {_ok_or_error, _} = result -> result
      fault -> settle(fault, store)
    end
  end

  defp keep(store, key, value, ttl) do
    case put(store, key, value, ttl, :absent) do
      :conflict ->
        with :missing <- look(store, key), do: {:ok, value}

      # What cannot be measured to its end cannot be handed to others either.
      {:error, %Error{error_type: :too_large}} ->
        with {:ok, _, _} <- measure(value), do: {:ok, value}

      _stored_or_gone ->
        {:ok, value}
    end
  end

  @figures ~w(entries live_bytes dead_bytes overhead_bytes hits misses evictions expirations
              compactions)a

  @doc "The figures of a store, by name."
  @spec stats(store()) :: {:ok, map()} | {:error, Error.t()}
  def stats(store) do
    figures = Native.shared_store_stats(store)

    if is_tuple(figures),
      do: {:ok, @figures |> Enum.zip(Tuple.to_list(figures)) |> Map.new()},
      else: settle(figures, store)
  end

  # Our own data: its size is what was measured before it was packed.
  defp unpack(binary), do: Compression.unpack_term(binary, max_size: StoreOptions.ttl(:infinity))

  @doc "What every stub may answer, as users get it; the rest stays."
  @spec settle(term(), store()) :: term()
  # From a dirty scheduler: not even there.
  def settle(:dirty, _store), do: {:error, Error.new(:too_large, "the key is larger than 64 MiB")}
  def settle(:missing, _store), do: @missing
  def settle(:gone, _store), do: @gone
  def settle(:no_store, store), do: no_store(store)
  def settle({:error, %Error{}} = error, _store), do: error
  def settle(result, _store), do: Error.wrap(result)

  defp no_store(handle) when is_reference(handle) and node(handle) == node(),
    do: {:error, Error.new(:unknown_handle, "no store is behind this reference")}

  defp no_store(handle) when is_reference(handle) do
    text = "the store is on another node, which alone can use it"
    {:error, Error.new(:foreign_node, text, %{node: node(handle)})}
  end

  defp no_store(other) do
    raise ArgumentError,
          "expected a store (its name, an atom, or its handle, a reference), " <>
            "got: #{Options.given(other)}"
  end

  @doc "Raises unless the argument is a function of the arity."
  @spec fun!(term(), arity(), String.t()) :: :ok
  def fun!(fun, arity, _where) when is_function(fun, arity), do: :ok

  def fun!(other, arity, where) do
    raise ArgumentError,
          "expected a function of arity #{arity} in #{where}, got: #{Options.given(other)}"
  end
end
