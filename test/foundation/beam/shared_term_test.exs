defmodule Foundation.BEAM.SharedTermTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  doctest Foundation.BEAM.SharedTerm

  alias Foundation.BEAM.SharedTerm
  alias Foundation.{Error, Native, NativeBytes}

  @live_env 864

  defp error_type({:error, %Error{error_type: type, message: message}}) when is_binary(message),
    do: type

  # Larger than what a normal scheduler copies.
  defp large, do: Map.new(1..20_000, &{&1, {&1, [a: &1]}})

  describe "reading" do
    test "any term comes back as it went in" do
      binary = :binary.copy("x", 1000)
      fun = fn x -> {x, binary} end

      for term <- [
            :a,
            [],
            %{},
            {1, 2.0, 2 ** 100},
            [1 | 2],
            binary,
            binary_part(binary, 3, 10),
            <<5::3>>,
            self(),
            make_ref(),
            hd(Port.list()),
            fun,
            &Enum.map/2,
            %URI{path: "/"},
            large()
          ] do
        assert SharedTerm.fetch(SharedTerm.new(term)) == {:ok, term}
      end

      assert {:ok, copy} = SharedTerm.fetch(SharedTerm.new(fun))
      assert copy.(1) == {1, binary}
    end

    test "a handle within a shared term stays a handle" do
      inner = SharedTerm.new(:inner)
      assert {:ok, [again]} = SharedTerm.fetch(SharedTerm.new([inner]))
      assert SharedTerm.fetch(again) == {:ok, :inner}
    end

    test "a handle outlives the process that made it, and is read by any other" do
      test = self()
      spawn_link(fn -> send(test, {:handle, SharedTerm.new(%{from: self()})}) end)
      assert_receive {:handle, handle}
      assert {:ok, %{from: pid}} = Task.await(Task.async(fn -> SharedTerm.fetch(handle) end))
      refute Process.alive?(pid)
    end

    test "fetch! gives the term or raises what fetch returns" do
      handle = SharedTerm.new(1)
      assert SharedTerm.fetch!(handle) == 1
      SharedTerm.release(handle)

      error = assert_raise Error, fn -> SharedTerm.fetch!(handle) end
      assert error == %Error{error_type: :released, message: "the shared term was released"}
    end
  end

  describe "fetch_in" do
    test "a step is read by the container it meets" do
      term = %{
        "key" => [first: {:a, [10, 20]}],
        :uri => %URI{host: "localhost"},
        1 => :integer,
        1.0 => :float,
        {:any, []} => :term
      }

      handle = SharedTerm.new(term)

      for {path, part} <- [
            {[], term},
            {["key"], term["key"]},
            {["key", :first, 1, 1], 20},
            {["key", 0, 0], :first},
            {[:uri, :host], "localhost"},
            {[1], :integer},
            {[1.0], :float},
            {[{:any, []}], :term}
          ] do
        assert SharedTerm.fetch_in(handle, path) == {:ok, part}
      end
    end

    test "a step that leads nowhere says where and why" do
      handle = SharedTerm.new(%{a: [1, {2, 3} | :tail], b: []})

      for {path, at, step, text} <- [
            {[:x], 0, :x, "the map has no such key"},
            {[:a, 2], 1, 2, "the list has no such position"},
            {[:a, -1], 1, -1, "the list has no such position"},
            {[:a, 2 ** 70], 1, 2 ** 70, "the list has no such position"},
            {[:a, :x], 1, :x, "the list has no such keyword key"},
            {[:b, 0], 1, 0, "the list has no such position"},
            {[:a, 1, 2], 2, 2, "the tuple has no such position"},
            {[:a, 1, :x], 2, :x, "a tuple takes a position"},
            {[:a, 1.0], 1, 1.0, "a list takes a position or the key of a keyword list"},
            {[:a, 0, 0], 2, 0, "what stands there has no parts"}
          ] do
        assert {:error, error} = SharedTerm.fetch_in(handle, path)
        assert error.error_type == :path_not_found
        assert error.message == "the path leads nowhere at step #{at}: #{text}"
        assert error.context == %{at: at, step: step}
      end
    end

    test "a path of 100,000 steps, and a position 100,000 cells away" do
      deep = Enum.reduce(1..100_000, :end, fn _, inner -> {inner} end)
      path = List.duplicate(0, 100_000)
      assert SharedTerm.fetch_in(SharedTerm.new(deep), path) == {:ok, :end}
      assert error_type(SharedTerm.fetch_in(SharedTerm.new(deep), [0 | path])) == :path_not_found

      list = Enum.to_list(0..200_000)
      assert SharedTerm.fetch_in(SharedTerm.new(list), [100_000]) == {:ok, 100_000}
    end

    test "a large part of a large term" do
      term = %{large: large(), small: 1}
      handle = SharedTerm.new(term)
      assert SharedTerm.fetch_in(handle, [:large]) == {:ok, term.large}
      assert SharedTerm.fetch_in(handle, [:small]) == {:ok, 1}
    end

    test "a step is no larger than a key may be: what looks for it would not end" do
      endless = Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)
      name = Enum.to_list(1..2_000)
      map = Map.new(1..40, &{&1, &1})
      assert {:error, error} = SharedTerm.fetch_in(SharedTerm.new(map), [endless])
      assert {error.error_type, error.context.at} == {:path_not_found, 0}
      assert error_type(SharedTerm.fetch_in(SharedTerm.new(map), [name])) == :path_not_found
      named = SharedTerm.new(Map.put(map, name, :named))
      assert SharedTerm.fetch_in(named, [name]) == {:ok, :named}
    end

    test "what is no path is refused" do
      handle = SharedTerm.new(%{a: 1})

      for path <- [:a, nil, {:a}, "a", [:a | :b], %{}] do
        assert_raise ArgumentError, ~r/expected a path \(a proper list of steps\)/, fn ->
          SharedTerm.fetch_in(handle, path)
        end
      end
    end
  end

  describe "the three ends" do
    test "release ends it for everybody, and again does nothing" do
      handle = SharedTerm.new(large())
      assert SharedTerm.alive?(handle)
      assert SharedTerm.release(handle) == :ok
      refute SharedTerm.alive?(handle)

      for read <- [
            &SharedTerm.fetch/1,
            &SharedTerm.take/1,
            &SharedTerm.fetch_in(&1, [1])
          ],
          do: assert(error_type(read.(handle)) == :released)

      assert SharedTerm.release(handle) == :ok
      assert {:ok, %{state: :released, ttl: :infinity}} = SharedTerm.info(handle)
    end

    test "take gives the term once" do
      for term <- [{:small}, large()] do
        handle = SharedTerm.new(term)
        assert SharedTerm.take(handle) == {:ok, term}
        assert error_type(SharedTerm.take(handle)) == :released
      end
    end

    test "of many that take at once exactly one succeeds" do
      for _ <- 1..200 do
        handle = SharedTerm.new({:prize, make_ref()})
        takers = for _ <- 1..4, do: Task.async(fn -> SharedTerm.take(handle) end)
        results = Task.await_many(takers)
        assert Enum.count(results, &match?({:ok, {:prize, _}}, &1)) == 1
        assert Enum.count(results, &match?({:error, %Error{error_type: :released}}, &1)) == 3
      end
    end

    test "at its ttl it is gone, and its memory with it though the handle stays" do
      before = NativeBytes.settle().shared_terms
      handle = SharedTerm.new(large(), ttl: 0)
      assert error_type(SharedTerm.fetch(handle)) == :expired
      assert error_type(SharedTerm.take(handle)) == :expired
      assert {:ok, %{state: :expired, ttl: 0}} = SharedTerm.info(handle)
      assert NativeBytes.settle().shared_terms - before < 200
      assert SharedTerm.release(handle) == :ok
      assert error_type(SharedTerm.fetch(handle)) == :expired
    end

    test "the janitor frees what nobody asks for again" do
      janitor = Process.whereis(Foundation.Janitor)
      :erlang.trace(janitor, true, [:receive])
      before = NativeBytes.settle().shared_terms
      # Until they are counted.
      :ok = :sys.suspend(janitor)
      on_exit(fn -> :sys.resume(janitor) end)
      handles = for n <- 1..10, do: SharedTerm.new({n, large()}, ttl: 500)
      assert Foundation.BEAM.Memory.native_memory().shared_terms - before > 10_000_000
      :ok = :sys.resume(janitor)

      # It wakes itself; a read would end the term, so none is made.
      assert freed?(before + 10 * 200, System.monotonic_time(:millisecond) + 30_000)
      assert_received {:trace, _, :receive, :foundation_janitor_step}
      :erlang.trace(janitor, false, [:receive])
      assert Enum.all?(handles, &match?({:ok, %{state: :expired}}, SharedTerm.info(&1)))
    end

    defp freed?(bytes, deadline) do
      cond do
        Foundation.BEAM.Memory.native_memory().shared_terms <= bytes -> true
        System.monotonic_time(:millisecond) > deadline -> false
        true -> freed?(bytes, deadline)
      end
    end

    test "the last handle's collection frees it, in a mailbox that nobody reads too" do
      before = NativeBytes.settle().shared_terms
      {pid, monitor} = spawn_monitor(fn -> receive do: (:never -> :ok) end)

      Task.await(
        Task.async(fn -> for _ <- 1..10, do: send(pid, {:unread, SharedTerm.new(large())}) end)
      )

      assert NativeBytes.settle().shared_terms - before > 10_000_000
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
      assert freed?(before, System.monotonic_time(:millisecond) + 30_000)
    end

    test "a small and a large one leave nothing in the books" do
      before = NativeBytes.settle().shared_terms

      for term <- [:immediate, {1}, large()] do
        Task.await(Task.async(fn -> SharedTerm.new(term, ttl: 60_000) && :done end))
      end

      # What a process of an earlier test held may be freed meanwhile: less is no fault.
      assert freed?(before, System.monotonic_time(:millisecond) + 30_000)
    end
  end

  describe "handles" do
    test "a reference without a term behind it, and what is no reference" do
      assert error_type(SharedTerm.fetch(make_ref())) == :unknown_handle
      assert error_type(SharedTerm.info(make_ref())) == :unknown_handle
      refute SharedTerm.alive?(make_ref())

      for call <- [
            &SharedTerm.fetch/1,
            &SharedTerm.fetch_in(&1, []),
            &SharedTerm.take/1,
            &SharedTerm.release/1,
            &SharedTerm.info/1,
            &SharedTerm.alive?/1
          ],
          bad <- [nil, 1, self(), "handle", [], {:ets_ref, make_ref()}, 2 ** 100] do
        assert_raise ArgumentError, ~r/expected the handle of a shared term/, fn ->
          call.(bad)
        end
      end
    end

    test "a handle of another node says so" do
      reference = :erlang.binary_to_term(<<131, 90, 2::16, 119, 5, "other", 1::32, 7::32, 9::32>>)

      assert {:error, error} = SharedTerm.fetch(reference)
      assert error.error_type == :foreign_node
      assert error.context == %{node: :other}
    end

    test "a handle that was written out and read back is the handle, while the term lives" do
      handle = SharedTerm.new(:here)
      written = :erlang.term_to_binary(handle)
      assert SharedTerm.fetch(:erlang.binary_to_term(written)) == {:ok, :here}
    end
  end

  describe "options and limits" do
    test "a term over max_size is refused, whichever way it is measured" do
      list = Enum.to_list(1..1000)
      assert is_reference(SharedTerm.new(list, max_size: 16_000))

      for term <- [list, fn -> list end, :binary.copy("x", 20_000)] do
        assert {:error, error} = SharedTerm.new(term, max_size: 15_999)
        assert error.error_type == :too_large
        assert error.context == %{max_size: 15_999}
      end
    end

    test "a term whose copy would never end is refused" do
      endless = Enum.reduce(1..200, [1], fn _, inner -> [inner | inner] end)
      assert error_type(SharedTerm.new(endless, max_size: 10_000_000)) == :too_large
    end

    test "a large read looks at no message that waits" do
      handle = SharedTerm.new(Enum.to_list(1..5_000))
      read = fn -> elem(:timer.tc(fn -> SharedTerm.fetch(handle) end), 0) end
      quick = Enum.min(for _ <- 1..20, do: read.())
      for n <- 1..300_000, do: send(self(), n)
      :erlang.garbage_collect()
      # Looking at each takes over 1,000 us; a busy machine takes longer at times.
      assert Enum.any?(1..500, fn _ -> read.() < quick + 500 end)
    end

    test "a bad option is named" do
      for {opts, text} <- [
            {[ttl: -1], "invalid option :ttl in SharedTerm.new/2"},
            {[ttl: 1.5], "invalid option :ttl in SharedTerm.new/2"},
            {[ttl: 2 ** 32], "invalid option :ttl in SharedTerm.new/2"},
            {[max_size: 0], "invalid option :max_size in SharedTerm.new/2"},
            {[size: 1], "unknown option :size in SharedTerm.new/2"},
            {:ttl, "expected a keyword list of options in SharedTerm.new/2"},
            {[{:ttl, 1} | 2], "expected a keyword list of options in SharedTerm.new/2"}
          ] do
        error = assert_raise ArgumentError, fn -> SharedTerm.new(:term, opts) end
        assert error.message =~ text
      end
    end

    test "info counts reads, bytes and what is left of the ttl" do
      handle = SharedTerm.new(Enum.to_list(1..1000), ttl: 60_000)
      for _ <- 1..3, do: SharedTerm.fetch(handle)
      SharedTerm.fetch_in(handle, [1])

      assert {:ok, %{state: :live, reads: 4, age: age, ttl: ttl, bytes: bytes}} =
               SharedTerm.info(handle)

      assert age in 0..10_000
      assert ttl in 50_000..60_000
      assert bytes == 16_000 + @live_env
    end
  end

  test "readers on every scheduler while others release, take, expire and are killed" do
    for round <- 1..30 do
      term = if rem(round, 3) == 0, do: large(), else: Map.new(1..200, &{&1, [&1]})
      ttl = if rem(round, 2) == 0, do: :infinity, else: rem(round, 7)
      handle = SharedTerm.new(term, ttl: ttl)

      readers =
        for _ <- 1..8 do
          spawn_monitor(fn -> read_until_gone(handle, term) end)
        end

      {victims, rest} = Enum.split(readers, 2)
      for {pid, _} <- victims, do: Process.exit(pid, :kill)
      if ttl == :infinity, do: Enum.random([&SharedTerm.release/1, &SharedTerm.take/1]).(handle)

      for {pid, monitor} <- rest,
          do: assert_receive({:DOWN, ^monitor, :process, ^pid, :normal}, 60_000)

      for {pid, monitor} <- victims,
          do: assert_receive({:DOWN, ^monitor, :process, ^pid, _}, 60_000)
    end
  end

  defp read_until_gone(handle, term) do
    case SharedTerm.fetch(handle) do
      {:ok, ^term} -> read_until_gone(handle, term)
      {:error, %Error{error_type: type}} when type in [:released, :expired] -> :ok
    end
  end

  test "the stubs themselves take any term" do
    for junk <- [nil, -1, 2 ** 100, [1 | 2], make_ref(), %{}, self()] do
      assert Native.shared_term_fetch(junk) == :no_handle
      assert Native.shared_term_fetch_in(junk, junk) == :no_handle
      assert Native.shared_term_take(junk) == :no_handle
      assert Native.shared_term_release(junk) == :no_handle
      assert Native.shared_term_info(junk) == :no_handle
      assert_raise ArgumentError, fn -> Native.shared_term_new(:term, junk, junk) end
    end
  end
end
