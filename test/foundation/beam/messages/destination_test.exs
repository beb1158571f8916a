defmodule Foundation.BEAM.Messages.DestinationTest do
  # Registered names belong to the whole node.
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Messages
  alias Foundation.Error

  defmodule Ported do
    def whereis_name(_), do: hd(Port.list())
  end

  defmodule Picky do
    def whereis_name(:known), do: :undefined
  end

  @large List.duplicate(7, 2000)

  setup do
    Process.register(self(), :messages_test)
    :yes = :global.register_name(:messages_test, self())
    # Supervised by the test, so that it has ended when the next one starts it.
    start_supervised!({Registry, keys: :unique, name: __MODULE__.Registry})
    {:ok, _} = Registry.register(__MODULE__.Registry, "me", nil)
    :ok
  end

  @mine [
    :messages_test,
    {:global, :messages_test},
    {:via, Registry, {Module.concat(__MODULE__, Registry), "me"}},
    {:via, :global, :messages_test}
  ]

  test "every kind of destination is reached, by every strategy" do
    for dest <- [self(), {:messages_test, node()} | @mine],
        strategy <- [:direct, :ets_reference, :binary_sharing, :flow_controlled] do
      assert {:ok, _} = Messages.send_optimized(dest, @large, strategy: strategy)
      assert Messages.receive_optimized(0) == {:ok, @large}
      assert {:ok, _} = Messages.send_with_backpressure(dest, @large, strategy: strategy)
      assert Messages.receive_optimized(0) == {:ok, @large}
    end
  end

  test "a list may hold all kinds, each gets one message, and all share one handle" do
    assert {:ok, handle} = Messages.send_optimized([self() | @mine], @large)

    for _ <- [self() | @mine],
        do: assert_received({:ets_ref, ^handle, :foundation_message_cache})

    refute_received _
    assert Messages.send_optimized([], @large) == {:ok, :sent}
  end

  test "a name that nobody has raises, as send/2 does, and names it" do
    for dest <- [
          :nobody_has_this,
          nil,
          {:global, :nobody_has_this},
          {:via, Registry, {__MODULE__.Registry, "nobody"}},
          {:via, Ported, :a_port}
        ] do
      assert_raise ArgumentError, ~r/no process is registered as .*send_optimized/, fn ->
        Messages.send_optimized(dest, @large)
      end
    end
  end

  test "a :via that cannot be asked raises, and names the destination" do
    no_registry = {:via, Registry, {NoSuchRegistry, "me"}}

    for {dest, says} <- [
          {{:via, NoSuchModule, :name}, "expected a module that exports whereis_name/1"},
          {{:via, Enum, :name}, "expected a module that exports whereis_name/1"},
          {{:via, Picky, :unknown}, "no function clause"},
          {{:via, Registry, :no_pair}, "no function clause"},
          {no_registry, "unknown registry"}
        ],
        {name, send} <- [
          {"send_optimized/3", &Messages.send_optimized(&1, :data)},
          {"send_with_backpressure/3", &Messages.send_with_backpressure(&1, :data)}
        ] do
      error = assert_raise ArgumentError, fn -> send.(dest) end
      assert error.message =~ "invalid destination in Messages.#{name}: "
      assert error.message =~ says
      assert error.message =~ "got: #{inspect(dest)}"
    end
  end

  test "an alternative that can be nobody's name raises before anything is sent" do
    opts = [backpressure_strategy: :redirect, alternatives: [{:via, Enum, :name}]]

    assert_raise ArgumentError, ~r/invalid option :alternatives .*\{:via, Enum, :name\}/, fn ->
      Messages.send_with_backpressure(self(), :data, opts)
    end

    refute_received :data
  end

  test "one such name in a list raises before anything is sent" do
    assert_raise ArgumentError, ~r/:nobody_has_this/, fn ->
      Messages.send_optimized([self(), :nobody_has_this], :data)
    end

    refute_received :data
  end

  test "a pid that is gone and the long form of a name are silent, as with send/2" do
    {gone, ref} = spawn_monitor(fn -> :ok end)
    assert_receive {:DOWN, ^ref, :process, _, _}

    for dest <- [gone, {:nobody_has_this, node()}] do
      assert Messages.send_optimized(dest, :data) == {:ok, :sent}
      assert Messages.send_optimized(dest, :data, priority: :high) == {:ok, :sent}
      assert {:ok, _} = Messages.send_optimized(dest, @large)
    end
  end

  test "where queues are looked at, nobody is an error" do
    {gone, ref} = spawn_monitor(fn -> :ok end)
    assert_receive {:DOWN, ^ref, :process, _, _}

    for dest <- [gone, :nobody_has_this, {:nobody_has_this, node()}, {:global, :nobody}] do
      assert {:error, %Error{error_type: :noproc, context: %{destination: ^dest}}} =
               Messages.send_optimized(dest, :data, strategy: :flow_controlled)

      for how <- [:drop, :queue] do
        assert {:error, %Error{error_type: :noproc, context: %{destination: ^dest}}} =
                 Messages.send_with_backpressure(dest, :data, backpressure_strategy: how)
      end
    end
  end

  test "a port is no destination: what it takes is its own protocol" do
    port = Port.open({:spawn, "cat"}, [:binary])
    Process.register(port, :messages_test_port)

    assert_raise ArgumentError, ~r/invalid destination/, fn ->
      Messages.send_optimized(port, :data)
    end

    assert_raise ArgumentError, ~r/no process is registered/, fn ->
      Messages.send_optimized(:messages_test_port, :data)
    end

    Port.close(port)
  end
end
