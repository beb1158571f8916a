defmodule Foundation.SharedTermModel do
  @moduledoc """
  What shared terms must act like, for `proper_statem`: each handle has a term, and is live or
  released. The state names the module whose functions are called, so that a twin that is wrong can
  stand in for the real one.

  `info/1` is compared by its state alone: its figures are counted beside the calls, not with them.
  """

  @behaviour :proper_statem

  import :proper_types, only: [oneof: 1, frequency: 1, integer: 2]

  alias Foundation.BEAM.SharedTerm

  defmodule Real do
    @moduledoc "The calls, with answers that fit in one word."

    # Larger than what a normal scheduler copies.
    @large Map.new(1..10_000, &{&1, [&1]})

    def new(id), do: SharedTerm.new(value(id))
    def fetch(handle), do: handle |> SharedTerm.fetch() |> answer()
    def fetch_in(handle), do: handle |> SharedTerm.fetch_in([:key, 1, :id]) |> answer()
    def take(handle), do: handle |> SharedTerm.take() |> answer()
    def release(handle), do: SharedTerm.release(handle)

    def state(handle) do
      {:ok, %{state: state}} = SharedTerm.info(handle)
      state
    end

    defp value(id), do: %{key: [0, [id: id]], rest: if(rem(id, 2) == 0, do: [], else: @large)}

    defp answer({:ok, %{key: [0, [id: id]], rest: rest} = term}) when rest in [[], @large],
      do: if(term == value(id), do: id, else: :torn)

    defp answer({:ok, id}) when is_integer(id), do: id
    defp answer({:error, %Foundation.Error{error_type: type}}), do: type
  end

  defmodule Hasty do
    @moduledoc "A twin whose take is two calls: another process fits between them."

    defdelegate new(id), to: Real
    defdelegate fetch(handle), to: Real
    defdelegate fetch_in(handle), to: Real
    defdelegate release(handle), to: Real
    defdelegate state(handle), to: Real

    def take(handle) do
      answer = Real.fetch(handle)
      :erlang.yield()
      Real.release(handle)
      answer
    end
  end

  @impl true
  def initial_state, do: new(Real)

  @doc "The state before any call, of the module to be called."
  def new(module), do: %{module: module, handles: []}

  @impl true
  def command(%{module: module, handles: handles}) do
    others =
      for {name, weight} <- [fetch: 3, fetch_in: 3, take: 2, release: 1, state: 2],
          handles != [] do
        {weight, {:call, module, name, [oneof(for {handle, _, _} <- handles, do: handle)]}}
      end

    # More calls of few handles, so that they meet.
    weight = if length(handles) < 2, do: 5, else: 1
    frequency([{weight, {:call, module, :new, [integer(0, 99)]}} | others])
  end

  @impl true
  def precondition(_state, {:call, _, :new, _}), do: true

  def precondition(%{handles: handles}, {:call, _, _, [handle]}),
    do: List.keymember?(handles, handle, 0)

  @impl true
  def next_state(state, handle, {:call, _, :new, [id]}),
    do: %{state | handles: [{handle, id, :live} | state.handles]}

  def next_state(state, _result, {:call, _, name, [handle]}) when name in [:take, :release] do
    {_, id, _} = List.keyfind!(state.handles, handle, 0)
    %{state | handles: List.keyreplace(state.handles, handle, 0, {handle, id, :released})}
  end

  def next_state(state, _result, _call), do: state

  @impl true
  def postcondition(_state, {:call, _, :new, _}, result), do: is_reference(result)

  def postcondition(%{handles: handles}, {:call, _, name, [handle]}, result) do
    {_, id, state} = List.keyfind!(handles, handle, 0)
    result == expected(name, id, state)
  end

  defp expected(:release, _id, _state), do: :ok
  defp expected(:state, _id, state), do: state
  defp expected(_read, id, :live), do: id
  defp expected(_read, _id, :released), do: :released
end
