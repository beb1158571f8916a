defmodule Foundation.BEAM.Memory.AtomsTest do
  # The log and the atoms are those of the whole VM.
  use ExUnit.Case, async: false

  import ExUnit.CaptureLog

  # Warnings come from a process of their own, some after the call that caused them.
  @moduletag :capture_log

  alias Foundation.BEAM.Memory
  alias Foundation.BEAM.Memory.Atoms
  alias Foundation.Error

  defmodule Handler do
    def log(%{msg: {:string, text}}, %{config: %{to: to, server: server}}) do
      if IO.iodata_to_binary(text) =~ "Atom table approaching limit: 0/0" do
        opts = %{max_atoms: 1000, rate: nil, namespace: :default}
        send(to, {:handled, Atoms.make(server, "from the handler", opts)})
      end
    end

    def log(_event, _config), do: :ok
  end

  # A name that no atom has.
  defp new, do: "foundation_new_#{System.unique_integer([:positive])}"

  # A table in place of the VM's, so that no test has to fill that one. Its clock stands still.
  defp table(limit) do
    names = :ets.new(:names, [:public])
    clock = :atomics.new(1, [])

    %{
      limit: limit,
      count: fn -> :ets.info(names, :size) end,
      find: fn name -> if :ets.member(names, name), do: {:ok, name}, else: :none end,
      make: fn name ->
        :ets.insert(names, {name})
        {:ok, name}
      end,
      now: fn -> :atomics.get(clock, 1) end,
      clock: clock
    }
  end

  defp opts(opts \\ []),
    do: Enum.into(opts, %{max_atoms: 1_000_000, rate: nil, namespace: :default})

  defp server(table) do
    name = :"#{__MODULE__}.Server"
    start_supervised!({Atoms, table: table, name: name})
    name
  end

  # What is logged by the function, and by the processes which the server has start while it runs.
  defp logged(server, fun) do
    server = Process.whereis(server)

    capture_log(fn ->
      :erlang.trace(server, true, [:procs])
      fun.()
      :erlang.trace(server, false, [:procs])
      delivered = :erlang.trace_delivered(server)
      assert_receive {:trace_delivered, ^server, ^delivered}
      ended(server)
    end)
  end

  defp ended(server) do
    receive do
      {:trace, ^server, :spawn, pid, _} ->
        monitor = Process.monitor(pid)
        assert_receive {:DOWN, ^monitor, :process, ^pid, _}, 5_000
        ended(server)
    after
      0 -> :ok
    end
  end

  describe "safe_atom/2" do
    test "makes what is new, and finds it afterwards" do
      name = new()
      assert {:ok, atom} = Memory.safe_atom(name)
      assert Atom.to_string(atom) == name
      assert Memory.safe_atom(name, max_atoms: 0, rate: {0, 1}) == {:ok, atom}
    end

    test "existing atoms come back whatever the options, without any process" do
      :ok = Supervisor.terminate_child(Foundation.Supervisor, Atoms)
      on_exit(fn -> {:ok, _} = Supervisor.restart_child(Foundation.Supervisor, Atoms) end)

      for string <- ["ok", "", "Elixir.Enum", "nil"],
          opts <- [[], [max_atoms: 0], [rate: {0, 1}], [namespace: self()]] do
        assert {:ok, atom} = Memory.safe_atom(string, opts)
        assert Atom.to_string(atom) == string
      end

      assert Memory.safe_atom(<<255>>) == {:error, :invalid_atom}
      error = assert_raise Error, fn -> Memory.safe_atom(new()) end
      assert error.error_type == :not_started
      error = assert_raise Error, fn -> Memory.atom_usage() end
      assert error.error_type == :not_started
    end

    test "up to 255 characters, of any length in bytes" do
      for character <- ["x", "é", "€", "😀"] do
        longest = String.duplicate(character, 255)
        assert {:ok, atom} = Memory.safe_atom(longest)
        assert Atom.to_string(atom) == longest
        assert Memory.safe_atom(longest) == {:ok, atom}
        assert Memory.safe_atom(longest <> character) == {:error, :invalid_atom}
        assert Memory.safe_atom(longest <> "\u0301") == {:error, :invalid_atom}
      end

      assert Memory.safe_atom(:binary.copy("x", 100_000_000)) == {:error, :invalid_atom}
    end

    test "what is no valid UTF-8 is no atom" do
      surrogate = <<0xED, 0xA0, 0x80>>
      beyond = <<0xF4, 0x90, 0x80, 0x80>>
      overlong = <<0xC0, 0x80>>

      for bytes <- [<<255>>, <<0xC3>>, surrogate, beyond, overlong, "valid" <> <<0x80>>] do
        assert Memory.safe_atom(bytes) == {:error, :invalid_atom}
      end
    end

    test "no new atom at max_atoms, and one below it" do
      count = :erlang.system_info(:atom_count)

      log =
        capture_log(fn ->
          for max <- [0, 1, count] do
            assert Memory.safe_atom(new(), max_atoms: max) == {:error, :atom_table_nearly_full}
          end
        end)

      # Another test may have had it logged in this minute.
      assert log == "" or log =~ "Atom table approaching limit: "
      assert {:ok, _} = Memory.safe_atom(new(), max_atoms: count + 10_000)
    end

    test "a limit above the VM's own is the VM's own" do
      for max <- [:erlang.system_info(:atom_limit) + 1, 2 ** 64, 2 ** 10_000] do
        assert {:ok, _} = Memory.safe_atom(new(), max_atoms: max)
      end
    end

    test "rate and namespace" do
      namespace = {:test, make_ref()}
      make = fn -> Memory.safe_atom(new(), rate: {3, 60_000}, namespace: namespace) end
      for _ <- 1..3, do: assert({:ok, _} = make.())
      for _ <- 1..3, do: assert(make.() == {:error, :rate_limited})
      assert {:ok, _} = Memory.safe_atom(new(), rate: {3, 60_000}, namespace: make_ref())
      assert {:ok, _} = Memory.safe_atom(new(), namespace: namespace)
      assert Memory.atom_usage().namespaces[namespace] == 4
    end

    test "keeps nothing of the caller's alive" do
      # Both are parts of a binary of a megabyte.
      <<string::binary-size(100), namespace::binary-size(100), _::binary>> =
        new() <> String.duplicate("x", 1_000_000)

      assert {:ok, _} = Memory.safe_atom(string, namespace: {namespace, rate: 1})
      {:binary, held} = Process.info(Process.whereis(Atoms), :binary)
      assert Enum.all?(held, fn {_, size, _} -> size < 10_000 end)
    end
  end

  describe "mistakes in the call" do
    test "what is no string is named" do
      for string <- [:atom, nil, 1, ~c"charlist", <<1::3>>, ["a"], %{}] do
        error = assert_raise ArgumentError, fn -> Memory.safe_atom(string) end
        assert error.message =~ "expected a string (a binary) in Memory.safe_atom/2, got: "
      end
    end

    test "options of a wrong type are named, also for atoms that exist" do
      for {name, values} <- [
            max_atoms: [-1, 1.0, :infinity, nil],
            rate: [1, {1}, {1, 0}, {0, 0}, {-1, 1}, {1, 1.0}, {1, 2 ** 32}, {1, :infinity}, :none],
            namespace: [String.duplicate("x", 2_000), Enum.to_list(1..100)]
          ],
          value <- values do
        error = assert_raise ArgumentError, fn -> Memory.safe_atom("ok", [{name, value}]) end
        assert error.message =~ "invalid option #{inspect(name)} in Memory.safe_atom/2"
      end

      assert_raise ArgumentError, ~r/unknown option :max/, fn ->
        Memory.safe_atom("ok", max: 1)
      end
    end

    test "a namespace that shares its parts is refused, not sent" do
      for kind <- [:list, :tuple, :map] do
        # Made where it is used: a message or a fun would copy all of it.
        task =
          Task.async(fn ->
            wrap = %{list: &[&1 | &1], tuple: &{&1, &1}, map: &%{a: &1, b: &1}}[kind]
            namespace = Enum.reduce(1..60, [], fn _, part -> wrap.(part) end)

            try do
              Memory.safe_atom("ok", namespace: namespace)
            rescue
              error in ArgumentError -> error.message
            end
          end)

        assert {:ok, "invalid option :namespace" <> _} =
                 Task.yield(task, 10_000) || Task.shutdown(task, :brutal_kill)
      end
    end
  end

  describe "the ceiling" do
    @callers 20
    @each 100

    # Every caller tries names of its own; how many atoms there are at the end.
    defp race(table, make) do
      1..@callers
      |> Enum.map(fn caller ->
        Task.async(fn -> for n <- 1..@each, do: make.("#{caller}_#{n}") end)
      end)
      |> Task.await_many(60_000)
      |> List.flatten()
      |> Enum.count(&match?({:ok, _}, &1))
      |> then(&{&1, table.count.()})
    end

    test "many callers at once do not pass it, and reach it" do
      for {limit, max, ceiling} <- [
            {1000, 1_000_000, 950},
            {1_000_000, 777, 777},
            {1001, 950, 950}
          ] do
        table = table(limit)
        server = server(table)
        opts = opts(max_atoms: max)
        log = logged(server, fn -> send(self(), race(table, &Atoms.make(server, &1, opts))) end)
        assert_received {^ceiling, ^ceiling}
        # A thousand refusals, and a clock that stands still.
        assert [_, _] = String.split(log, "Atom table approaching limit: #{ceiling}/#{ceiling}")

        stop_supervised!(Atoms)
      end
    end

    test "a check in the callers passes it" do
      table = table(1000)
      {:ok, meeting} = Agent.start_link(fn -> [] end)

      # The VM may take a caller off its scheduler at any place; here it does so after the check.
      broken = fn name ->
        if table.count.() < 950 do
          meet(meeting, @callers)
          table.make.(name)
        else
          {:error, :atom_table_nearly_full}
        end
      end

      for n <- 1..949, do: table.make.("before_#{n}")
      1..@callers |> Enum.map(&Task.async(fn -> broken.("#{&1}") end)) |> Task.await_many()
      assert table.count.() == 949 + @callers

      # The same start, by the process.
      table = table(1000)
      server = server(table)
      for n <- 1..949, do: table.make.("before_#{n}")
      logged(server, fn -> send(self(), race(table, &Atoms.make(server, &1, opts()))) end)
      assert_received {1, 950}
    end

    # Returns once so many processes are in it.
    defp meet(meeting, count) do
      caller = self()

      Agent.update(meeting, fn waiting ->
        waiting = [caller | waiting]
        if length(waiting) == count, do: for(pid <- waiting, do: send(pid, :met))
        waiting
      end)

      receive do: (:met -> :ok)
    end

    test "callers that are killed leave nothing behind" do
      table = table(1000)
      server = server(table)
      opts = opts()
      test = self()

      # With its warning, which another test would take for its own.
      logged(server, fn ->
        for caller <- 1..50 do
          {pid, monitor} =
            spawn_monitor(fn ->
              send(test, {:started, self()})
              for n <- 1..1000, do: Atoms.make(server, "#{caller}_#{n}", opts)
            end)

          assert_receive {:started, ^pid}
          Process.exit(pid, :kill)
          assert_receive {:DOWN, ^monitor, _, _, _}
        end

        assert {_made, 950} = race(table, &Atoms.make(server, &1, opts))
      end)
    end

    test "names that exist come back, are not counted again and need no room" do
      table = table(1000)
      server = server(table)
      assert Atoms.make(server, "a", opts()) == {:ok, "a"}
      assert Atoms.make(server, "a", opts(max_atoms: 0, rate: {0, 1})) == {:ok, "a"}

      assert Atoms.usage(server) == %{
               count: 1,
               limit: 1000,
               ceiling: 950,
               namespaces: %{default: 1}
             }
    end

    test "a handler of the log that makes atoms gets them" do
      server = server(table(1000))
      config = %{config: %{to: self(), server: server}}
      :ok = :logger.add_handler(:makes_atoms, __MODULE__.Handler, config)
      on_exit(fn -> :logger.remove_handler(:makes_atoms) end)
      logged(server, fn -> {:error, _} = Atoms.make(server, "a", opts(max_atoms: 0)) end)
      assert_received {:handled, {:ok, "from the handler"}}
    end

    test "the process that makes them says so when it calls itself" do
      table = table(1000)
      to = self()
      name = :"#{__MODULE__}.Server"

      find = fn _name ->
        send(to, assert_raise(Error, fn -> Atoms.usage(name) end))
        :none
      end

      server = server(%{table | find: find})
      assert Atoms.make(server, "a", opts()) == {:ok, "a"}
      assert_received %Error{error_type: :calling_self}
    end

    test "the warning comes again after a minute" do
      table = table(1000)
      server = server(table)
      refuse = fn -> Atoms.make(server, "a", opts(max_atoms: 0)) end
      warning = "Atom table approaching limit: 0/0"
      assert logged(server, refuse) =~ warning
      :atomics.put(table.clock, 1, 59_999)
      refute logged(server, refuse) =~ warning
      :atomics.put(table.clock, 1, 60_000)
      assert logged(server, refuse) =~ warning
    end
  end

  describe "the rate" do
    test "is that of any window, by the clock" do
      table = table(1000)
      server = server(table)
      at = fn ms -> :atomics.put(table.clock, 1, ms) end
      make = fn n -> Atoms.make(server, "#{n}", opts(rate: {2, 100})) end
      assert {:ok, _} = make.(1)
      at.(60)
      assert {:ok, _} = make.(2)
      at.(100)
      assert make.(3) == {:error, :rate_limited}
      at.(101)
      assert {:ok, _} = make.(3)
      assert make.(4) == {:error, :rate_limited}
      at.(161)
      assert {:ok, _} = make.(4)
    end

    test "many namespaces are forgotten, the memory stays" do
      table = table(1_000_000)
      server = server(table)

      for n <- 1..3000 do
        :atomics.put(table.clock, 1, n * 10)
        assert {:ok, _} = Atoms.make(server, "#{n}", opts(namespace: n, rate: {1, 5}))
      end

      assert Map.keys(Atoms.usage(server).namespaces) |> Enum.sort() == Enum.to_list(1977..3000)
    end
  end

  test "odd messages change nothing" do
    pid = Process.whereis(Atoms)
    send(pid, :odd)
    assert {:ok, _} = Memory.safe_atom(new())
    assert Process.whereis(Atoms) == pid
  end
end
