# Where each strategy becomes the cheapest under the adaptive policy's measured model: the table of
# guides/choosing-a-strategy.md.
#
#     mix run bench/crossovers.exs

alias Foundation.BEAM.Messages

# Nested terms of about the given bytes of heap.
term = fn bytes ->
  rows =
    for n <- 1..max(div(bytes, 272), 1) do
      %{id: n, name: "name #{n}", at: {2024, 1, n}, tags: [:a, "tag #{n}", n * 1.5], sum: n * n}
    end

  %{rows: rows, total: length(rows)}
end

sizes = [300, 1_000, 4_000, 16_000, 64_000, 256_000]
receivers = [1, 2, 5, 10, 100, 1_000]
name = %{direct: "direct", ets_reference: "reference", binary_sharing: "binary"}

for {title, opts} <- [
      {"local, each reads a part", [reads: :part]},
      {"local, each reads all", [reads: :whole]},
      {"another node", [remote: true]}
    ] do
  IO.puts("\n| #{title} | " <> Enum.map_join(receivers, " | ", &"#{&1}") <> " |")
  IO.puts("|---" <> String.duplicate("|---", length(receivers)) <> "|")

  for bytes <- sizes do
    data = term.(bytes)

    cells =
      for n <- receivers do
        name[Messages.strategy_for(data, [policy: :adaptive, receivers: n] ++ opts).strategy]
      end

    IO.puts("| #{Messages.measure(data).heap_bytes} bytes | " <> Enum.join(cells, " | ") <> " |")
  end
end
