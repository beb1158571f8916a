defmodule Foundation.SharedStoreModel do
  @moduledoc """
  What a store must act like, for `proper_statem`: a map. The state names the store and the module
  whose functions are called, so that a twin that is wrong can stand in for the real one.

  Every call is about one key, because a store is linearizable for each key: what it says of several
  at once (`size/1`, a stream) is compared when the calls are over.

  An entry is `{:number, n}`, or `{:term, id}` for one of the terms that a number makes: larger than
  what is copied straight to the caller, larger than what a normal scheduler copies, or, where the
  store is made so, compressed.
  """

  @behaviour :proper_statem

  import :proper_types, only: [oneof: 1, frequency: 1, integer: 2, exactly: 1]

  alias Foundation.BEAM.SharedStore
  alias Foundation.Error

  defmodule Real do
    @moduledoc "The calls, with answers that fit in one word."

    @medium Enum.to_list(1..2_000)
    @large Map.new(1..10_000, &{&1, [&1]})

    def put(store, key, id), do: SharedStore.put(store, key, value(id))
    def put_many(store, key, id), do: SharedStore.put_many(store, [{key, value(id)}])
    def put_new(store, key, id), do: store |> SharedStore.put_new(key, value(id)) |> answer()
    def fetch(store, key), do: store |> SharedStore.fetch(key) |> answer()
    def fetch_in(store, key), do: store |> SharedStore.fetch_in(key, [0]) |> answer()

    def fetch_many(store, key) do
      case SharedStore.fetch_many(store, [key]) do
        {:ok, [{^key, value}]} -> answer({:ok, value})
        {:ok, []} -> :not_found
      end
    end

    def take(store, key), do: store |> SharedStore.take(key) |> answer()
    def delete(store, key), do: SharedStore.delete(store, key)
    def delete_many(store, key), do: SharedStore.delete_many(store, [key])
    def member(store, key), do: SharedStore.member?(store, key)
    def expire(store, key), do: store |> SharedStore.touch(key, 0) |> answer()
    def increment(store, key), do: store |> SharedStore.increment(key) |> answer()
    def update(store, key), do: store |> SharedStore.update(key, &next/1) |> answer()

    def pop(store, key),
      do: store |> SharedStore.get_and_update(key, fn _ -> :pop end) |> answer()

    def swap(store, key, id),
      do: store |> SharedStore.get_and_update(key, &{&1, value(id)}) |> answer()

    def compare_and_put(store, key, expected, id),
      do: store |> SharedStore.compare_and_put(key, value(expected), value(id)) |> answer()

    def get_or_store(store, key, id),
      do: store |> SharedStore.get_or_store(key, fn -> value(id) end) |> answer()

    @doc "The value of an entry."
    def value(id) when rem(id, 4) < 2, do: id
    def value(id) when rem(id, 4) == 2, do: {id, @medium}
    def value(id), do: {id, @large}

    @doc "What `update/2` makes of a value."
    def next(number) when is_integer(number), do: number + 1
    def next({id, _rest}), do: value(id + 4)

    @doc "A value, or what a call returned, in one word."
    def answer({:ok, nil}), do: :none
    def answer({:ok, number}) when is_integer(number), do: {:number, number}

    def answer({:ok, {id, _rest} = term}),
      do: if(term == value(id), do: {:term, id}, else: :torn)

    def answer({:error, %Error{error_type: type}}), do: type
    def answer(:ok), do: :ok
  end

  defmodule Hasty do
    @moduledoc "A twin whose increment is two calls: another process fits between them."

    for {name, arity} <- Real.__info__(:functions), {name, arity} != {:increment, 2} do
      args = Macro.generate_arguments(arity, __MODULE__)
      defdelegate unquote(name)(unquote_splicing(args)), to: Real
    end

    def increment(store, key) do
      with {:ok, number} when is_integer(number) <- SharedStore.fetch(store, key) do
        :erlang.yield()
        :ok = SharedStore.put(store, key, number + 1)
        {:number, number + 1}
      else
        {:ok, _term} -> :not_a_number
        {:error, %Error{error_type: :not_found}} -> Real.increment(store, key)
      end
    end
  end

  @doc "The state before any call, of an empty store."
  def new(module, store), do: %{module: module, store: store, map: %{}}

  @impl true
  def initial_state, do: new(Real, nil)

  @impl true
  def command(%{module: module, store: store}) do
    # Few keys, so that calls meet; `1` and `1.0` are two.
    key = oneof([exactly(1), exactly(1.0), exactly({:key, [1]})])
    id = integer(0, 7)

    call = fn name, args -> {:call, module, name, [store, key | args]} end

    frequency(
      for(
        {name, weight} <- [fetch: 3, take: 2, increment: 4, update: 3],
        do: {weight, call.(name, [])}
      ) ++
        for(
          name <- ~w(fetch_in fetch_many delete delete_many member expire pop)a,
          do: {1, call.(name, [])}
        ) ++
        for(name <- ~w(put_many put_new swap get_or_store)a, do: {1, call.(name, [id])}) ++
        [{4, call.(:put, [id])}, {2, call.(:compare_and_put, [id, id])}]
    )
  end

  @impl true
  def precondition(_state, _call), do: true

  @impl true
  def next_state(state, _result, {:call, _, name, [_store, key | args]}) do
    {_answer, map} = run(name, state.map, key, args)
    %{state | map: map}
  end

  @impl true
  def postcondition(state, {:call, _, name, [_store, key | args]}, result) do
    {answer, _map} = run(name, state.map, key, args)
    result == answer
  end

  # The answer of a call, and the map after it.
  defp run(name, map, key, [id]) when name in [:put, :put_many], do: {:ok, put(map, key, id)}

  defp run(:put_new, map, key, [id]),
    do: if(is_map_key(map, key), do: {:already_exists, map}, else: {:ok, put(map, key, id)})

  defp run(name, map, key, []) when name in [:fetch, :fetch_many],
    do: {Map.get(map, key, :not_found), map}

  defp run(:fetch_in, map, key, []) do
    case map do
      %{^key => {:term, id}} -> {{:number, id}, map}
      %{^key => {:number, _}} -> {:path_not_found, map}
      _ -> {:not_found, map}
    end
  end

  defp run(:take, map, key, []), do: Map.pop(map, key, :not_found)
  defp run(:pop, map, key, []), do: Map.pop(map, key, :none)
  defp run(:swap, map, key, [id]), do: {Map.get(map, key, :none), put(map, key, id)}

  defp run(name, map, key, []) when name in [:delete, :delete_many],
    do: {:ok, Map.delete(map, key)}

  defp run(:member, map, key, []), do: {is_map_key(map, key), map}

  defp run(:expire, map, key, []),
    do: if(is_map_key(map, key), do: {:ok, Map.delete(map, key)}, else: {:not_found, map})

  defp run(:increment, map, key, []) do
    case Map.get(map, key, {:number, 0}) do
      {:number, n} -> {{:number, n + 1}, Map.put(map, key, {:number, n + 1})}
      {:term, _} -> {:not_a_number, map}
    end
  end

  defp run(:update, map, key, []) do
    case map do
      %{^key => {:number, n}} -> {{:number, n + 1}, Map.put(map, key, {:number, n + 1})}
      %{^key => {:term, id}} -> {{:term, id + 4}, Map.put(map, key, {:term, id + 4})}
      _ -> {:not_found, map}
    end
  end

  defp run(:compare_and_put, map, key, [expected, id]) do
    entry = entry(expected)

    case map do
      %{^key => ^entry} -> {:ok, put(map, key, id)}
      %{^key => _other} -> {:conflict, map}
      _ -> {:not_found, map}
    end
  end

  defp run(:get_or_store, map, key, [id]) do
    map = Map.put_new(map, key, entry(id))
    {map[key], map}
  end

  defp put(map, key, id), do: Map.put(map, key, entry(id))

  defp entry(id) when rem(id, 4) < 2, do: {:number, id}
  defp entry(id), do: {:term, id}
end
