defmodule Foundation.BEAM.Ecosystem.Snapshots.Quiet do
  @moduledoc false

  # Which members are to be asked for a snapshot. One that has done nothing since the last is left alone: to
  # be asked would start its own timeout, and its `hibernate_after`, anew, so that neither ever came.
  #
  # A member tells how many reductions it had when its snapshot was taken. From there back into the loop
  # of its behaviour it needs a few more, always as many, and whatever it does then costs at least as many
  # again. How many they are differs between versions of OTP, so it is measured, once in a ticker, with
  # processes of its own.

  alias Foundation.BEAM.Ecosystem.{Inside, Snapshots}
  alias Foundation.BEAM.Memory.Census

  @behaviour :gen_statem

  # Milliseconds that a look at one member may take, and at all: who is inside a native function answers
  # nobody.
  @patience 20
  @deadline 200

  @tries 5

  # How many reductions there were, `nil` where the member has none to compare with; `:unknown` where it is
  # not even known what it is.
  @type mark :: non_neg_integer() | nil | :unknown
  @type verdict :: :ask | :leave | :impossible

  @doc "What to do of each of the processes, by what is known of it, and of the way back."
  @spec verdicts([{pid(), mark()}], non_neg_integer()) :: %{pid() => verdict()}
  def verdicts([], _back), do: %{}

  def verdicts(members, back) do
    {known, unknown} = Enum.split_with(members, fn {_pid, mark} -> mark != :unknown end)
    marks = Map.new(members)

    # Who is known can be asked all the same, when nobody has had the time to look: so it is no loss.
    pids = for {pid, mark} <- unknown ++ known, mark != nil, do: pid
    probe = fn pid -> probe(pid, marks[pid], back) end
    {found, _late} = Census.map(pids, probe, patience: @patience, deadline: @deadline)

    Map.merge(
      Map.new(marks, fn {pid, mark} -> {pid, if(mark == :unknown, do: :leave, else: :ask)} end),
      Map.new(found)
    )
  end

  # Runs in another process.
  defp probe(pid, :unknown, _back),
    do: if(Inside.possible?(pid), do: :ask, else: :impossible)

  defp probe(pid, mark, back) do
    case Process.info(pid, :reductions) do
      {:reductions, now} when now - mark <= back -> :leave
      _more_or_gone -> :ask
    end
  end

  @doc "How many reductions the way back takes: measured, in about ten milliseconds."
  @spec back() :: non_neg_integer()
  def back do
    table = :ets.new(__MODULE__, [:public])
    {:ok, server} = Agent.start_link(fn -> nil end)
    {:ok, machine} = :gen_statem.start_link(__MODULE__, nil, [])
    back = max(measured(server, table), measured(machine, table))

    for pid <- [server, machine] do
      Process.unlink(pid)
      Process.exit(pid, :kill)
    end

    :ets.delete(table)
    back
  end

  # The least: a collection on the way costs more.
  defp measured(pid, table) do
    Enum.min(
      for _ <- 1..@tries do
        Snapshots.ask(table, 0, pid, __MODULE__, 1_000, self())

        receive do
          {:snapshot, 0, ^pid, {:ok, _bytes}, mark} -> at_rest(pid) - mark
        end
      end
    )
  end

  # To ask a process that runs costs it reductions: so it gets the time to come to rest.
  defp at_rest(pid) do
    receive do
    after
      1 -> :ok
    end

    case Process.info(pid, [:status, :reductions]) do
      [status: :waiting, reductions: reductions] -> reductions
      _running -> at_rest(pid)
    end
  end

  @spec snapshot(term()) :: nil
  def snapshot(_state), do: nil

  @impl :gen_statem
  def callback_mode, do: :handle_event_function

  @impl :gen_statem
  def init(nil), do: {:ok, nil, nil}

  @impl :gen_statem
  def handle_event(_type, _event, _state, _data), do: :keep_state_and_data
end
