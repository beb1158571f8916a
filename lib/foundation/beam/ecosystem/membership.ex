defmodule Foundation.BEAM.Ecosystem.Membership do
  @moduledoc false

  # Workers that come and go while the ecosystem runs. What was returned holds, whichever supervisor is killed
  # in between: see `Additions`. Both come to their end also where the caller is killed (`Apart`).

  alias Foundation.BEAM.Ecosystem.{Additions, Apart, Reaper, Roster, Tell, Ticker, Workers}
  alias Foundation.{Error, Options, Reason}

  @doc "A worker with a module and options of its own, under the next number."
  @spec add(Roster.table(), module(), keyword()) :: {:ok, pid()} | {:error, Error.t()}
  def add(table, module, opts) do
    if Roster.get(table, :state) == :starting,
      do: {:error, not_ready(table)},
      else: Apart.run(fn -> adding(table, Roster.plan(table), module, opts) end)
  end

  defp adding(table, plan, module, opts) do
    number = Roster.next(table)
    {spawn_opt?, opts} = Keyword.pop(opts, :spawn_opt, false)
    Additions.begin(table, number)
    arguments = [number, module, opts, spawn_opt? == true]

    case Workers.start(Workers.supervisor(table, plan, number), plan, arguments) do
      {:ok, pid} ->
        Ticker.needed(table, plan, module)
        {:ok, pid}

      not_started ->
        fault = Additions.finish(table, number)
        # Its supervisor may have been killed when it had just started.
        discard(table, plan, number)
        {:error, failed(table, number, fault || reason(not_started))}
    end
  end

  # The call has the whole worker in it.
  defp reason({:error, {reason, {GenServer, :call, _call}}}), do: {:supervisor, reason}
  defp reason({:error, reason}), do: reason
  defp reason(:ignore), do: :removed

  defp failed(table, number, reason) do
    text = "the worker did not start: #{Reason.text(reason)}"
    context = %{id: Roster.id(table), role: {:worker, number}, reason: reason}
    Error.new(:start_failed, text, context)
  end

  defp not_ready(table) do
    id = Roster.id(table)
    text = "the ecosystem #{Options.given(id)} is still starting: no worker can be added yet"
    Error.new(:not_ready, text, %{id: id})
  end

  @doc "Ends a worker for good, and forgets it; one that is dead as well."
  @spec remove(Roster.table(), pid()) :: :ok | {:error, :not_found}
  def remove(table, pid) do
    itself? = pid == self() or pid in Process.get(:"$ancestors", [])

    Apart.run(fn ->
      number = Roster.worker(table, pid)

      if number && Roster.get(table, :state) != :starting && Additions.leave(table, number, pid),
        do: left(table, number, pid, itself?),
        else: {:error, :not_found}
    end)
  end

  defp left(table, number, pid, false) do
    forgotten(table, Roster.plan(table), number, pid)
    Additions.forget(table, number)
  end

  # One that waited for its own end would only be killed for it, and so would one that waits for who does.
  defp left(table, number, pid, true) do
    spawn(fn ->
      try do
        left(table, number, pid, false)
      rescue
        error in ArgumentError ->
          # The table is gone with the ecosystem.
          if :ets.info(table, :owner) != :undefined, do: reraise(error, __STACKTRACE__)
      end
    end)

    :ok
  end

  defp discard(table, plan, number) do
    with {_, pid, _, _, _, _} <- Roster.member(table, number) do
      Additions.leave(table, number, pid)
      forgotten(table, plan, number, pid)
    end

    Additions.forget(table, number)
  end

  # Ends a process whose row is gone. It may have died, and be back, in the meantime: its supervisor
  # has said so by then. Where that one is gone, or being restarted, its workers are, or soon will be.
  defp forgotten(table, plan, number, pid) do
    if terminate(Workers.supervisor(table, plan, number), pid) != :ok,
      do: Reaper.gone(pid, plan.shutdown_timeout)

    Tell.steward(table, {:removed, number, pid})

    with {_, again, _, _, _, _} <- Roster.member(table, number) do
      Additions.leave(table, number, again)
      forgotten(table, plan, number, again)
    end
  end

  defp terminate(supervisor, pid) do
    DynamicSupervisor.terminate_child(supervisor, pid)
  catch
    :exit, _it_has_ended -> :gone
  end
end
