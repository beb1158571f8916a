# Where each strategy becomes the cheapest under the adaptive policy's measured model: the table of
# guides/choosing-a-strategy.md.
#
#     mix run bench/crossovers.exs

Code.require_file("support/bench.exs", __DIR__)

alias Foundation.BEAM.Messages

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
    data = Bench.nested(max(div(bytes, 272), 1))

    cells =
      for n <- receivers do
        name[Messages.strategy_for(data, [policy: :adaptive, receivers: n] ++ opts).strategy]
      end

    IO.puts("| #{Messages.measure(data).heap_bytes} bytes | " <> Enum.join(cells, " | ") <> " |")
  end
end
