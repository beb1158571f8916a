defmodule Foundation.BEAM.Memory.Leaks.Search do
  @moduledoc false

  # The steps of a search, in the process that is made for it: what every process lists, what those
  # that can be looked into reach, what a collection gives back where that is wanted.

  alias Foundation.BEAM.Memory.Census
  alias Foundation.BEAM.Memory.Leaks.{Leak, Look}
  alias Foundation.BEAM.Memory.Origin
  alias Foundation.Native

  # Milliseconds for one process: a million binaries take 50 to be listed, and 100 to be read.
  @patience 300

  # Milliseconds for the collection of one: some ten gigabytes of heap.
  @longest_collection 10_000

  # Processes that are considered, the largest first.
  @most 10_000

  # A process that shows no more than this beside an empty list is not entered: identifiers of tables
  # and the like are off the heap as well.
  @nothing 64 * 1024

  @about [:reductions | Look.about()]

  # Reductions that being asked takes, with room for others who ask; handling a message takes more.
  @nothing_done 10

  @spec run(map()) :: map()
  def run(opts) do
    {handle, number} = Native.leaks_new()
    run = %{opts: opts, handle: handle, number: number, until: until(opts.timeout)}
    request = ask_binary_memory()
    pids = opts.pids || Process.list()
    {listed, skipped} = list_all(pids, run)
    {_totals, found, first?} = report(run)
    about = about(found, run)
    candidates = candidates(found, about, run)
    looks = look(candidates, listed, run)
    if opts.collect, do: collect(run)
    {totals, found, last?} = report(run)
    Native.leaks_close(handle)

    counts = %{
      searched: length(pids) - skipped,
      skipped: skipped,
      looked_into: Enum.count(looks, &(&1 == :all)),
      not_looked_into: Enum.count(looks, &(&1 in [:more, :later]))
    }

    left_out = max(length(candidates) - opts.max_looks, 0)
    all? = first? and last? and skipped + counts.not_looked_into + left_out == 0
    totals |> build(found, about, binary_memory(request), all?, run) |> Map.merge(counts)
  end

  # The reductions of those that gave their lists, and how many did not.
  defp list_all(pids, run) do
    {listed, late} = census(pids, &list(&1, run.handle), run)
    {full, listed} = Enum.split_with(listed, &match?({_pid, {:error, _full}}, &1))
    {Map.new(listed), length(late) + length(full)}
  end

  defp until(:infinity), do: :infinity
  defp until(ms), do: now() + ms

  defp now, do: System.monotonic_time(:millisecond)

  defp left(%{until: :infinity}), do: :infinity
  defp left(%{until: until}), do: max(until - now(), 0)

  # The VM asks every scheduler: one that is held up holds this up, so it is asked beside the search.
  # Some emulator flags take away what it knows.
  defp ask_binary_memory do
    {searcher, request} = {self(), make_ref()}

    spawn(fn ->
      bytes =
        try do
          :erlang.memory(:binary)
        rescue
          ErlangError -> nil
        end

      send(searcher, {request, bytes})
    end)

    request
  end

  defp binary_memory(request) do
    receive do
      {^request, bytes} -> bytes
    after
      @patience -> nil
    end
  end

  defp census(pids, probe, run) do
    case left(run) do
      0 -> {[], pids}
      left -> Census.map(pids, probe, patience: @patience, deadline: left)
    end
  end

  # A list that does not fit counts as one that was not given.
  defp list(pid, handle) do
    with [binary: list, garbage_collection_info: collection, reductions: reductions] <-
           :erlang.process_info(pid, [:binary, :garbage_collection_info, :reductions]),
         young = 8 * Keyword.get(collection, :bin_vheap_size, 0),
         old = 8 * Keyword.get(collection, :bin_old_vheap_size, 0),
         true <- list != [] or young + old > @nothing do
      taken =
        with :dirty <- Native.leaks_list(handle, pid, list, young, old),
             do: Native.leaks_list_dirty(handle, pid, list, young, old)

      if is_integer(taken), do: reductions, else: taken
    else
      _gone_or_without -> nil
    end
  end

  defp relist(pid, run, meanwhile) do
    probe = fn pid ->
      with {:binary, list} <- :erlang.process_info(pid, :binary),
           do: Native.leaks_again(run.handle, pid, list, meanwhile)
    end

    census([pid], probe, run)
  end

  # Nothing, and that this is not all, where there is no memory to put all lists in order.
  defp report(run) do
    case Native.leaks_report(run.handle, run.opts.min_bytes, @most) do
      {:error, _no_room} -> {{0, 0, 0, 0, 0, 0}, [], false}
      {totals, found} -> {totals, found, true}
    end
  end

  # What those that hold enough were doing.
  defp about(found, run) do
    {about, _skipped} = census(for({pid, _looked?, _figures} <- found, do: pid), &about/1, run)
    Map.new(about)
  end

  defp about(pid), do: with(:undefined <- :erlang.process_info(pid, @about), do: nil)

  defp candidates(_found, _about, %{opts: %{look: false}}), do: []

  defp candidates(found, about, _run) do
    for {pid, _looked?, _figures} <- found, Look.state(about[pid] || []) != :elsewhere, do: pid
  end

  # Those that are busy are asked once more when all others were.
  defp look(candidates, listed, run) do
    once =
      for pid <- Enum.take(candidates, run.opts.max_looks), do: {pid, look_into(pid, listed, run)}

    for {pid, outcome} <- once,
        do: if(outcome == :later, do: look_into(pid, listed, run), else: outcome)
  end

  # The candidates were found some time ago: what they do now says whether to ask.
  defp look_into(pid, listed, run) do
    case census([pid], &about/1, run) do
      {[{^pid, now}], []} -> look_into(pid, Look.state(now), done(pid, now, listed), run)
      {[], []} -> :gone
      {[], [^pid]} -> :later
    end
  end

  # A list may have arrived too late for its reductions to be known.
  defp done(pid, now, listed), do: now[:reductions] - Map.get(listed, pid, 0)

  # All is known of one that was seen and then listed again. Being asked alone may bring a collection.
  defp look_into(pid, {:idle, depth}, done, run) do
    outcome = Look.into(pid, run.number)

    case relist(pid, run, if(done <= @nothing_done, do: :looked, else: :worked)) do
      {[{^pid, freed}], []} when is_integer(freed) -> note(outcome, pid, depth, run)
      _gone_or_busy_or_full -> :later
    end
  end

  defp look_into(_pid, :busy, _done, _run), do: :later
  defp look_into(_pid, :elsewhere, _done, _run), do: :elsewhere

  defp note(:all, pid, depth, run),
    do: if(Native.leaks_looked(run.handle, pid, depth == :whole), do: :all, else: :later)

  defp note(outcome, _pid, _depth, _run), do: outcome

  # The largest first, one at a time.
  defp collect(run) do
    {_totals, found, _all?} = report(run)

    found
    |> Enum.map(&{Leak.gain(&1), elem(&1, 0)})
    |> Enum.filter(fn {gain, _pid} -> gain >= run.opts.min_bytes end)
    |> Enum.sort(:desc)
    |> Enum.each(fn {_gain, pid} ->
      if collected?(pid, run), do: relist(pid, run, :collected)
    end)
  end

  # The answer of a process that is too slow comes to nobody: this one is gone by then.
  defp collected?(pid, run) do
    request = make_ref()

    with wait when wait != 0 <- left(run),
         :async <- :erlang.garbage_collect(pid, async: request) do
      receive do
        {:garbage_collect, ^request, collected?} -> collected?
      after
        min(wait, @longest_collection) -> false
      end
    else
      _no_time_or_gone -> false
    end
  end

  defp build(totals, found, about, binary_memory, all?, run) do
    {_binaries, held, wasted, doubtful, freed, hidden} = totals
    %{min_bytes: least, limit: limit} = run.opts
    leaks = for figures <- found, do: Leak.new(figures, about[elem(figures, 0)])
    suspected = leaks |> Enum.map(& &1.old_generation_bytes) |> Enum.sum()
    shown = leaks |> Enum.filter(&Leak.worth?(&1, least)) |> Leak.rank() |> Enum.take(limit)

    %{
      leaks: named(shown, run),
      wasted_bytes: wasted - doubtful + freed,
      suspected_bytes: doubtful + suspected,
      freed_bytes: freed,
      held_bytes: held,
      binary_memory: binary_memory,
      unlisted_bytes: binary_memory && max(binary_memory - held, 0),
      hidden_bytes: hidden,
      complete?: all? and hidden < least and left(run) != 0
    }
  end

  defp named(leaks, run) do
    {names, _skipped} = census(Enum.map(leaks, & &1.pid), &name/1, run)
    names = Map.new(names)
    for leak <- leaks, do: Map.merge(leak, names[leak.pid] || %{name: nil, initial_call: nil})
  end

  defp name(pid) do
    with [registered_name: name, initial_call: call] <-
           :erlang.process_info(pid, [:registered_name, :initial_call]) do
      name = if name == [], do: nil, else: name
      %{name: name, initial_call: Origin.started(pid) || call}
    else
      :undefined -> nil
    end
  end
end
