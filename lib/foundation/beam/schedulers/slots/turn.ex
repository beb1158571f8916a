defmodule Foundation.BEAM.Schedulers.Slots.Turn do
  @moduledoc false

  # A slot as who asks for it sees it. Each wait has a reference of its own, which is a monitor of
  # the arbiter and an alias at once: with the answer both end, so that nothing comes later. It is
  # made where the waiting begins, so that the VM looks at no message that is older.

  alias Foundation.BEAM.Schedulers.{Ends, Slots}

  # As an atom: this module depends on nothing above it.
  @public :"Elixir.Foundation.BEAM.Schedulers"

  # What a turn has to last, in nanoseconds: short steps of a job (making its kernels, their result)
  # take no turns of their own, or a short job would have to wait once for each.
  @least 500_000

  # Where there is no arbiter, its supervisor is about to start one: so often, and so many milliseconds
  # apart, it is looked for.
  @looks 200
  @look_ms 5

  @enforce_keys [:job, :id]
  defstruct [:job, :id, :arbiter, :pressure, :revoked, :since]

  @typedoc "Of a part of a job; `pressure` is nil while it has no slot, else it has it `since` then."
  @type t :: %__MODULE__{}

  @doc "For a part of the job of that reference."
  @spec new(reference()) :: t()
  def new(job), do: %__MODULE__{job: job, id: make_ref()}

  @doc "Returns once the part has a slot for a slice: the one that it has, unless its turn is over."
  @spec take(t(), Ends.t()) :: {:ok, t()} | Ends.verdict()
  def take(%__MODULE__{} = turn, ends) do
    if kept?(turn), do: {:ok, turn}, else: ask(turn, ends)
  end

  # The place in the queue is lost with an arbiter that dies; the next one is asked anew.
  defp ask(turn, ends) do
    with {:ok, arbiter} <- arbiter(ends, @looks),
         :down <- wait(turn, arbiter, ends),
         do: ask(turn, ends)
  end

  @doc "Gives the slot back. To be called in any case: where there is none, nothing happens."
  @spec give_back(t()) :: t()
  def give_back(%__MODULE__{id: id} = turn) do
    # Also where it seems to have none: it may have been granted one that it waited for no more.
    if arbiter = Process.whereis(Slots), do: Slots.drop(arbiter, id)
    %{turn | pressure: nil}
  end

  # The arbiter may be another one by now, which knows nothing of this slot, or may have taken slots
  # back, this one or another.
  defp kept?(%{pressure: nil}), do: false

  defp kept?(%{pressure: pressure} = turn) do
    (:atomics.get(pressure, 1) == 0 or now() - turn.since < @least) and
      :atomics.get(pressure, 2) == turn.revoked and Process.whereis(Slots) == turn.arbiter
  end

  defp now, do: :erlang.monotonic_time(:nanosecond)

  defp arbiter(_ends, 0), do: exit({:noproc, {@public, :cpu_intensive, 3}})

  defp arbiter(ends, looks) do
    case Process.whereis(Slots) do
      arbiter when is_pid(arbiter) -> {:ok, arbiter}
      nil -> with :ok <- Ends.check(ends), do: look_again(ends, looks)
    end
  end

  defp look_again(ends, looks) do
    receive do
    after
      @look_ms -> arbiter(ends, looks - 1)
    end
  end

  defp wait(turn, arbiter, ends) do
    ref = :erlang.monitor(:process, arbiter, alias: :reply_demonitor)
    Slots.want(arbiter, turn.job, turn.id, ref)
    answer = await(ref, %{turn | arbiter: arbiter}, ends)
    Process.demonitor(ref, [:flush])
    flush(ref)
    answer
  end

  defp await(ref, turn, ends) do
    receive do
      {^ref, :granted, {pressure, revoked}} ->
        {:ok, %{turn | pressure: pressure, revoked: revoked, since: now()}}

      {:DOWN, ^ref, _, _, _reason} ->
        :down
    after
      Ends.look_ms(ends) -> with :ok <- Ends.check(ends), do: await(ref, turn, ends)
    end
  end

  # What was on its way when the waiting ended in another way.
  defp flush(ref) do
    receive do
      {^ref, :granted, _slot} -> flush(ref)
    after
      0 -> :ok
    end
  end
end
