# LZ4 beside `:zlib`, through the public functions.
#
#     mix run bench/compression.exs
#
# The data is the documentation of every module of the installed Elixir, as JSON and as the external
# term format, and the abstract code of `Enum`; whole, and in pieces of 64 KiB (many, because a
# processor learns the one that it sees again and again). Each ratio `X_speedup` is the time of the
# best peer over ours; `X_size` is our size over theirs.

Code.require_file("support/bench.exs", __DIR__)

defmodule Bench.Compression do
  alias Foundation.BEAM.Compression

  @small 65_536

  def run do
    docs = docs()
    json = docs |> json() |> IO.iodata_to_binary()
    external = :erlang.term_to_binary(docs)
    code = abstract_code(Enum)

    for {name, pieces} <- [
          {"json_64k", pieces(json)},
          {"json", [json]},
          {"external_64k", pieces(external)},
          {"external", [external]},
          {"abstract_code", [:erlang.term_to_binary(code)]}
        ],
        do: binaries(name, pieces)

    terms("docs", docs)
    terms("abstract_code", code)
    noise()
  end

  defp binaries(name, pieces) do
    ours = Enum.map(pieces, &Compression.compress!/1)
    zlib = Enum.map(pieces, &:zlib.compress/1)
    note = %{"Compression" => share(ours, pieces), ":zlib" => share(zlib, pieces)}
    opts = [bytes: IO.iodata_length(pieces), note: note]

    [
      {"compress", each(pieces, &Compression.compress/1), each(pieces, &:zlib.compress/1)},
      {"decompress", each(ours, &Compression.decompress/1), each(zlib, &:zlib.uncompress/1)}
    ]
    |> Enum.each(fn {what, we, they} ->
      title = "#{what} #{name}, #{length(pieces)} x #{byte_size(hd(pieces))} bytes"
      times = Bench.compare(title, [{"Compression", we}, {":zlib", they}], opts)
      Bench.ratio("#{what}_#{name}_speedup", times[":zlib"] / times["Compression"])
    end)

    Bench.ratio("#{name}_size", IO.iodata_length(ours) / IO.iodata_length(zlib))
  end

  defp each(pieces, fun), do: fn -> Enum.each(pieces, fun) end

  defp terms(name, term) do
    ours = Compression.compress_term!(term)
    zlib = :erlang.term_to_binary(term, [:compressed])
    plain = :erlang.term_to_binary(term)

    times =
      Bench.compare(
        "term #{name}, there and back",
        [
          {"Compression",
           fn -> term |> Compression.compress_term!() |> Compression.decompress_term!() end},
          {"term_to_binary [:compressed]",
           fn -> term |> :erlang.term_to_binary([:compressed]) |> :erlang.binary_to_term() end},
          {"term_to_binary",
           fn -> term |> :erlang.term_to_binary() |> :erlang.binary_to_term() end}
        ],
        note: %{
          "Compression" => share(ours, plain),
          "term_to_binary [:compressed]" => share(zlib, plain)
        }
      )

    Bench.ratio(
      "term_#{name}_speedup",
      times["term_to_binary [:compressed]"] / times["Compression"]
    )

    Bench.ratio("term_#{name}_size", byte_size(ours) / byte_size(zlib))
  end

  # What does not compress is stored: the time over that of a copy.
  defp noise do
    for mib <- [1, 16, 64] do
      data = :rand.bytes(mib * 1_048_576)

      times =
        Bench.compare(
          "#{mib} MiB that do not compress",
          [
            {"Compression", fn -> Compression.compress(data) end},
            {"copy", fn -> :binary.copy(data) end}
          ],
          bytes: byte_size(data)
        )

      Bench.ratio("store_#{mib}_mib_to_copy", times["Compression"] / times["copy"])
    end
  end

  defp share(packed, data),
    do: "#{Float.round(100 * IO.iodata_length(packed) / IO.iodata_length(data), 1)} %"

  defp pieces(data) do
    for at <- 0..(byte_size(data) - @small)//@small,
        do: data |> binary_part(at, @small) |> :binary.copy()
  end

  defp docs do
    for app <- [:elixir, :logger, :mix, :ex_unit],
        :ok <- [load(app)],
        module <- Application.spec(app, :modules),
        {:docs_v1, _, _, _, text, _, entries} <- [Code.fetch_docs(module)],
        do: {module, text, entries}
  end

  defp load(app) do
    case Application.load(app) do
      {:error, {:already_loaded, ^app}} -> :ok
      result -> result
    end
  end

  defp abstract_code(module) do
    {:ok, {_, [debug_info: {:debug_info_v1, backend, data}]}} =
      :beam_lib.chunks(:code.which(module), [:debug_info])

    {:ok, code} = backend.debug_info(:erlang_v1, module, data, [])
    code
  end

  # A document for each function, as an API would return it.
  defp json(docs) do
    for {module, _text, entries} <- docs,
        {{kind, name, arity}, line, signature, doc, metadata} <- entries do
      value(%{
        module: inspect(module),
        kind: kind,
        name: name,
        arity: arity,
        line: :erl_anno.line(line),
        signature: signature,
        doc: if(is_map(doc), do: doc["en"]),
        since: metadata[:since]
      })
    end
    |> Enum.intersperse(?\n)
  end

  defp value(nil), do: "null"
  defp value(number) when is_integer(number), do: Integer.to_string(number)
  defp value(atom) when is_atom(atom), do: value(Atom.to_string(atom))

  defp value(list) when is_list(list),
    do: [?[, list |> Enum.map(&value/1) |> Enum.intersperse(?,), ?]]

  defp value(map) when is_map(map) do
    members = for {key, value} <- map, do: [value(key), ?:, value(value)]
    [?{, Enum.intersperse(members, ?,), ?}]
  end

  defp value(text) when is_binary(text) do
    [?", String.replace(text, ["\\", "\"", "\n"], &escape/1), ?"]
  end

  defp escape("\n"), do: "\\n"
  defp escape(character), do: "\\" <> character
end

Bench.Compression.run()
