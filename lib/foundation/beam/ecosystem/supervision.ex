defmodule Foundation.BEAM.Ecosystem.Supervision do
  @moduledoc false

  # What the steward does about the supervisors below the top whose end may be the end of all: the one of
  # all members, or those of the workers.

  alias Foundation.BEAM.Ecosystem.{Healing, Reaper, Roster}

  # Milliseconds after which one that was to come back is looked for.
  @patience 1_000

  @doc "Monitors all that there are."
  @spec watch(struct()) :: [reference() | nil]
  def watch(%{table: table, plan: plan} = state),
    do: for(part <- 0..plan.parts, do: watch(state, part, Roster.get(table, {:supervisor, part})))

  @doc "Monitors that one, if its end matters."
  @spec watch(struct(), non_neg_integer(), pid() | nil) :: reference() | nil
  def watch(%{plan: %{nested?: nested?}}, part, pid) do
    if nested? == (part == 0),
      do: :erlang.monitor(:process, pid, tag: {:supervisor, part})
  end

  @doc "One has ended."
  @spec down(struct(), non_neg_integer(), pid(), term()) :: term()
  # It has restarted too often: the end of all.
  def down(state, _part, _pid, :shutdown), do: finish(state)

  # It comes back, unless members are not to come back with it. When the steward was itself restarted,
  # it does not know the reason.
  def down(state, part, pid, _reason) do
    if state.plan.nested? and not Healing.healing?(state),
      do: finish(state),
      else: Process.send_after(self(), {:gone?, part, pid}, @patience)
  end

  @doc "Ends all where it is not back, and not to come."
  @spec look(struct(), non_neg_integer(), pid()) :: pid()
  def look(state, part, pid),
    do: spawn(fn -> if lost?(state, part, pid), do: Reaper.end_all(state.supervisor) end)

  # The top supervisor answers when it is not starting it.
  defp lost?(%{table: table, supervisor: supervisor}, part, pid) do
    coming =
      for {_, :restarting, _, _} <- DynamicSupervisor.which_children(supervisor), do: :restarting

    coming == [] and Roster.get(table, {:supervisor, part}) == pid
  catch
    _kind, _it_has_ended -> false
  end

  defp finish(%{ending?: true}), do: nil
  defp finish(%{supervisor: supervisor}), do: spawn(fn -> Reaper.end_all(supervisor) end)
end
