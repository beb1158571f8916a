# What a shared term costs beside ETS, and what measuring a term costs beside the VM's own walk.
#
#     mix run bench/shared_term.exs
#
# All figures are medians over rounds in which the candidates take turns; each turn runs in a process
# of its own, so that none pays for another's garbage. A figure is what a call takes in a loop over
# `fun.()`; the loop alone is shown where it matters. `..._by_foundation` ratios are above 1 where
# Foundation is quicker; `..._times_...` ratios say how many times the peer's time it takes.
#
# `:ets.lookup` copies in one pass over memory that lies in one piece; the NIF interface copies by
# walking the term twice, first for its size, which is also what `:ets.lookup_element` does.

Code.require_file("support/bench.exs", __DIR__)

defmodule Bench.Rounds do
  # Nanoseconds a call, by candidate: `{name, calls in a turn, fun}`.
  def medians(candidates, rounds \\ 15) do
    turns =
      for _ <- 1..rounds, {name, calls, fun} <- candidates do
        {name, turn(fun, calls)}
      end

    for {name, times} <- Enum.group_by(turns, &elem(&1, 0), &elem(&1, 1)),
        into: %{},
        do: {name, Bench.median(times)}
  end

  # One turn: in as many processes at once as `processes` says, the slowest counts.
  def turn(fun, calls, processes \\ 1) do
    1..processes
    |> Enum.map(fn _ -> Task.async(fn -> warm(fun, calls) end) end)
    |> Task.await_many(:infinity)
    |> Enum.max()
  end

  defp warm(fun, calls) do
    fun.()
    Bench.time(fun, calls)
  end
end

defmodule Bench.SharedTerm do
  alias Bench.Rounds
  alias Foundation.BEAM.SharedTerm
  alias Foundation.BEAM.Term.Size

  @heap_bytes 240_000
  @bounded 10_240

  def run do
    reading()
    parallel()
    making()
    measuring_small()
    measuring_bounded()
  end

  # `%{users: %{1 => %{id: 1, name: "user 1", tags: [:a, :b], at: {1.5, 2.5}}, ...}}`
  defp nested(bytes) do
    one = :erts_debug.flat_size(users(100)) * 8 / 100
    users(round(bytes / one))
  end

  defp users(count) do
    %{users: Map.new(1..count, &{&1, user(&1)}), version: 1}
  end

  defp user(n), do: %{id: n, name: "user #{n}", tags: [:a, :b], at: {n * 1.5, n * 2.5}}

  defp reading do
    term = nested(@heap_bytes)
    {handle, table} = {SharedTerm.new(term), table(term)}
    id = div(map_size(term.users), 2)
    path = [:users, id, :name]
    head = [{{:term, %{users: %{id => %{name: :"$1"}}}}, [], [:"$1"]}]
    name = get_in(term, path)
    {:ok, ^term} = SharedTerm.fetch(handle)
    {:ok, ^name} = SharedTerm.fetch_in(handle, path)
    [^name] = :ets.select(table, head)

    ns =
      Rounds.medians([
        {:fetch, 60, fn -> SharedTerm.fetch(handle) end},
        {:lookup, 60, fn -> :ets.lookup(table, :term) end},
        {:element, 60, fn -> :ets.lookup_element(table, :term, 2) end},
        {:fetch_in, 20_000, fn -> SharedTerm.fetch_in(handle, path) end},
        {:get_in, 60, fn -> get_in(elem(hd(:ets.lookup(table, :term)), 1), path) end},
        {:select, 10_000, fn -> :ets.select(table, head) end}
      ])

    title("reading a term of #{:erts_debug.flat_size(term) * 8} bytes of heap")
    row("SharedTerm.fetch", ns.fetch)
    row(":ets.lookup", ns.lookup)
    row(":ets.lookup_element", ns.element)
    row("SharedTerm.fetch_in, three steps", ns.fetch_in)
    row(":ets.lookup and get_in", ns.get_in)
    row(":ets.select, the path in the head", ns.select)
    ratio("shared_term_fetch_ets_lookup_by_foundation", ns.lookup / ns.fetch)
    ratio("shared_term_fetch_ets_lookup_element_by_foundation", ns.element / ns.fetch)
    ratio("shared_term_fetch_in_ets_lookup_by_foundation", ns.get_in / ns.fetch_in)
    ratio("shared_term_fetch_in_ets_select_by_foundation", ns.select / ns.fetch_in)
  end

  # Two processes, one handle (or one table): what each call costs more than alone.
  defp parallel do
    term = nested(@heap_bytes)
    {handle, table} = {SharedTerm.new(term), table(term)}
    path = [:users, 7, :name]
    head = [{{:term, %{users: %{7 => %{name: :"$1"}}}}, [], [:"$1"]}]

    title("the same from two processes at once")

    for {name, calls, fun} <- [
          {"fetch", 60, fn -> SharedTerm.fetch(handle) end},
          {"ets_lookup", 60, fn -> :ets.lookup(table, :term) end},
          {"fetch_in", 20_000, fn -> SharedTerm.fetch_in(handle, path) end},
          {"ets_select", 10_000, fn -> :ets.select(table, head) end}
        ] do
      turns = for _ <- 1..15, do: {Rounds.turn(fun, calls), Rounds.turn(fun, calls, 2)}
      {alone, both} = Enum.unzip(turns)
      row(name <> ", alone", Bench.median(alone))
      row(name <> ", two processes", Bench.median(both))
      ratio("shared_term_two_processes_#{name}", Bench.median(both) / Bench.median(alone))
    end
  end

  defp table(term) do
    table = :ets.new(:bench, [:public, read_concurrency: true])
    :ets.insert(table, {:term, term})
    table
  end

  defp making do
    title("making a term and releasing it")

    for {name, bytes, calls} <- [
          {"1_kb", 1_000, 3_000},
          {"24_kb", 24_000, 500},
          {"240_kb", 240_000, 60}
        ] do
      term = nested(bytes)

      ns =
        Rounds.medians([
          {:own, calls, fn -> SharedTerm.release(SharedTerm.new(term)) end},
          {:ttl, calls, fn -> SharedTerm.release(SharedTerm.new(term, ttl: 60_000)) end},
          {:ets, calls, insert_and_delete(term)}
        ])

      row("new and release, #{name}", ns.own)
      row("the same with a ttl, #{name}", ns.ttl)
      row("ETS: insert and delete, #{name}", ns.ets)
      ratio("shared_term_new_release_#{name}_ets_by_foundation", ns.ets / ns.own)
    end
  end

  # As many entries as calls, each under a key of its own, as messages would have.
  defp insert_and_delete(term) do
    table = :ets.new(:bench, [:public, write_concurrency: true])

    fn ->
      key = :erlang.unique_integer()
      :ets.insert(table, {key, term})
      :ets.delete(table, key)
    end
  end

  defp measuring_small do
    title("measuring small terms")

    small = [
      integer: 7,
      tuple: {:ok, 1},
      list: [1, 2, 3],
      map: %{a: 1, b: 2},
      string: "a string",
      struct: URI.parse("http://localhost/path"),
      user: user(1)
    ]

    ratios =
      for {name, term} <- small do
        ns =
          Rounds.medians([
            {:own, 50_000, fn -> Size.measure(term) end},
            {:bounded, 50_000, fn -> Size.measure(term, @bounded) end},
            {:flat_size, 50_000, fn -> :erts_debug.flat_size(term) end},
            {:nothing, 50_000, fn -> term end}
          ])

        row("#{name}: measure", ns.own)
        row("#{name}: flat_size", ns.flat_size)
        row("#{name}: the loop alone", ns.nothing)
        ratio("measure_small_#{name}_times_flat_size", ns.own / ns.flat_size)
        max(ns.own, ns.bounded) / ns.flat_size
      end

    ratio("measure_small_worst_times_flat_size", Enum.max(ratios))
    ratio("measure_small_median_times_flat_size", Bench.median(ratios))
  end

  defp measuring_bounded do
    title("measuring large terms, up to #{@bounded} bytes")

    worst =
      for {name, term} <- large() do
        %{complete?: false} = Size.measure(term, @bounded)

        ns =
          Rounds.medians([
            {:own, 2_000, fn -> Size.measure(term, @bounded) end},
            {:flat_size, 5, fn -> :erts_debug.flat_size(term) end}
          ])

        row("#{name}: measure", ns.own)
        row("#{name}: flat_size", ns.flat_size)
        ns.own
      end

    ratio("measure_bounded_worst_us", Enum.max(worst) / 1000)
  end

  defp large do
    [
      integers: Enum.to_list(1..100_000),
      floats: Enum.map(1..20_000, &(&1 * 1.5)),
      bignums: Enum.map(1..20_000, &(2 ** 70 + &1)),
      pairs: Enum.map(1..20_000, &{&1, &1}),
      singles: Enum.map(1..20_000, &{&1}),
      tuple: List.to_tuple(Enum.to_list(1..100_000)),
      tuple_of_tuples: List.to_tuple(Enum.map(1..20_000, &{&1})),
      lists: Enum.map(1..20_000, &[&1]),
      map: Map.new(1..20_000, &{&1, &1}),
      maps: Enum.map(1..10_000, &%{a: &1}),
      empty_maps: Enum.map(1..20_000, fn _ -> %{} end),
      map_of_100: Enum.map(1..200, fn _ -> Map.new(1..100, &{&1, {&1}}) end),
      users: nested(1_000_000),
      strings: Enum.map(1..20_000, &"user #{&1}"),
      large_binaries: Enum.map(1..1_000, fn _ -> :binary.copy("x", 100) end),
      parts: Enum.map(1..20_000, &binary_part(:binary.copy("x", 65), rem(&1, 60), 2)),
      references: Enum.map(1..20_000, fn _ -> make_ref() end),
      charlists: Enum.map(1..5_000, &'user #{&1}'),
      keywords: Enum.map(1..5_000, &[id: &1, ok: true]),
      left_deep: Enum.reduce(1..20_000, [], fn _, inner -> [inner] end),
      tuple_deep: Enum.reduce(1..20_000, {}, fn _, inner -> {inner} end)
    ]
  end

  defp title(text), do: IO.puts("\n#{text}\n")

  defp row(text, ns) do
    {value, unit} = if ns >= 1000, do: {ns / 1000, "us"}, else: {ns, "ns"}
    time = :erlang.float_to_binary(value * 1.0, decimals: if(value < 10, do: 2, else: 1))
    IO.puts(String.pad_trailing(text, 44) <> String.pad_leading(time, 10) <> " " <> unit)
  end

  defp ratio(name, value), do: IO.puts("RATIO #{name} #{Float.round(value * 1.0, 2)}")
end

Bench.SharedTerm.run()
