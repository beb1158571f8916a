defmodule Foundation.BEAM.Ecosystem.Shutdown do
  @moduledoc false

  # Ends an ecosystem: first as OTP does it, workers, then the coordinator, then the steward, each with
  # `:shutdown` and a time limit; and when that takes too long, by killing whatever is left.

  alias Foundation.BEAM.Ecosystem
  alias Foundation.BEAM.Ecosystem.{Handle, Inheritance, Reaper, Roster, Steward}
  alias Foundation.{Error, Options}

  # Supervisors need time of their own beside that of members.
  @grace 1_000

  @schema Options.schema!(
            timeout: [
              type: :timeout,
              doc:
                "Milliseconds until all that is left is killed. Default: two times the " <>
                  "ecosystem's `:shutdown_timeout`, and one second."
            ]
          )

  @spec schema() :: Options.schema()
  def schema, do: @schema

  @spec run(Ecosystem.ref(), String.t(), keyword()) :: :ok | {:error, Error.t()}
  def run(ecosystem, where, opts) do
    opts = Options.validate!(opts, @schema, where)

    ended =
      Handle.with_table(ecosystem, where, fn supervisor, table ->
        timeout = opts.timeout || limit(Roster.plan(table))

        if part_of_it?(supervisor, table),
          do: begin(supervisor, table, timeout),
          else: stop(supervisor, table, timeout)
      end)

    with {:error, %Error{error_type: :not_found}} <- ended, do: :ok
  end

  # One that waited for its own end would only be killed for it. What OTP has started below knows so itself.
  defp part_of_it?(supervisor, table),
    do: supervisor in Process.get(:"$ancestors", []) or Roster.place(table, self()) != nil

  defp begin(supervisor, table, timeout) do
    spawn(fn -> stop(supervisor, table, timeout) end)
    :ok
  end

  @doc """
  Ends all that stand under Foundation's supervisor, all at once: it takes as long as that which takes
  longest.
  """
  @spec all(Supervisor.supervisor()) :: :ok
  def all(ecosystems) do
    for({_, pid, _, _} <- DynamicSupervisor.which_children(ecosystems), is_pid(pid), do: pid)
    |> Enum.map(fn pid -> spawn_monitor(fn -> run(pid, "Foundation's end", []) end) end)
    |> Enum.each(fn {pid, monitor} ->
      receive do: ({:DOWN, ^monitor, :process, ^pid, _} -> :ok)
    end)
  catch
    :exit, _it_has_ended -> :ok
  end

  @doc false
  # Workers have their time at once, then the coordinator.
  @spec limit(%{
          :shutdown_timeout => pos_integer() | nil,
          optional(atom()) => term()
        }) :: pos_integer()
  def limit(%{shutdown_timeout: timeout}) when is_integer(timeout),
    do: min(2 * timeout + @grace, 0xFFFFFFFF)

  @doc "Ends it and waits for that; `:ok` also where it has ended before."
  @spec stop(pid(), Roster.table(), timeout()) :: :ok
  def stop(supervisor, table, timeout) do
    ending(table)
    members = Reaper.members(table)
    monitor = Process.monitor(supervisor)

    orderly(supervisor, table, timeout)
    Reaper.kill_tree(supervisor, table)

    receive do
      {:DOWN, ^monitor, :process, ^supervisor, _reason} -> :ok
    end

    Enum.each(members, &Reaper.gone(&1, 1))
    Inheritance.gone(table)
  end

  # In a process of its own: replies that come too late stay there.
  defp orderly(supervisor, table, timeout) do
    {stopper, stopping} = spawn_monitor(fn -> in_order(supervisor, table) end)

    receive do
      {:DOWN, ^stopping, :process, ^stopper, _reason} -> :ok
    after
      timeout ->
        Process.demonitor(stopping, [:flush])
        Process.exit(stopper, :kill)
    end
  rescue
    # There is no room for it, nor for what supervisors need to end somebody.
    SystemLimitError -> :ok
  end

  # Workers of all supervisors at once, then the coordinator, then the rest.
  defp in_order(supervisor, table) do
    plan = Roster.plan(table)

    if plan.nested? do
      Reaper.end_all(Roster.get(table, {:supervisor, 0}))
    else
      stop_parts(for part <- 1..plan.parts, do: Roster.get(table, {:supervisor, part}))
      coordinator = Roster.member(table, 0)
      if coordinator, do: DynamicSupervisor.terminate_child(supervisor, elem(coordinator, 1))
    end

    Reaper.end_all(supervisor)
  rescue
    # Somebody else ends it as well, and the table is gone: the caller sees to the rest.
    ArgumentError -> :ok
  end

  defp stop_parts([part]), do: Reaper.end_all(part)

  defp stop_parts(parts) do
    parts
    |> Enum.map(fn part -> spawn_monitor(fn -> Reaper.end_all(part) end) end)
    |> Enum.each(fn {pid, monitor} ->
      receive do: ({:DOWN, ^monitor, :process, ^pid, _} -> :ok)
    end)
  end

  defp ending(table) do
    Roster.put(table, :state, :ending)
    Steward.ending(table)
  rescue
    # The table is gone, and the supervisor with it.
    ArgumentError -> :ok
  end
end
