# `optimize_binary/2` and `restore_binary/2` beside `:zlib` and `:binary.copy/1`.
#
#     mix run bench/memory/binaries.exs
#
# The data is the documentation of the installed Elixir's functions, in pieces of each size. `X_speedup`
# is the time of the peer over ours, `X_size` our bytes over those of `:zlib`.
# `share_*` is our time over that of the copy that everybody can make: below one where nothing has to be
# copied, about one where a part has to be.

Code.require_file("../support/bench.exs", __DIR__)

defmodule Bench.Memory.Binaries do
  alias Foundation.BEAM.Memory

  def run do
    lines = lines()

    for {name, size} <- [{"4k", 4_096}, {"64k", 65_536}, {"512k", 524_288}] do
      pieces = pieces(lines, size)
      store(name, pieces)
    end

    noise()
    for size <- [100, 4_096, 1_048_576], do: share(size)
  end

  defp store(name, pieces) do
    ours = Enum.map(pieces, &Memory.optimize_binary(&1, :storage))
    zlib = Enum.map(pieces, &:zlib.compress/1)
    opts = [bytes: IO.iodata_length(pieces)]

    [
      {"optimize", each(pieces, &Memory.optimize_binary(&1, :storage)),
       each(pieces, &:zlib.compress/1)},
      {"restore", each(ours, &Memory.restore_binary/1), each(zlib, &:zlib.uncompress/1)}
    ]
    |> Enum.each(fn {what, we, they} ->
      title = "#{what} #{name}, #{length(pieces)} x #{byte_size(hd(pieces))} bytes"
      times = Bench.compare(title, [{"Memory", we}, {":zlib", they}], opts)
      Bench.ratio("#{what}_#{name}_speedup", times[":zlib"] / times["Memory"])
    end)

    bytes = ours |> Enum.map(&elem(&1, 1)) |> IO.iodata_length()
    Bench.ratio("#{name}_size", bytes / IO.iodata_length(zlib))
  end

  # What does not compress: `:zlib` has to try.
  defp noise do
    data = :rand.bytes(1_048_576)

    times =
      Bench.compare(
        "optimize 1 MiB that does not compress",
        [
          {"Memory", fn -> Memory.optimize_binary(data, :storage) end},
          {":zlib", fn -> :zlib.compress(data) end}
        ],
        bytes: byte_size(data)
      )

    Bench.ratio("optimize_noise_speedup", times[":zlib"] / times["Memory"])
  end

  defp share(size) do
    whole = :rand.bytes(size)
    part = binary_part(:rand.bytes(size * 4), 0, size)

    for {name, data} <- [{"whole", whole}, {"part", part}] do
      times =
        Bench.compare("sharing #{size} bytes, #{name}", [
          {"Memory", fn -> Memory.optimize_binary(data, :sharing) end},
          {":binary.copy/1", fn -> :binary.copy(data) end}
        ])

      Bench.ratio("share_#{name}_#{size}", times["Memory"] / times[":binary.copy/1"])
    end
  end

  defp each(pieces, fun), do: fn -> Enum.each(pieces, fun) end

  defp pieces(lines, size) do
    count = min(64, div(byte_size(lines), size))
    for n <- 0..(count - 1), do: lines |> binary_part(n * size, size) |> :binary.copy()
  end

  # A line for each documented function.
  defp lines do
    for module <- Application.spec(:elixir, :modules),
        {:docs_v1, _, _, _, _, _, entries} <- [Code.fetch_docs(module)],
        {id, line, signature, %{"en" => doc}, metadata} <- entries do
      [inspect({module, id, line, signature, metadata}), ?\s, doc, ?\n]
    end
    |> IO.iodata_to_binary()
  end
end

Bench.Memory.Binaries.run()
