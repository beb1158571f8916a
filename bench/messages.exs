# What it costs to bring a large term to many processes, and to measure a term.
#
#     MIX_ENV=prod mix run bench/messages.exs
#
# Fan-out: one sender, 1,000 new receivers, each of which reads one part of the term or all of it.
# "sender" is the time until the sender has done its part, "all read" until the last receiver has
# read; the median of several rounds, in each of which the ways take turns in another order. A ratio
# says how many times better `send_optimized/3` is than a loop of `send/2`.

Code.require_file("support/bench.exs", __DIR__)

defmodule Bench.Messages do
  alias Foundation.BEAM.Messages

  @receivers 1000
  @rounds 9
  @path [:rows, 7, :tags, 1]

  def run do
    for {name, rows} <- [{"24k", 88}, {"240k", 880}], reads <- [:part, :whole] do
      fan_out(name, Bench.nested(rows), reads)
    end

    measure()
  end

  defp fan_out(name, term, reads) do
    %{heap_bytes: heap} = Messages.measure(term)
    table = :ets.new(:bench, [:public, read_concurrency: true])

    ways = [
      {"send in a loop", &each(&1, term), &plain(&1, reads)},
      {"ETS by hand", &by_ets(&1, table, term), &from_ets(&1, table, reads)},
      {"send_optimized", &Messages.send_optimized(&1, term), &open(&1, reads)},
      {"... adaptive", &Messages.send_optimized(&1, term, policy: :adaptive, reads: reads),
       &open(&1, reads)}
    ]

    times =
      for _ <- 1..@rounds, {way, send, read} <- Enum.shuffle(ways), do: {way, round(send, read)}

    by_way = Enum.group_by(times, &elem(&1, 0), &elem(&1, 1))

    IO.puts("\n#{heap} bytes of heap to #{@receivers} receivers, each reads #{reads}")
    IO.puts(row(["", "sender us", "all read us"]))

    medians =
      for {way, _, _} <- ways, into: %{} do
        {sender, all} = Enum.unzip(by_way[way])
        {sender, all} = {Bench.median(sender), Bench.median(all)}
        IO.puts(row([way, sender, all]))
        {way, {sender, all}}
      end

    {sender, all} = medians["send in a loop"]

    for {way, suffix} <- [{"send_optimized", ""}, {"... adaptive", "_adaptive"}] do
      {s, a} = medians[way]
      Bench.ratio("messages_fanout_#{name}_#{reads}_sender#{suffix}", sender / s)
      Bench.ratio("messages_fanout_#{name}_#{reads}_all#{suffix}", all / a)
    end

    :ets.delete(table)
  end

  # Receivers are new in every round: none has a heap that an earlier message has made larger.
  defp round(send, read) do
    {owner, count} = {self(), :atomics.new(1, [])}

    receivers =
      for _ <- 1..@receivers do
        spawn(fn ->
          receive do
            message -> read.(message)
          end

          if :atomics.add_get(count, 1, 1) == @receivers, do: send(owner, :all_read)
        end)
      end

    :erlang.garbage_collect()
    started = System.monotonic_time()
    send.(receivers)
    sent = System.monotonic_time()

    receive do
      :all_read -> :ok
    end

    read = System.monotonic_time()
    gone(receivers)
    {us(sent - started), us(read - started)}
  end

  # Their heaps are freed in no way's time.
  defp gone(receivers) do
    refs = Enum.map(receivers, &Process.monitor/1)

    for ref <- refs do
      receive do
        {:DOWN, ^ref, :process, _, _} -> :ok
      end
    end
  end

  defp each(receivers, term), do: Enum.each(receivers, &send(&1, term))
  defp plain(term, :part), do: part(term)
  # Touches all of it.
  defp plain(term, :whole), do: :erlang.phash2(term)

  defp by_ets(receivers, table, term) do
    :ets.insert(table, {:term, term})
    Enum.each(receivers, &send(&1, {:ets, :term}))
  end

  defp from_ets({:ets, key}, table, reads), do: :ets.lookup_element(table, key, 2) |> plain(reads)

  defp open(message, :part), do: Messages.read!(message, @path)
  defp open(message, :whole), do: message |> Messages.open!() |> plain(:whole)

  defp part(term), do: term.rows |> Enum.at(7) |> Map.fetch!(:tags) |> Enum.at(1)

  @terms [
    {"a small tuple", {:ok, 1, "abc"}, :small},
    {"1,000 integers", Enum.to_list(1..1000), :large},
    {"100,000 integers", Enum.to_list(1..100_000), :large},
    {"1,000 small maps", Enum.map(1..1000, &%{id: &1, name: "n"}), :large}
  ]

  defp measure do
    IO.puts("\nmeasure, limit 10,240 bytes, and :erts_debug.flat_size, ns a call")
    IO.puts(row(["", "measure", "flat_size"]))

    for {name, term, kind} <- @terms do
      [ours, theirs] =
        for fun <- [
              fn -> Messages.measure(term, 10_240) end,
              fn -> :erts_debug.flat_size(term) end
            ],
            do: Enum.min(for _ <- 1..7, do: Bench.time(fun))

      IO.puts(row([name, round(ours), round(theirs)]))
      # What matters of a small term is the call, of a large one that the walk ends.
      if kind == :small, do: Bench.ratio("measure_small_to_flat_size", ours / theirs)
      if kind == :large, do: Bench.ratio("measure_us_#{slug(name)}", ours / 1000)
    end
  end

  defp slug(name), do: name |> String.replace(",", "") |> String.replace(" ", "_")

  defp us(native), do: System.convert_time_unit(native, :native, :microsecond)

  defp row([head | rest]),
    do: Enum.join([String.pad_trailing(head, 24) | Enum.map(rest, &cell/1)], " ")

  defp cell(value), do: value |> to_string() |> String.pad_leading(14)
end

Bench.Messages.run()
