# One large real term to many processes, by the ways that there are.
#
#     mix run bench/demo.exs          (or bin/demo, which builds first)
#
# The term is the documentation and the abstract code of every module of the installed Elixir. It
# goes to 10, 100 and 1,000 processes, in one message each.
#
#   * sender: from the start until the last message is sent, with all that is done before sending
#   * all read: from the start until the last process has what it wants as a term of its own
#   * memory: by how much the resident memory of the operating system process rose at most (VmHWM)
#
# Each row runs in a VM of its own, so that none profits from memory that another has left behind. It
# is done up to five times there; the best is shown (of memory the first). The receivers wait for
# their message before the clock starts. After it has stopped, each compares what it has read with
# the original. A row whose processes would hold more than 1 GiB of copies is not run.

# What runs in those VMs.
beams = Code.require_file("demo/row.ex", __DIR__)

defmodule Demo.Input do
  # Every module of Elixir: %{module => %{docs: ..., forms: ...}}.
  def read do
    files = :elixir |> :code.lib_dir() |> Path.join("ebin/*.beam") |> Path.wildcard()
    Map.new(files, fn file -> {module(file), %{docs: docs(file), forms: forms(file)}} end)
  end

  # Modules in the order of their names, as many as `bytes` hold.
  def part(term, bytes) do
    term
    |> Enum.sort()
    |> Enum.reduce({%{}, bytes}, fn {module, chunks}, {part, left} ->
      # An entry of a map takes some words besides its key and value.
      size = Foundation.BEAM.Messages.measure({module, chunks}).heap_bytes + 40
      if size <= left, do: {Map.put(part, module, chunks), left - size}, else: {part, left}
    end)
    |> elem(0)
  end

  defp module(file), do: file |> Path.basename(".beam") |> String.to_atom()

  defp docs(file) do
    case Code.fetch_docs(file) do
      docs when elem(docs, 0) == :docs_v1 -> docs
      {:error, _} -> nil
    end
  end

  defp forms(file) do
    case :beam_lib.chunks(String.to_charlist(file), [:abstract_code]) do
      {:ok, {_, [abstract_code: {_, forms}]}} -> forms
      {:ok, {_, [abstract_code: :no_abstract_code]}} -> []
    end
  end
end

defmodule Demo.VM do
  # A VM with the same code, for one row. The pipes of a peer need no distribution.
  def row(beams, arguments) do
    path = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
    {:ok, peer, _} = :peer.start_link(%{connection: :standard_io, args: path, wait_boot: 30_000})
    call = &:peer.call(peer, &1, &2, &3, 60_000)
    {:ok, _} = call.(:application, :ensure_all_started, [:foundation])

    for {module, beam} <- beams,
        do: {:module, _} = call.(:code, :load_binary, [module, ~c"demo", beam])

    row = call.(Demo.Row, :run, arguments)
    :peer.stop(peer)
    row
  end
end

defmodule Demo.Table do
  alias Demo.Way

  def head(text) do
    IO.puts("\n" <> text)
    columns(["receivers", "way", "went as", "sender", "all read", "memory"]) |> IO.puts()
    IO.puts(String.duplicate("-", 92))
  end

  def row(%{would_copy: bytes} = row) do
    IO.puts(columns([number(row.n), Way.name(row.way), went_as(row), "would copy #{gib(bytes)}"]))
  end

  def row(row) do
    [
      number(row.n),
      Way.name(row.way),
      went_as(row),
      ms(row.sender_us),
      ms(row.read_us),
      mib(row.bytes)
    ]
    |> columns()
    |> IO.puts()
  end

  defp went_as(%{strategy: nil}), do: ""
  defp went_as(%{strategy: strategy}), do: inspect(strategy)

  defp columns([n, way, as | figures]) do
    String.pad_leading(n, 9) <>
      "  " <>
      String.pad_trailing(way, 28) <>
      String.pad_trailing(as, 17) <> Enum.map_join(figures, &String.pad_leading(&1, 12))
  end

  def ms(us) when us < 10_000, do: "#{Float.round(us / 1000, 2)} ms"
  def ms(us), do: "#{number(round(us / 1000))} ms"
  def mib(bytes), do: "#{number(round(bytes / 1_048_576))} MiB"
  def gib(bytes), do: "#{Float.round(bytes / 1_073_741_824, 1)} GiB"

  def number(integer) do
    integer |> Integer.to_string() |> String.replace(~r/(?<=\d)(?=(\d{3})+$)/, ",")
  end
end

defmodule Demo.Advice do
  # What the measured rows say, in words. Nothing is said of what has not been measured.
  alias Demo.{Table, Way}

  # Up to here no difference is claimed.
  @tie 1.25

  def print(rows) do
    IO.puts("\nWhat to use when, by these figures (up to #{@tie} times as long counts as equal):")
    cases = for reads <- [:part, :whole], n <- Enum.uniq_by(rows, & &1.n), do: {reads, n.n}
    best = for {reads, n} <- cases, do: {reads, one(merged(rows, reads, n), reads, n)}

    for reads <- [:part, :whole] do
      always =
        for({^reads, names} <- best, do: MapSet.new(names)) |> Enum.reduce(&MapSet.intersection/2)

      short(what(reads), Enum.sort(always)) |> IO.puts()
    end
  end

  defp short(what, []), do: "To read #{what}: it depends on the number of processes."

  defp short(what, names),
    do: "To read #{what}: #{Enum.join(names, " or ")}, whatever their number."

  # Prints the sentence for one case; gives the names of the ways that are as good as the best.
  defp one(rows, reads, n) do
    {measured, skipped} = Enum.split_with(rows, &is_map_key(&1, :read_us))
    best = Enum.min_by(measured, & &1.read_us)
    {equal, slower} = Enum.split_with(measured, &(&1.read_us <= best.read_us * @tie))
    names = Enum.map(equal, & &1.name)

    IO.puts([
      "  #{Table.number(n)} processes read #{what(reads)}: #{Enum.join(names, " or ")} ",
      "(#{Table.ms(best.read_us)}, #{Table.mib(best.bytes)})",
      Enum.map(
        slower,
        &"; #{&1.name} takes #{times(&1, best)} times as long (#{Table.mib(&1.bytes)})"
      ),
      Enum.map(skipped, &"; #{&1.name} would copy #{Table.gib(&1.would_copy)}"),
      sender(measured)
    ])

    names
  end

  defp sender(measured) do
    {soon, late} = Enum.min_max_by(measured, & &1.sender_us)

    if late.sender_us > soon.sender_us * 2 do
      "; the sender is free after #{Table.ms(soon.sender_us)} with #{soon.name}, " <>
        "#{Table.ms(late.sender_us)} with #{late.name}"
    else
      ""
    end
  end

  # Where both policies go the same way, they are one: what they differ by is chance.
  defp merged(rows, reads, n) do
    rows = for %{reads: ^reads, n: ^n} = row <- rows, do: Map.put(row, :name, Way.name(row.way))

    case Enum.split_with(rows, &is_nil(&1.strategy)) do
      {others, [%{strategy: same} = one, %{strategy: same} = two]} ->
        others ++ [one |> Map.merge(two, &mean/3) |> Map.put(:name, "send_optimized")]

      _ ->
        rows
    end
  end

  defp mean(key, one, two) when key in [:sender_us, :read_us, :bytes], do: div(one + two, 2)
  defp mean(_key, one, _two), do: one

  defp times(row, best), do: Float.round(row.read_us / max(best.read_us, 1), 1)
  defp what(:part), do: "one entry"
  defp what(:whole), do: "all"
end

defmodule Demo do
  alias Demo.{Advice, Input, Table, VM, Way}
  alias Foundation.BEAM.Messages

  @receivers [10, 100, 1000]
  @copies_limit 1_073_741_824

  def run(beams) do
    started = System.monotonic_time(:millisecond)
    IO.puts("Reading the documentation and abstract code of every module of Elixir ...")
    term = Input.read()

    if not match?(%{String => %{docs: {_, _, _, _, %{"en" => _}, _, _}}}, term) do
      IO.puts(:stderr, "The installed Elixir comes without documentation: nothing to send.")
      System.halt(1)
    end

    size = Messages.measure(term)
    IO.puts("One map of #{map_size(term)} modules: #{sizes(size)}.")

    Table.head("Each process reads one entry of it, at #{inspect(Way.path())}:")
    entry = rows(beams, term, size, :part)

    part = Input.part(term, div(@copies_limit, List.last(@receivers)))
    size = Messages.measure(part)
    Table.head("Each process reads all of a part, #{map_size(part)} modules: #{sizes(size)}:")
    whole = rows(beams, part, size, :whole)

    Advice.print(entry ++ whole)
    seconds = Float.round((System.monotonic_time(:millisecond) - started) / 1000, 1)
    IO.puts("\nEvery process has read what it should have. #{seconds} s in all.")
  end

  defp sizes(%{heap_bytes: heap, binary_bytes: binaries}),
    do: "#{Table.mib(heap)} of heap, #{Table.mib(binaries)} of binaries"

  defp rows(beams, term, size, reads) do
    file = Path.join(System.tmp_dir!(), "foundation-demo-#{System.pid()}")
    File.write!(file, :erlang.term_to_binary(term))

    try do
      for n <- @receivers, way <- Way.all() do
        row = row(beams, way, n, reads, term, size.heap_bytes, file)
        Table.row(row)
        row
      end
    after
      File.rm!(file)
    end
  end

  defp row(beams, way, n, reads, term, bytes, file) do
    strategy = Way.strategy(way, term, n, reads)
    row = %{way: way, n: n, reads: reads, strategy: strategy}

    case Way.copies(way, strategy, n, reads) * bytes do
      copies when copies > @copies_limit -> Map.put(row, :would_copy, copies)
      _ -> Map.merge(row, VM.row(beams, [way, n, reads, file, div(bytes, 8)]))
    end
  end
end

Demo.run(beams)
