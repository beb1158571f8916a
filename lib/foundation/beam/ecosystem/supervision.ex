defmodule Foundation.BEAM.Ecosystem.Supervision do
  @moduledoc false

  # What the steward does about the supervisors below the top whose end may be the end of all: the one of
  # all members, or those of the workers.

  alias Foundation.BEAM.Ecosystem.{Healing, Living, Reaper, Roster}

  # Milliseconds after which one that was to come back is looked for.
  @patience 1_000

  # Milliseconds that the end of a member may come after that of its supervisor.
  @late 500

  @doc "Monitors all that there are."
  @spec watch(struct()) :: struct()
  def watch(%{table: table, plan: plan} = state) do
    Enum.reduce(0..plan.parts, state, &watch(&2, &1, Roster.get(table, {:supervisor, &1})))
  end

  @doc "Monitors that one, if its end matters."
  @spec watch(struct(), non_neg_integer(), pid() | nil) :: struct()
  def watch(%{plan: %{nested?: nested?}} = state, part, pid) do
    if nested? == (part == 0), do: :erlang.monitor(:process, pid, tag: {:supervisor, part})
    state
  end

  @doc "One has ended."
  @spec down(struct(), non_neg_integer(), pid(), term()) :: struct()
  # It has restarted too often: the end of all.
  def down(state, _part, _pid, :shutdown), do: finish(%{state | exhausted?: true})

  # It comes back, unless members are not to come back with it. When the steward was itself restarted,
  # it does not know the reason.
  def down(%{plan: plan} = state, part, pid, _reason) do
    if plan.nested? and not Healing.healing?(state),
      do: finish(state),
      else: later(state, part, pid)
  end

  defp later(state, part, pid) do
    Process.send_after(self(), {:gone?, part, pid}, @patience)
    state
  end

  @doc "Ends all where it is not back, and not to come."
  @spec look(struct(), non_neg_integer(), pid()) :: struct()
  def look(state, part, pid) do
    spawn(fn -> if lost?(state, part, pid), do: Reaper.end_all(state.supervisor) end)
    state
  end

  @doc """
  The state at the end of all. A supervisor that restarts too often may be heard of before the member whose
  end was too much: what is told of that is waited for.
  """
  @spec why(struct(), (tuple(), struct() -> struct())) :: struct()
  def why(%{ending?: false, over: nil, pending: pending} = state, handle) do
    known? = Enum.any?(pending, fn {_pid, {_, failure, _, _}} -> failure end)

    if not known? and (state.exhausted? or coordinator_dead?(state.table)),
      do: hear(state, handle),
      else: state
  end

  def why(state, _handle), do: state

  # The top supervisor itself restarts it, where there is no other above it.
  defp coordinator_dead?(table) do
    case Roster.up(table, 0) do
      {:ok, pid} -> not Living.living?(pid)
      :error -> false
    end
  rescue
    # The top was killed, and its table is gone.
    ArgumentError -> false
  end

  defp hear(state, handle) do
    receive do
      {number, _monitor, :process, _pid, _reason} = down when is_integer(number) ->
        down |> handle.(state) |> why(handle)

      {{:again, _number, _begun}, _monitor, :process, _pid, _reason} = down ->
        down |> handle.(state) |> why(handle)
    after
      @late -> state
    end
  rescue
    # The table is gone.
    ArgumentError -> state
  end

  # The top supervisor answers when it is not starting it.
  defp lost?(%{table: table, supervisor: supervisor}, part, pid) do
    coming =
      for {_, :restarting, _, _} <- DynamicSupervisor.which_children(supervisor), do: :restarting

    coming == [] and Roster.get(table, {:supervisor, part}) == pid
  catch
    _kind, _it_has_ended -> false
  end

  defp finish(%{ending?: true} = state), do: %{state | exhausted?: false}

  defp finish(%{supervisor: supervisor} = state) do
    spawn(fn -> Reaper.end_all(supervisor) end)
    state
  end
end
