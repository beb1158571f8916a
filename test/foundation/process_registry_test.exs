defmodule Foundation.ProcessRegistryTest do
  use ExUnit.Case, async: true

  doctest Foundation.ProcessRegistry

  alias Foundation.Error
  alias Foundation.ProcessRegistry

  setup do
    {:ok, namespace: {:test, make_ref()}}
  end

  # A process that does what it is sent, so that a name can be somebody else's.
  defp other(namespace, key) do
    {:ok, pid} = Agent.start(fn -> nil end)

    :ok =
      Agent.get(pid, fn _ -> ProcessRegistry.register(namespace, key, self(), %{of: :other}) end)

    on_exit(fn -> Process.exit(pid, :kill) end)
    pid
  end

  test "a name is one process's, in one namespace", %{namespace: namespace} do
    pid = other(namespace, :name)

    assert ProcessRegistry.lookup(namespace, :name) == {:ok, pid}
    assert ProcessRegistry.lookup({namespace, 2}, :name) == :error

    assert {:error, %Error{error_type: :already_registered, context: context}} =
             ProcessRegistry.register(namespace, :name)

    assert context == %{name: {namespace, :name}, pid: pid}
    assert ProcessRegistry.register({namespace, 2}, :name) == :ok
    assert ProcessRegistry.lookup({namespace, 2}, :name) == {:ok, self()}
    assert ProcessRegistry.lookup(namespace, :name) == {:ok, pid}
  end

  test "1 and 1.0 are two names", %{namespace: namespace} do
    :ok = ProcessRegistry.register(namespace, 1)
    assert ProcessRegistry.lookup(namespace, 1.0) == :error
    assert ProcessRegistry.registered?(namespace, 1)
  end

  test "with its process the name is gone, and can be had at once", %{namespace: namespace} do
    pid = other(namespace, :name)
    ref = Process.monitor(pid)
    Process.exit(pid, :kill)
    assert_receive {:DOWN, ^ref, _, _, :killed}

    assert ProcessRegistry.lookup(namespace, :name) == :error
    assert ProcessRegistry.metadata(namespace, :name) == :error
    assert ProcessRegistry.list(namespace) == []
    assert ProcessRegistry.count(namespace) == 0
    assert ProcessRegistry.register(namespace, :name) == :ok
  end

  test "registering again keeps the name and takes the new metadata", %{namespace: namespace} do
    :ok = ProcessRegistry.register(namespace, :name, self(), %{a: 1})
    assert ProcessRegistry.register(namespace, :name, self(), %{b: 2}) == :ok
    assert ProcessRegistry.lookup_with_metadata(namespace, :name) == {:ok, {self(), %{b: 2}}}
    assert ProcessRegistry.count(namespace) == 1
  end

  test "only the owner changes metadata or gives the name up", %{namespace: namespace} do
    pid = other(namespace, :name)

    assert {:error, %Error{error_type: :not_owner}} =
             ProcessRegistry.update_metadata(namespace, :name, %{of: :me})

    assert ProcessRegistry.unregister(namespace, :name) == :ok
    assert ProcessRegistry.lookup_with_metadata(namespace, :name) == {:ok, {pid, %{of: :other}}}

    assert {:error, %Error{error_type: :not_owner}} =
             ProcessRegistry.update_metadata(namespace, :nobody, fn _ -> %{} end)
  end

  test "a process that started by a via tuple has no metadata, and can get some",
       %{namespace: namespace} do
    via = ProcessRegistry.via(namespace, :agent)
    start_supervised!(agent(via))
    assert ProcessRegistry.metadata(namespace, :agent) == {:ok, %{}}

    assert Agent.get(via, fn _ ->
             ProcessRegistry.update_metadata(namespace, :agent, &Map.put(&1, :seen, true))
           end) == :ok

    assert ProcessRegistry.metadata(namespace, :agent) == {:ok, %{seen: true}}
  end

  test "a second process under the same via tuple is told who has it", %{namespace: namespace} do
    via = ProcessRegistry.via_tuple(namespace, :agent)
    pid = start_supervised!(agent(via))
    assert Agent.start_link(fn -> nil end, name: via) == {:error, {:already_started, pid}}
  end

  test "a process has as many names as it likes; giving one up leaves the others",
       %{namespace: namespace} do
    for key <- [:a, "b", {:c, 3}, [4]], do: :ok = ProcessRegistry.register(namespace, key)
    assert ProcessRegistry.unregister(namespace, {:c, 3}) == :ok

    assert Enum.sort(ProcessRegistry.list(namespace)) ==
             Enum.sort([{:a, self()}, {"b", self()}, {[4], self()}])

    assert ProcessRegistry.count(namespace) == 3
  end

  test "a namespace that looks like a pattern lists nothing", %{namespace: namespace} do
    :ok = ProcessRegistry.register(namespace, :name)
    for pattern <- [:_, :"$1", %{}, {:test, :_}], do: assert(ProcessRegistry.list(pattern) == [])
  end

  test "what the registry would take for a pattern is refused", %{namespace: namespace} do
    for term <- [:_, :"$1", :"$12", %{}, %{a: 1}, {:a, :_}, [1, {%{}}], [:a | :_]] do
      assert_raise ArgumentError, ~r/expected a key without maps/, fn ->
        ProcessRegistry.register(namespace, term)
      end

      assert_raise ArgumentError, ~r/expected a namespace without maps/, fn ->
        ProcessRegistry.via(term, :name)
      end

      assert_raise ArgumentError, ~r/expected a key without maps/, fn ->
        ProcessRegistry.unregister(namespace, term)
      end

      assert ProcessRegistry.lookup(namespace, term) == :error
    end

    for term <- [:"$", :"$a", :"$1a", nil, "_", make_ref(), self()] do
      assert ProcessRegistry.register(namespace, term) == :ok
      assert ProcessRegistry.lookup(namespace, term) == {:ok, self()}
    end
  end

  test "nobody registers another, and metadata are a map", %{namespace: namespace} do
    pid = other(namespace, :name)

    assert_raise ArgumentError, ~r/expected pid to be the calling process/, fn ->
      ProcessRegistry.register(namespace, :two, pid)
    end

    assert_raise ArgumentError, ~r/expected metadata to be a map, got: \[a: 1\]/, fn ->
      ProcessRegistry.register(namespace, :two, self(), a: 1)
    end

    :ok = ProcessRegistry.register(namespace, :three, self(), %{a: 1})

    assert_raise ArgumentError, ~r/expected metadata to be a map, got: nil/, fn ->
      ProcessRegistry.update_metadata(namespace, :three, fn _ -> nil end)
    end

    assert ProcessRegistry.metadata(namespace, :three) == {:ok, %{a: 1}}
  end

  test "a name that is given away while its metadata are made is free", %{namespace: namespace} do
    :ok = ProcessRegistry.register(namespace, :name, self(), %{a: 1})

    assert {:error, error} =
             ProcessRegistry.update_metadata(namespace, :name, fn old ->
               :ok = ProcessRegistry.unregister(namespace, :name)
               old
             end)

    assert error.error_type == :not_owner
    assert ProcessRegistry.lookup(namespace, :name) == :error
    task = Task.async(fn -> ProcessRegistry.register(namespace, :name) end)
    assert Task.await(task) == :ok
  end

  test "who asks for what is refused as a name is told that nobody has it", context do
    %{namespace: namespace} = context

    for term <- [:_, :"$1", %{}, {:a, [:_]}] do
      assert ProcessRegistry.lookup(namespace, term) == :error
      assert ProcessRegistry.metadata(namespace, term) == :error
      assert ProcessRegistry.lookup_with_metadata(term, :name) == :error
      assert ProcessRegistry.list(term) == []
      assert ProcessRegistry.count(term) == 0
      refute ProcessRegistry.registered?(namespace, term)

      for update <- [%{}, &Map.put(&1, :a, 1)] do
        assert {:error, error} = ProcessRegistry.update_metadata(namespace, term, update)
        assert error.error_type == :not_owner
      end
    end
  end

  test "of a hundred that want a name one gets it", %{namespace: namespace} do
    test = self()

    wanting =
      for _ <- 1..100 do
        Task.async(fn ->
          receive do: (:go -> :ok)
          send(test, {:result, self(), ProcessRegistry.register(namespace, :name)})
          receive do: (:done -> :ok)
        end)
      end

    for %{pid: pid} <- wanting, do: send(pid, :go)
    results = for %{pid: pid} <- wanting, do: assert_receive({:result, ^pid, _})
    {won, lost} = Enum.split_with(results, &match?({:result, _, :ok}, &1))

    assert [{:result, winner, :ok}] = won
    assert ProcessRegistry.lookup(namespace, :name) == {:ok, winner}
    for {:result, _, {:error, error}} <- lost, do: assert(error.context.pid == winner)

    for %{pid: pid} <- wanting, do: send(pid, :done)
    Task.await_many(wanting)
  end

  defp agent(via) do
    %{id: Agent, start: {Agent, :start_link, [fn -> nil end, [name: via]]}}
  end
end
