defmodule Foundation.TestHelpersTest do
  # The configuration is everybody's.
  use ExUnit.Case, async: false

  import Foundation.TestHelpers

  alias ExUnit.AssertionError
  alias Foundation.{ConcurrentTestHelpers, Error, ProcessRegistry}
  alias Foundation.Members.Server

  test "a service has its name, and tests do not share names" do
    {one, two} = {test_namespace(), test_namespace()}
    assert one != two
    pid = start_service(one, :server, Server, a: 1)
    assert ProcessRegistry.lookup(one, :server) == {:ok, pid}
    assert ProcessRegistry.lookup(two, :server) == :error
    assert GenServer.call(ProcessRegistry.via(one, :server), :state) == [a: 1]
  end

  test "await_service/3 waits for who comes, or comes after somebody" do
    namespace = test_namespace()
    test = self()

    spawn_link(fn ->
      receive do: (:begin -> :ok)
      :ok = ProcessRegistry.register(namespace, :late)
      send(test, {:registered, self()})
      receive do: (:stop -> :ok)
    end)
    |> send(:begin)

    pid = await_service(namespace, :late)
    assert_receive {:registered, ^pid}

    old = start_service(namespace, :server, Server, [])
    ConcurrentTestHelpers.kill(old)
    new = await_service(namespace, :server, but: old)
    assert new != old and Process.alive?(new)
  end

  test "restart_service/2 gives the child before and the one after" do
    {:ok, supervisor} =
      Supervisor.start_link([%{id: :server, start: {Server, :start_link, [[]]}}],
        strategy: :one_for_one
      )

    {old, new} = restart_service(supervisor, :server)
    refute Process.alive?(old)
    assert [{:server, ^new, _, _}] = Supervisor.which_children(supervisor)

    assert_raise AssertionError, ~r/has no child :nobody/, fn ->
      restart_service(supervisor, :nobody)
    end
  end

  describe "configuration" do
    test "holds while the function runs, also one that fails, and is as before then" do
      Application.put_env(:foundation, :helpers_test_a, :before)

      read = fn ->
        for key <- [:helpers_test_a, :helpers_test_b], do: Application.get_env(:foundation, key)
      end

      values = [helpers_test_a: 1, helpers_test_b: 2]
      assert with_test_config(values, read) == [1, 2]
      assert read.() == [:before, nil]
      assert_raise RuntimeError, fn -> with_test_config(Map.new(values), fn -> raise "no" end) end
      assert read.() == [:before, nil]
      assert Application.fetch_env(:foundation, :helpers_test_b) == :error
    after
      Application.delete_env(:foundation, :helpers_test_a)
    end

    # ExUnit runs what was put off after the test, the last first: this sees what the other did.
    test "of a test is gone with it" do
      on_exit(fn ->
        Application.fetch_env(:foundation, :helpers_test_c) == :error || raise "still there"
      end)

      put_test_config(:helpers_test_c, 1)
      assert Application.get_env(:foundation, :helpers_test_c) == 1
    end
  end

  describe "results" do
    test "of success give their value, others fail" do
      assert assert_ok_result({:ok, 1}) == 1
      assert assert_ok_result(:ok) == :ok

      for other <- [:error, {:error, 1}, nil, {:ok, 1, 2}] do
        assert_raise AssertionError, ~r/expected success/, fn -> assert_ok_result(other) end
      end
    end

    test "of failure give the error of that type" do
      error = Error.new(:too_large, "it is too large", %{max: 1})
      assert assert_error_result({:error, error}, :too_large) == error
      assert assert_error_result({:error, error}, :too_large, [:max]) == error

      for {result, keys} <- [
            {{:error, error}, [:min]},
            {{:error, %{error | message: ""}}, []},
            {{:error, %{error | error_type: :gone}}, []},
            {{:error, :too_large}, []},
            {{:ok, 1}, []}
          ] do
        assert_raise AssertionError, fn -> assert_error_result(result, :too_large, keys) end
      end
    end
  end

  test "what is in the other module can be called here" do
    assert assert_eventually(fn -> :yes end) == :yes
    assert verify_ecosystem_cleanup(%{coordinator: nil, workers: []}) == :ok
  end
end
