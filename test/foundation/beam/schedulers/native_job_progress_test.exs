defmodule Foundation.BEAM.Schedulers.NativeJobProgressTest do
  # What native jobs tell on their way. Has the slots of this VM for itself.
  use ExUnit.Case

  alias Foundation.BEAM.Schedulers
  alias Foundation.BEAM.Schedulers.{Ends, Progress, Slots}
  alias Foundation.BEAM.Schedulers.NativeJob.Helpers
  alias Foundation.BEAM.Schedulers.Slots.Turn
  alias Foundation.Eventually

  # Some hundred slices, on any machine.
  defp long do
    :rand.seed(:exsss, {1, 2, 3})
    block = for _ <- 1..10_000, into: <<>>, do: <<:rand.uniform()::float-native>>
    {:f64, :binary.copy(block, 300)}
  end

  defp sort(data, opts), do: Schedulers.cpu_intensive(data, {:native, :sort}, opts)

  test "progress comes after every slice, in the caller, with a total that is reached at the end" do
    text = String.duplicate(Enum.join(1..3_000, " ") <> " ", 300)
    texts = for n <- 1..8_000, do: binary_part(text, n * 40, 900)

    for {data, kernel, opts} <- [
          {long(), :sort, []},
          {long(), :top_k, [k: 100_000]},
          {text, :words, []},
          {texts, :words, []},
          {String.duplicate(text, 15), :count, [pattern: "99"]},
          {texts, :compress_many, []}
        ],
        parallel <- [false, true] do
      me = self()
      tell = fn figures -> send(me, {:told, self(), figures}) end
      opts = [progress: tell, progress_interval: 0, parallel: parallel] ++ opts
      Schedulers.cpu_intensive(data, {:native, kernel}, opts)
      figures = told(me)
      assert length(figures) > 2
      for part <- [:done, :total], do: assert_rising(Enum.map(figures, &Map.fetch!(&1, part)))
      assert Enum.all?(Enum.drop(figures, -1), &(&1.done < &1.total))
      # More than a unit for each part.
      assert %{done: all, total: all} = List.last(figures)
      assert all > 1_000
    end
  end

  defp assert_rising(numbers), do: assert(numbers == Enum.sort(numbers))

  defp told(me) do
    receive do
      {:told, ^me, figures} -> [figures | told(me)]
    after
      0 -> []
    end
  end

  # For its helpers.
  defp waits?(pid) do
    match?({_, {Helpers, _, _}}, Process.info(pid, :current_function)) and
      Process.info(pid, :status) == {:status, :waiting}
  end

  # Without a second scheduler nobody helps.
  @tag skip: :erlang.system_info(:dirty_cpu_schedulers_online) == 1
  test "the work of others is told while the caller waits for them" do
    # Once in three: a busy machine may not let the caller see them at work, or let them be done
    # before it is.
    assert Enum.any?(1..3, fn _ -> told_while_waiting?(long()) end)
  end

  defp told_while_waiting?(data) do
    test = self()

    tell = fn figures ->
      send(test, {:told, self(), figures})
      if Process.put(:told, true) == nil, do: receive(do: (:go -> :ok))
    end

    opts = [parallel: true, progress: tell, progress_interval: 0]
    pid = spawn_link(fn -> sort(data, opts) end)
    assert_receive {:told, ^pid, _figures}, 30_000
    helpers = pid |> Process.info(:monitors) |> elem(1) |> Keyword.get_values(:process)
    # With all slots here, they wait, and cannot be done before they are suspended.
    {shared, _all} = Slots.limits()
    taken = for _ <- 1..shared, do: Turn.take(Turn.new(make_ref()), Ends.never())
    suspended = Enum.filter(helpers, &suspended?/1)
    for {:ok, turn} <- taken, do: Turn.give_back(turn)
    send(pid, :go)
    assert Eventually.eventually?(fn -> suspended == [] or waits?(pid) end)
    before = List.last(told(pid))
    monitor = Process.monitor(pid)
    for helper <- suspended, do: :erlang.resume_process(helper)
    assert_receive {:DOWN, ^monitor, _, _, reason} when reason in [:normal, :noproc], 30_000

    # What comes later is told with the units of the merge.
    suspended != [] and
      Enum.any?(told(pid), fn %{done: done, total: total} ->
        total == before.total and done in (before.done + 1)..(total - 2)
      end)
  end

  # It may have ended.
  defp suspended?(pid) do
    :erlang.suspend_process(pid)
  rescue
    ArgumentError -> false
  end

  test "whoever may take a while to be told has that while the job has no slot" do
    data = long()

    for {to, waits?} <- [{elsewhere(), true}, {self(), false}, {fn _ -> :ok end, true}] do
      assert Progress.waits?(Progress.new(to, 0, :unknown)) == waits?
      refute Progress.waits?(Progress.new(to, 3_600_000, :unknown))
      test = self()

      pid =
        spawn_link(fn ->
          receive do: (:go -> :ok)
          sort(data, progress: to, progress_interval: 0)
          send(test, {:sorted, self()})
        end)

      :erlang.trace(pid, true, [:send])
      send(pid, :go)
      assert_receive {:trace, ^pid, :send, {:sorted, ^pid}, _to}, 30_000
      # Once at the end in any case.
      assert dropped(pid) > 1 == waits?
    end
  end

  # A process of a node that there is not.
  defp elsewhere, do: :erlang.binary_to_term(<<131, 88, 119, 3, "a@b", 1::32, 1::32, 1::32>>)

  defp dropped(pid) do
    receive do
      {:trace, ^pid, :send, {:"$gen_cast", {:drop, _id}}, _to} -> 1 + dropped(pid)
      {:trace, ^pid, :send, _message, _to} -> dropped(pid)
    after
      0 -> 0
    end
  end

  test "an interval may be longer than the VM waits at once" do
    test = self()

    # It goes on once it is waited for.
    helper = spawn_monitor(fn -> assert Eventually.eventually?(fn -> waits?(test) end) end)

    assert Helpers.await([helper], Ends.never(), 2 ** 70) == :ok
  end

  test "progress goes to a process; of a small job once" do
    me = self()
    sort(long(), progress: me, progress_interval: 3_600_000)
    assert_received {:cpu_progress, ^me, %{done: all, total: all}}
    refute_received {:cpu_progress, _, _}
    sort([1], progress: me, progress_interval: 0)
    assert_received {:cpu_progress, ^me, %{done: 1, total: 1}}
    refute_received {:cpu_progress, _, _}
  end

  test "the progress function has no slot, so it may have work of its own" do
    data = long()
    expected = sort(data, [])

    tell = fn _ ->
      assert :sys.get_state(Slots).members == %{}
      if Process.put(:asked, true) == nil, do: assert(sort(data, []) == expected)
    end

    assert sort(data, progress: tell, progress_interval: 0) == expected
    assert Process.get(:asked)
  end
end
