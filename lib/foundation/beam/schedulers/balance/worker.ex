defmodule Foundation.BEAM.Schedulers.Balance.Worker do
  @moduledoc false

  # One of the processes that share the work of a caller. A `Task`, so that `$callers`, links and the
  # report of a crash are as everywhere else.
  #
  # While the function runs, its mailbox has nothing of ours: a function that receives takes away
  # only what is its own.

  alias Foundation.BEAM.Schedulers.Claim

  @doc "A worker that runs the function for the batches that it is sent."
  @spec start(reference(), (term() -> term()), pos_integer() | false) :: Task.t()
  def start(ref, fun, number) do
    Task.async(fn ->
      if number, do: pin(number)
      loop(ref, fun)
    end)
  end

  # The flag is not documented, nor known to Dialyzer; the VM has had it for as long as it has had
  # several schedulers.
  @dialyzer {:nowarn_function, pin: 1}
  defp pin(number) do
    online = :erlang.system_info(:schedulers_online)
    :erlang.process_flag(:scheduler, rem(number - 1, online) + 1)
  end

  defp loop(ref, fun) do
    receive do
      {^ref, :run, claim, batch} ->
        send(ref, {ref, self(), run(batch, fun, claim, [])})
        loop(ref, fun)

      # No result of the task: nobody waits for one.
      {^ref, :stop} ->
        exit(:normal)
    end
  end

  defp run([item | rest], fun, claim, results) do
    if Claim.begin?(claim, 1),
      do: run(rest, fun, claim, [fun.(item) | results]),
      else: Enum.reverse(results)
  end

  defp run([], _fun, _claim, results), do: Enum.reverse(results)
end
