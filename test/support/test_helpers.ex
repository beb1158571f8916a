defmodule Foundation.TestHelpers do
  @moduledoc """
  What tests need of what is around them: services and their ends, configuration for the time of a
  test, results and errors.

      setup do
        put_test_config(:memory_monitor, interval: 50)
        {:ok, namespace: test_namespace()}
      end

  Waiting, measuring and cleaning up after processes is in `Foundation.ConcurrentTestHelpers`.
  """

  import ExUnit.Assertions, only: [flunk: 1]

  alias Foundation.{ConcurrentTestHelpers, Error, ProcessRegistry}

  # Services

  @doc "A namespace of `Foundation.ProcessRegistry` that no other test has."
  @spec test_namespace() :: {:test, reference()}
  def test_namespace, do: {:test, make_ref()}

  @doc """
  Starts a server under a name of `Foundation.ProcessRegistry`, for as long as the test runs. Arguments
  are those of `GenServer.start_link/2`.
  """
  @spec start_service(term(), term(), module(), term()) :: pid()
  def start_service(namespace, key, module, arg) do
    name = ProcessRegistry.via(namespace, key)
    start = {GenServer, :start_link, [module, arg, [name: name]]}
    ExUnit.Callbacks.start_supervised!(%{id: {namespace, key}, start: start})
  end

  @doc "The process of a name, as soon as there is one; `but:` a process that is not meant any more."
  @spec await_service(term(), term(), but: pid()) :: pid()
  def await_service(namespace, key, opts \\ []) do
    ConcurrentTestHelpers.assert_eventually(fn ->
      with {:ok, pid} <- ProcessRegistry.lookup(namespace, key),
           do: if(pid != opts[:but], do: pid),
           else: (:error -> nil)
    end)
  end

  @doc "Kills a child of a supervisor and waits for the one in its place: `{old, new}`."
  @spec restart_service(Supervisor.supervisor(), term()) :: {pid(), pid()}
  def restart_service(supervisor, id) do
    old = child(supervisor, id) || flunk("#{inspect(supervisor)} has no child #{inspect(id)}")
    ConcurrentTestHelpers.kill(old)

    new =
      ConcurrentTestHelpers.assert_eventually(fn ->
        pid = child(supervisor, id)
        if pid != old, do: pid
      end)

    {old, new}
  end

  defp child(supervisor, id) do
    case List.keyfind(Supervisor.which_children(supervisor), id, 0) do
      {^id, pid, _type, _modules} when is_pid(pid) -> pid
      _not_now -> nil
    end
  end

  # Configuration

  @doc """
  Sets a value of Foundation's configuration until the test ends. It is everybody's: only for tests
  that are not `async`.
  """
  @spec put_test_config(atom(), term()) :: :ok
  def put_test_config(key, value) do
    before = Application.fetch_env(:foundation, key)
    ExUnit.Callbacks.on_exit(fn -> restore(key, before) end)
    Application.put_env(:foundation, key, value)
  end

  @doc "Sets values of Foundation's configuration while a function runs, and gives what it gives."
  @spec with_test_config(keyword() | map(), (() -> result)) :: result when result: term()
  def with_test_config(values, fun) do
    before = for {key, _value} <- values, do: {key, Application.fetch_env(:foundation, key)}

    try do
      for {key, value} <- values, do: Application.put_env(:foundation, key, value)
      fun.()
    after
      for {key, value} <- before, do: restore(key, value)
    end
  end

  defp restore(key, {:ok, value}), do: Application.put_env(:foundation, key, value)
  defp restore(key, :error), do: Application.delete_env(:foundation, key)

  # Results

  @doc "The value of `{:ok, value}`, `:ok` of `:ok`; anything else fails the test."
  @spec assert_ok_result({:ok, value} | :ok | term()) :: value | :ok when value: term()
  def assert_ok_result({:ok, value}), do: value
  def assert_ok_result(:ok), do: :ok
  def assert_ok_result(other), do: flunk("expected success, got: #{inspect(other)}")

  @doc """
  The error of `{:error, %Foundation.Error{}}`, which must be of that type, have a message and, where
  keys are given, have them in its context.
  """
  @spec assert_error_result(term(), atom(), [atom()]) :: Error.t()
  def assert_error_result(result, type, keys \\ [])

  def assert_error_result({:error, %Error{error_type: type} = error}, type, keys) do
    (is_binary(error.message) and error.message != "") or flunk("#{type} has no message")

    case Enum.reject(keys, &is_map_key(error.context, &1)) do
      [] ->
        error

      missing ->
        flunk("#{type} has no #{inspect(missing)} in its context: #{inspect(error.context)}")
    end
  end

  def assert_error_result(other, type, _keys),
    do: flunk("expected an error of type #{inspect(type)}, got: #{inspect(other)}")

  @doc "As `Foundation.ConcurrentTestHelpers.assert_eventually/2`."
  defdelegate assert_eventually(condition, timeout \\ 30_000), to: ConcurrentTestHelpers

  @doc "As `Foundation.ConcurrentTestHelpers.verify_ecosystem_cleanup/2`."
  defdelegate verify_ecosystem_cleanup(ecosystem, timeout \\ 30_000), to: ConcurrentTestHelpers
end
