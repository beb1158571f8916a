# What the shared store costs beside ETS, and beside a cache over ETS with a time to live.
#
#     mix run bench/shared_store.exs                  # all sections but soak
#     mix run bench/shared_store.exs small growth     # some
#     mix run bench/shared_store.exs soak             # ten million operations, a few minutes
#
# Sections: small, ttl, large, bytes, growth, latency, batch, expiry, soak.
#
# Within a section the candidates take turns, each turn in processes of its own; figures are medians
# of the turns. Where several processes work at once the slowest counts. `..._by_store` ratios are
# above 1 where the store is the better one; against ETS each is given twice: beside the usual options
# (`read_concurrency: true, write_concurrency: :auto`), and beside whichever of the options listed in
# `shared_store/sides.exs` did best at that figure.
#
# `ttl` needs `erlang-p1-cache-tab` (Debian: `apt-get install erlang-p1-cache-tab`), and says so where
# it is absent.

for file <- ~w(support/bench turns sides small ttl large bytes growth latency batch expiry soak) do
  folder = if file == "support/bench", do: "", else: "shared_store/"
  Code.require_file("#{folder}#{file}.exs", __DIR__)
end

defmodule Bench.SharedStore do
  @sections [
    small: Bench.Store.Small,
    ttl: Bench.Store.Ttl,
    large: Bench.Store.Large,
    bytes: Bench.Store.Bytes,
    growth: Bench.Store.Growth,
    latency: Bench.Store.Latency,
    batch: Bench.Store.Batch,
    expiry: Bench.Store.Expiry,
    soak: Bench.Store.Soak
  ]

  # What `bytes` runs in virtual machines of their own.
  def run(["bytes_of", side]), do: Bench.Store.Bytes.child(side)

  def run([]), do: @sections |> Keyword.delete(:soak) |> Keyword.values() |> each()

  def run(names) do
    names |> Enum.map(&section/1) |> each()
  end

  defp each(modules), do: Enum.each(modules, & &1.run())

  defp section(name) do
    Enum.find_value(@sections, fn {known, module} -> "#{known}" == name && module end) ||
      raise ArgumentError,
            "no section #{name}; there are: #{Enum.map_join(@sections, ", ", &elem(&1, 0))}"
  end
end

Bench.SharedStore.run(System.argv())
