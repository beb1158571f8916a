defmodule Foundation.BEAM.Memory.MonitorTest do
  # Telemetry handlers hear every monitor: none of another test may run beside.
  use ExUnit.Case, async: false

  import Foundation.{Eventually, OSFiles}

  alias Foundation.BEAM.Memory.Monitor
  alias Foundation.BEAM.Memory.Monitor.Server
  alias Foundation.Error

  doctest Foundation.BEAM.Memory.Monitor

  @mib 1_048_576
  @event [:foundation, :ecosystem, :memory_pressure]

  # A container of 1000 MiB, in which 100 are used; `use_memory/2` changes that.
  setup do
    root = write(root(), cgroup("0::/\n", mount(2)))
    use_memory(root, 100)
    %{root: root}
  end

  defp use_memory(root, mib), do: write(root, group("/", 1_000, mib, 0))

  # Without a timer's turn that matters: readings come when the test asks for them.
  defp start(context, opts \\ []) do
    opts = Keyword.merge([name: nil, root: context.root, interval: 86_400_000], opts)
    start_supervised!({Monitor, opts}, id: make_ref())
  end

  # What the timer does, at a tick that reads whatever the VM's own books say.
  defp read(monitor) do
    :sys.replace_state(monitor, &%{&1 | left: 0})
    send(monitor, {:timeout, :sys.get_state(monitor).timer, :read})
    Monitor.info(monitor)
  end

  # Lets the time until the limits are looked at be over.
  defp over(monitor, which),
    do: :sys.replace_state(monitor, &Map.put(&1, which, System.monotonic_time(:millisecond)))

  test "a change is told, with what it comes from, and only a change", context do
    monitor = start(context)
    assert Monitor.subscribe(monitor) == {:ok, :low}
    use_memory(context.root, 800)
    assert read(monitor).level == :medium
    assert_received {:foundation_memory_pressure, change}

    assert change == %{
             level: :medium,
             previous: :low,
             fraction: 0.8,
             kind: :container,
             limit: 1_000 * @mib,
             used: 800 * @mib,
             monitor: monitor
           }

    use_memory(context.root, 850)
    assert read(monitor).fraction == 0.85
    # Within the hysteresis.
    use_memory(context.root, 710)
    assert read(monitor).level == :medium
    refute_received {:foundation_memory_pressure, _}

    use_memory(context.root, 950)
    assert read(monitor).level == :high
    assert_received {:foundation_memory_pressure, %{level: :high, previous: :medium}}
    use_memory(context.root, 100)
    assert read(monitor).level == :low
    assert_received {:foundation_memory_pressure, %{level: :low, previous: :high}}
  end

  test "telemetry hears the same, after subscribers", context do
    Foundation.Events.listen(@event)
    monitor = start(context)
    Monitor.subscribe(monitor)
    use_memory(context.root, 950)
    for _ <- 1..3, do: read(monitor)

    assert_received {:event, @event, measurements, metadata}
    assert measurements == %{fraction: 0.95, used: 950 * @mib, limit: 1_000 * @mib}
    assert metadata == %{level: :high, previous: :low, kind: :container, monitor: monitor}
    refute_received {:event, @event, _, _}
  end

  test "a handler that fails stops neither messages nor readings", context do
    :ok = Foundation.Telemetry.attach(:failing, @event, &__MODULE__.fail/4, nil)
    monitor = start(context)
    Monitor.subscribe(monitor)
    use_memory(context.root, 950)
    log = ExUnit.CaptureLog.capture_log(fn -> assert read(monitor).level == :high end)
    assert log =~ "on purpose"
    assert_received {:foundation_memory_pressure, %{level: :high}}
    assert Foundation.Telemetry.detach(:failing) == {:error, :not_found}
  end

  def fail(_event, _measurements, _metadata, _config), do: raise("on purpose")

  test "one that starts under pressure tells of it", context do
    use_memory(context.root, 950)
    Foundation.Events.listen(@event)
    monitor = start(context)
    assert Monitor.subscribe(monitor) == {:ok, :high}
    assert_received {:event, @event, _, %{level: :high, previous: :low}}
    refute_received {:foundation_memory_pressure, _}
  end

  test "readings come by themselves, one an interval", context do
    monitor = start(context, interval: 10)
    Monitor.subscribe(monitor)
    use_memory(context.root, 950)
    assert_receive {:foundation_memory_pressure, %{level: :high}}, 30_000
    use_memory(context.root, 100)
    assert_receive {:foundation_memory_pressure, %{level: :low}}, 30_000
    began = System.monotonic_time(:millisecond)
    first = Monitor.info(monitor).readings
    assert eventually?(fn -> Monitor.info(monitor).readings >= first + 5 end)
    # Five of them cannot have come in less than four intervals.
    assert System.monotonic_time(:millisecond) - began >= 40 - 10
  end

  test "what others use is read in every fourth look, what this VM takes in the next", context do
    # Where the books do not answer in time, every look reads: a busy machine may hold them up.
    readings = Enum.find_value(1..10, fn _ -> context |> start() |> readings(90) end)
    # What has been mapped may be in use only a little later: once more, then as before.
    assert readings == [1, 1, 1, 2, 2, 2, 2, 3] ++ [4] ++ [5, 5, 5, 5, 6]
  end

  # After each look, what the VM takes being known at the ninth; `nil` where one took so long.
  defp readings(monitor, most) do
    assert Monitor.info(monitor).readings == 1

    looks =
      for n <- 1..14 do
        :sys.replace_state(monitor, if(n == 9, do: &far/1, else: &still/1))
        began = System.monotonic_time(:millisecond)
        send(monitor, {:timeout, :sys.get_state(monitor).timer, :read})
        count = Monitor.info(monitor).readings
        {count, System.monotonic_time(:millisecond) - began}
      end

    {counts, times} = Enum.unzip(looks)
    if Enum.max(times) < most, do: counts
  end

  # As if the VM's books stood still: what tests before have left may go at any time.
  defp still(state) do
    native = Enum.sum(for {_owner, bytes} <- Foundation.Native.memory_held(), do: bytes)
    own = Foundation.BEAM.Memory.OS.mapped() + native
    %{state | own: own, found: %{state.found | limit: 2 ** 80}}
  end

  defp far(state), do: %{state | own: state.own + 2 ** 40}

  test "what the VM holds has moved by a hundredth of the limit, or by 64 MiB" do
    state = fn limit -> %{own: 1_000 * @mib, found: %{limit: limit}} end

    for {limit, step} <- [{100 * @mib, @mib}, {2 ** 40, 64 * @mib}, {nil, 64 * @mib}],
        sign <- [1, -1] do
      near = 1_000 * @mib + sign * (step - 1)
      refute Server.moved?(near, state.(limit))
      assert Server.moved?(near + sign, state.(limit))
    end

    # Where the VM does not tell, every look reads.
    assert Server.moved?(nil, state.(1))
    assert Server.moved?(1, %{own: nil, found: %{limit: 1}})
  end

  test "readings are due at fixed times; those that were missed are left out" do
    assert Server.next_due(1_000, 1_000, 500) == 1_500
    assert Server.next_due(1_000, 1_003, 500) == 1_500
    assert Server.next_due(1_000, 1_499, 500) == 1_500
    assert Server.next_due(1_000, 1_500, 500) == 2_000
    assert Server.next_due(1_000, 9_876, 500) == 10_000
    assert Server.next_due(-1_000, -990, 500) == -500
    # A timer that fires early.
    assert Server.next_due(1_000, 999, 500) == 1_500
  end

  describe "subscribers" do
    test "that subscribe twice hear of a change once", context do
      monitor = start(context)
      for _ <- 1..3, do: assert(Monitor.subscribe(monitor) == {:ok, :low})
      assert Monitor.info(monitor).subscribers == 1
      use_memory(context.root, 800)
      read(monitor)
      assert_received {:foundation_memory_pressure, _}
      refute_received {:foundation_memory_pressure, _}
    end

    test "that unsubscribe hear nothing more, and may come back", context do
      monitor = start(context)
      Monitor.subscribe(monitor)
      assert Monitor.unsubscribe(monitor) == :ok
      assert Monitor.unsubscribe(monitor) == :ok
      use_memory(context.root, 800)
      assert read(monitor).subscribers == 0
      refute_received {:foundation_memory_pressure, _}
      assert Monitor.subscribe(monitor) == {:ok, :medium}
      use_memory(context.root, 100)
      read(monitor)
      assert_received {:foundation_memory_pressure, %{level: :low}}
    end

    test "that end are forgotten", context do
      monitor = start(context)
      {pid, ref} = spawn_monitor(fn -> Monitor.subscribe(monitor) end)
      assert_receive {:DOWN, ^ref, :process, ^pid, :normal}
      assert eventually?(fn -> Monitor.info(monitor).subscribers == 0 end)
    end

    test "that never read do not hold up the others", context do
      monitor = start(context)
      test = self()

      deaf =
        spawn(fn ->
          Monitor.subscribe(monitor)
          send(test, :subscribed)
          Process.sleep(:infinity)
        end)

      assert_receive :subscribed
      Monitor.subscribe(monitor)
      use_memory(context.root, 800)
      read(monitor)
      assert_received {:foundation_memory_pressure, %{level: :medium}}
      Process.exit(deaf, :kill)
    end
  end

  describe "level" do
    test "of a named monitor needs no answer from it", context do
      monitor = start(context, name: :level_test_monitor)
      use_memory(context.root, 950)
      read(monitor)
      :sys.suspend(monitor)
      assert Monitor.level(:level_test_monitor) == :high
      :sys.resume(monitor)
      assert Monitor.level(monitor) == :high
    end

    test "of a process that is no monitor is an error, and that process goes on" do
      {:ok, agent} = start_supervised({Agent, fn -> 1 end})
      Process.register(agent, :no_monitor)
      assert {:error, %Error{error_type: :noproc}} = Monitor.level(:no_monitor)
      assert Agent.get(:no_monitor, & &1) == 1
    end

    test "of a monitor that was killed is not the last one's", context do
      use_memory(context.root, 950)
      options = [name: :killed_monitor, root: context.root]
      Process.flag(:trap_exit, true)
      {:ok, monitor} = Monitor.start_link(options)
      assert Monitor.level(:killed_monitor) == :high
      Process.exit(monitor, :kill)
      assert_receive {:EXIT, ^monitor, :killed}
      assert {:error, %Error{error_type: :noproc}} = Monitor.level(:killed_monitor)

      use_memory(context.root, 100)
      {:ok, monitor} = Monitor.start_link(options)
      assert Monitor.level(:killed_monitor) == :low
      GenServer.stop(monitor)
    end

    test "of a monitor registered elsewhere", context do
      name = {:global, {:monitor, make_ref()}}
      start(context, name: name)
      assert Monitor.level(name) == :low
    end
  end

  describe "where no monitor is" do
    test "every call says so" do
      for name <- [:no_such_monitor, {:global, :no_such_monitor}, {:no_such_monitor, node()}],
          call <- [
            &Monitor.subscribe/1,
            &Monitor.unsubscribe/1,
            &Monitor.level/1,
            &Monitor.info/1
          ] do
        assert {:error, %Error{error_type: :noproc, context: %{monitor: ^name}}} = call.(name)
      end

      assert {:error, %Error{error_type: :noproc}} = Monitor.level()
    end

    test "another node that is not there" do
      assert {:error, %Error{error_type: :noproc}} = Monitor.level({Monitor, :nowhere@nohost})
    end

    test "what is no name raises" do
      for call <- [&Monitor.subscribe/1, &Monitor.level/1, &Monitor.info/1],
          do: assert_raise(ArgumentError, ~r/expected a monitor/, fn -> call.("monitor") end)
    end
  end

  describe "options" do
    test "are checked in the caller" do
      for {opts, name} <- [
            {[interval: 0], ":interval"},
            {[interval: 1.5], ":interval"},
            {[medium: 2], ":medium"},
            {[medium: 0.95], ":high"},
            {[hysteresis: 0.8], ":hysteresis"},
            {[name: "x"], ":name"},
            {[name: true], ":name"},
            {[root: :x], ":root"},
            {[nothing: 1], ":nothing"}
          ] do
        assert_raise ArgumentError, ~r/#{name}/, fn -> Monitor.start_link(opts) end
        assert_raise ArgumentError, ~r/#{name}/, fn -> Monitor.child_spec(opts) end
      end
    end

    test "of the application" do
      configured = fn value ->
        Application.put_env(:foundation, :memory_monitor, value)
        Monitor.configured()
      end

      on_exit(fn -> Application.delete_env(:foundation, :memory_monitor) end)
      assert Monitor.configured() == []
      assert configured.(false) == []
      assert configured.(true) == [{Monitor, []}]
      assert configured.(high: 0.8) == [{Monitor, [high: 0.8]}]
      assert_raise ArgumentError, ~r/memory_monitor: expected a boolean/, fn -> configured.(7) end
    end
  end

  describe "what the system tells" do
    test "may end: the level falls, and where there is no limit nothing is one", context do
      Foundation.Events.listen(@event)
      monitor = start(context)
      Monitor.subscribe(monitor)
      use_memory(context.root, 950)
      assert %{level: :high, source: :os} = read(monitor)
      write(context.root, %{"proc/self/cgroup" => "gone"})
      # Within the five seconds that a change of groups may take.
      assert read(monitor).level == :high
      over(monitor, :review)

      assert %{level: :low, kind: nil, limit: nil, limits: [], source: :none} = read(monitor)
      assert_received {:foundation_memory_pressure, %{level: :low, limit: nil, used: used}}
      assert used > 0
      assert_received {:event, @event, %{limit: 0, fraction: fraction}, %{level: :low, kind: nil}}
      assert fraction == 0

      write(context.root, %{"proc/self/cgroup" => "0::/\n"})
      over(monitor, :review)
      assert read(monitor).level == :high
    end

    test "may begin, once a minute is over", context do
      write(context.root, %{
        "sys/fs/cgroup/memory.current" => nil,
        "sys/fs/cgroup/memory.max" => nil
      })

      monitor = start(context)
      assert Monitor.info(monitor).limits == []
      use_memory(context.root, 950)
      assert read(monitor).level == :low
      over(monitor, :reopen)
      assert read(monitor).level == :high
    end

    @tag :proc
    test "stays open until the monitor ends, in whatever way", context do
      open = fn ->
        Enum.count(File.ls!("/proc/self/fd"), fn name ->
          case File.read_link("/proc/self/fd/" <> name) do
            {:ok, target} -> String.starts_with?(target, context.root)
            {:error, _closed} -> false
          end
        end)
      end

      Process.flag(:trap_exit, true)

      for reason <- [:normal, :shutdown, :kill] do
        {:ok, monitor} = Monitor.start_link(name: nil, root: context.root)
        assert open.() == 5
        if reason == :normal, do: GenServer.stop(monitor), else: Process.exit(monitor, reason)
        assert_receive {:EXIT, ^monitor, _}
        assert eventually?(fn -> open.() == 0 end)
      end
    end
  end

  test "messages of others change nothing", context do
    monitor = start(context)
    before = Monitor.info(monitor)
    for junk <- [:read, {:timeout, make_ref(), :read}, "x"], do: send(monitor, junk)
    assert Monitor.info(monitor) == before
  end
end
