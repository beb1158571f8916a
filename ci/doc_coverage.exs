# Says what of the public interface is not documented, and what of the native one is not where a
# reader looks for it.
#
#     mix run --no-start ci/doc_coverage.exs
#
# A public module is one in lib/ without `@moduledoc false`. It has a moduledoc. Each of its public
# functions, macros and callbacks has a `@doc`, the functions a `@spec`, and functions and macros an
# `iex>` example, which some test file runs with `doctest`. In `Foundation.Native` every group of
# stubs is named after the Rust file, or the folder of Rust files, that holds its NIFs, and has exactly
# those.

defmodule DocCoverage do
  # Functions whose result an example cannot show: {module, name, arity} => reason. What delegates to
  # another function needs none: the example stands there.
  @no_example %{}

  @native "lib/foundation/native.ex"
  @rust "native/foundation_nif/src"

  def run do
    modules = public_modules()
    entries = for {module, docs} <- modules, entry <- entries(module, docs), do: entry
    faults = Enum.flat_map(modules, &module_faults/1) ++ Enum.flat_map(entries, &entry_faults/1)
    {groups, stubs, native_faults} = native()

    case faults ++ native_faults ++ stale_exceptions(entries) do
      [] ->
        IO.puts(
          "docs: #{length(modules)} modules, #{length(entries)} functions, " <>
            "#{Enum.count(entries, & &1.example?)} with examples; " <>
            "#{stubs} native functions in #{groups} groups"
        )

      faults ->
        Enum.each(faults, &IO.puts(:stderr, &1))
        IO.puts(:stderr, "#{length(faults)} faults of documentation")
        System.halt(1)
    end
  end

  # Public modules

  defp public_modules do
    _ = Application.load(:foundation)
    {:ok, modules} = :application.get_key(:foundation, :modules)

    for module <- Enum.sort(modules),
        {:module, ^module} = Code.ensure_loaded(module),
        in_lib?(module),
        {:docs_v1, _, _, _, moduledoc, _, docs} = Code.fetch_docs(module),
        moduledoc != :hidden,
        do: {module, %{moduledoc: moduledoc, docs: docs}}
  end

  # Not the Mix tasks (their help is `mix help`), not what tests bring along.
  defp in_lib?(module) do
    source = Path.relative_to_cwd(to_string(module.module_info(:compile)[:source]))
    String.starts_with?(source, "lib/foundation")
  end

  defp entries(module, %{docs: docs}) do
    specs = specs(module)

    for {{kind, name, arity}, _, _, doc, metadata} <- docs,
        kind in [:function, :macro, :callback, :macrocallback],
        doc != :hidden do
      %{
        module: module,
        kind: kind,
        id: {module, name, arity},
        doc?: text(doc) != "",
        spec?: {name, arity} in specs,
        example?: text(doc) =~ "iex>",
        delegate?: is_map_key(metadata, :delegate_to)
      }
    end
  end

  defp specs(module) do
    {:ok, specs} = Code.Typespec.fetch_specs(module)
    for {{name, arity}, _} <- specs, do: {name, arity}
  end

  defp text(%{} = doc), do: doc |> Map.values() |> Enum.join() |> String.trim()
  defp text(_), do: ""

  defp module_faults({module, %{moduledoc: moduledoc, docs: docs}}) do
    texts = [text(moduledoc) | for({_, _, _, doc, _} <- docs, do: text(doc))]
    examples? = Enum.any?(texts, &(&1 =~ "iex>"))

    [
      {text(moduledoc) == "", "has no @moduledoc"},
      {examples? and inspect(module) not in doctested(), "has examples that no test file runs"}
    ]
    |> faults(inspect(module))
  end

  defp entry_faults(%{kind: kind, id: {module, name, arity}} = entry) do
    callable? = kind in [:function, :macro]
    excused? = entry.delegate? or is_map_key(@no_example, entry.id)

    [
      {not entry.doc?, "has no @doc"},
      {kind == :function and not entry.spec?, "has no @spec"},
      {callable? and not entry.example? and not excused?, "has no iex> example"}
    ]
    |> faults("#{inspect(module)}.#{name}/#{arity}")
  end

  defp stale_exceptions(entries) do
    without = for %{example?: false, id: id} <- entries, do: id

    for {{module, name, arity} = id, _reason} <- @no_example, id not in without do
      "#{inspect(module)}.#{name}/#{arity} needs no exception in ci/doc_coverage.exs"
    end
  end

  # The modules of the `doctest` lines of all test files, as written there.
  defp doctested do
    with nil <- Process.get(:doctested) do
      modules =
        for file <- Path.wildcard("test/**/*_test.exs"),
            [_, module] <- Regex.scan(~r/^\s*doctest[ (]+([A-Z][\w.]*)/m, File.read!(file)),
            do: module

      Process.put(:doctested, modules)
      modules
    end
  end

  # The native boundary

  defp native do
    groups = stubs()
    sources = Map.new(Path.wildcard(@rust <> "/**/*.rs"), &{&1, File.read!(&1)})

    nifs =
      for {file, source} <- sources, nifs = nifs(source), nifs != [], do: {file, nifs}, into: %{}

    named = Enum.flat_map(groups, fn {group, _} -> files(group, sources) end)

    unnamed =
      for {file, _} <- nifs,
          file not in named,
          do: "#{file} has NIFs, but #{@native} no group for it"

    faults = Enum.flat_map(groups, &group_faults(&1, nifs, sources))
    count = groups |> Enum.map(fn {_, stubs} -> length(stubs) end) |> Enum.sum()
    {length(groups), count, faults ++ unnamed}
  end

  # A group is a comment of one word and the stubs up to the next one.
  defp stubs do
    @native
    |> File.read!()
    # A long head has its body on the next line.
    |> String.replace(~r/,\n +do:/, ", do:")
    |> String.split("\n")
    |> Enum.reduce([], fn line, groups ->
      group = Regex.run(~r/^  # (\w+)$/, line)
      stub = Regex.run(~r/^  def (\w+[?!]?).*nif_error/, line)

      case {group, stub, groups} do
        {[_, group], _, _} -> [{group, []} | groups]
        {_, [_, stub], [{group, stubs} | rest]} -> [{group, [stub | stubs]} | rest]
        {_, [_, stub], []} -> [{"(no group)", [stub]}]
        _ -> groups
      end
    end)
    |> Enum.reverse()
  end

  @attribute ~r/^\s*#\[(?:rustler::)?nif(?:\(([^\]]*)\))?\](?:\s*#\[[^\]]*\]|\s*\/\/[^\n]*)*\s*(?:pub(?:\([a-z]+\))?\s+)?(?:unsafe\s+)?fn (\w+)/m

  # The names that the VM knows them by: of an attribute its `name`, or else the function's.
  defp nifs(source) do
    raw = for [_, name] <- Regex.scan(~r/^\s*raw_nif!\(\s*"(\w+)"/m, source), do: name

    raw ++
      for [_, attributes, function] <- Regex.scan(@attribute, source) do
        case Regex.run(~r/name\s*=\s*"([^"]+)"/, attributes) do
          [_, name] -> name
          nil -> function
        end
      end
  end

  defp group_faults({group, stubs}, nifs, sources) do
    files = files(group, sources)
    held = Enum.flat_map(files, &Map.get(nifs, &1, []))
    where = Path.join(@rust, Macro.underscore(group))

    [{files == [], "has neither #{where}.rs nor files in #{where}"}]
    |> Enum.concat(
      for stub <- stubs -- held, do: {true, "has #{stub}, which is no NIF of #{where}"}
    )
    |> Enum.concat(for nif <- held -- stubs, do: {true, "lacks #{nif} of #{where}"})
    |> faults("#{@native}: the group #{group}")
  end

  # The file of that name, and what is in the folder of that name.
  defp files(group, sources) do
    where = Path.join(@rust, Macro.underscore(group))

    for {file, _} <- sources,
        file == where <> ".rs" or String.starts_with?(file, where <> "/"),
        do: file
  end

  defp faults(list, subject), do: for({true, fault} <- list, do: "#{subject} #{fault}")
end

DocCoverage.run()
