defmodule Foundation.Raw do
  @moduledoc """
  A member of an ecosystem that is no process of OTP's, traps exits, and ends when it is killed, or told to
  `:go`. It tells the test:

    * `{:raw, role, pid}` - it is there
    * `{:asked, role, pid, reason}` - it got an exit signal

  Options: `test:`, the test's pid; `linked: false` for one that does not link itself; `hang:`, an
  `:atomics` whose first element above 0 has `start_link/1` not return, with a process that is there.
  """

  def start_link(opts) do
    supervisor = self()
    spawn = if Keyword.get(opts, :linked, true), do: &spawn_link/1, else: &spawn/1

    pid =
      spawn.(fn ->
        Process.flag(:trap_exit, true)
        send(supervisor, {:there, self()})
        loop(opts)
      end)

    receive do: ({:there, ^pid} -> :ok)
    tell(opts, {:raw, opts[:role], pid})
    if opts[:hang] && :atomics.get(opts[:hang], 1) > 0, do: receive(do: (:never -> :ok))
    {:ok, pid}
  end

  defp loop(opts) do
    receive do
      :go ->
        :ok

      {:EXIT, _from, reason} ->
        tell(opts, {:asked, opts[:role], self(), reason})
        loop(opts)

      {:shutdown, ecosystem, to} ->
        send(to, {:ended, Foundation.BEAM.Processes.shutdown_ecosystem(ecosystem)})
        loop(opts)

      _other ->
        loop(opts)
    end
  end

  defp tell(opts, message), do: if(opts[:test], do: send(opts[:test], message))
end
