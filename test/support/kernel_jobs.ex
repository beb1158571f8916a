defmodule Foundation.KernelJobs do
  @moduledoc """
  Drives jobs of kernels as their callers do, one NIF call a slice.
  """

  alias Foundation.Native

  @doc "The result of a job in so many parts, each stepped by a process of its own; or the error."
  def run(name, kind, data, args \\ [], parts \\ 1) do
    with {:ok, job} <- new(name, kind, data, args),
         {:ok, made} <- Native.kernels_split(job, parts),
         :ok <- step_all(job, made),
         :ok <- Native.kernels_join(job) do
      # Of no pairs nobody can tell that they are some.
      with {:ok, []} when name == :words <- finish(job), do: {:ok, %{}}
    end
  end

  @doc "The same in as few calls as there can be."
  def run_whole(name, kind, data, args \\ []) do
    with {:ok, job} <- new(name, kind, data, args), do: finish(job)
  end

  @doc "What is left to do of a job whose parts are joined, and its result."
  def finish(job) do
    case Native.kernels_run(job) do
      {:more, _done, _all} -> finish(job)
      {:more, acc} -> take(job, acc)
      {:pairs, pairs} -> take(job, [], pairs)
      {:ok, [{word, _} | _] = pairs} when is_binary(word) -> {:ok, Map.new(pairs)}
      result -> result
    end
  end

  @doc "A job that has all of its input."
  def new(name, kind, data, args \\ []) do
    fed = if kind in [:list, :many], do: [], else: data

    with {:ok, job} <- Native.kernels_new(name, kind, fed, args),
         :ok <- if(fed == [], do: feed(job, data), else: :ok) do
      {:ok, job}
    end
  end

  @doc "Feeds a list in slices."
  def feed(job, list) do
    case Native.kernels_feed(job, list) do
      {:more, rest} -> feed(job, rest)
      fed -> fed
    end
  end

  @doc "Steps a part until it is done."
  def step(job, part, before \\ 0) do
    case Native.kernels_step(job, part) do
      {:more, done, all} when done >= before and done <= all -> step(job, part, done)
      :done -> :ok
      {:error, _} = error -> error
    end
  end

  @doc "Takes the result in slices; of words a map."
  def take(job, acc \\ [], pairs \\ []) do
    case Native.kernels_take(job, acc) do
      {:more, acc} -> take(job, acc, pairs)
      {:pairs, more} -> take(job, acc, more ++ pairs)
      {:ok, [{word, _} | _] = more} when is_binary(word) -> {:ok, Map.new(more ++ pairs)}
      result -> result
    end
  end

  defp step_all(job, 1), do: step(job, 0)

  defp step_all(job, parts) do
    tasks = for part <- 0..(parts - 1), do: Task.async(fn -> step(job, part) end)
    Enum.find(Task.await_many(tasks, 60_000), :ok, &(&1 != :ok))
  end
end
