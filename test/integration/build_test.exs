defmodule Foundation.BuildTest do
  # Builds use both cores and write to one target folder.
  use ExUnit.Case, async: false

  alias Foundation.{Child, Native}
  alias Foundation.Native.Loader

  @moduletag :integration
  @moduletag timeout: 600_000

  # What a package holds is enough to build it.
  @sources Mix.Project.config()[:package][:files]
  @call "IO.puts(Foundation.Native.native_version())"

  # Outside this tree, where neither Mix nor cargo nor git finds anything of ours further up.
  setup do
    name = "foundation-build-#{System.pid()}-#{System.unique_integer([:positive])}"
    dir = Path.join(System.tmp_dir!(), name)
    File.mkdir_p!(dir)
    on_exit(fn -> File.rm_rf!(dir) end)
    %{dir: dir}
  end

  # What was built for this run is taken up, not built anew.
  defp target do
    Path.expand(
      System.get_env("CARGO_TARGET_DIR") || Path.join(Mix.Project.build_path(), "cargo")
    )
  end

  # Copies elsewhere would evict this tree's own crates; what comes from outside is built once.
  defp copies_target, do: Path.join(target(), "copies")

  defp consumer(dir, dependency) do
    File.mkdir_p!(Path.join(dir, "lib"))
    File.write!(Path.join(dir, "lib/consumer.ex"), "defmodule Consumer do\nend\n")

    File.write!(Path.join(dir, "mix.exs"), """
    defmodule Consumer.MixProject do
      use Mix.Project

      def project do
        [app: :consumer, version: "0.1.0", deps: [{:foundation, #{inspect(dependency)}}]]
      end

      def application, do: [extra_applications: [:logger]]
    end
    """)

    dir
  end

  defp copy_of_sources(dir) do
    File.mkdir_p!(dir)
    present = Enum.filter(@sources, &File.exists?/1)
    for source <- present, do: File.cp_r!(source, Path.join(dir, source))
    dir
  end

  test "as a path: dependency, in a release too", %{dir: dir} do
    dir = consumer(dir, path: File.cwd!())
    env = [{"MIX_ENV", "prod"}, {"CARGO_TARGET_DIR", target()}]

    assert Child.run!("mix", ["compile"], dir, env) =~ "Generated foundation app"
    assert Child.run!("mix", ["run", "-e", @call], dir, env) == Native.native_version() <> "\n"
    assert Child.run!("mix", ["compile"], dir, env) == ""

    Child.run!("mix", ["release"], dir, env)
    release = Path.join(dir, "_build/prod/rel/consumer")
    # The sources of the build do not follow it: what it needs is in its own folder.
    moved = Path.join(dir, "moved")
    File.rename!(release, moved)
    File.rm_rf!(Path.join(dir, "_build"))

    code = "{:ok, _} = Application.ensure_all_started(:consumer); " <> @call
    without = [{"FOUNDATION_NIF_PATH", nil}]

    assert Child.run!(Path.join(moved, "bin/consumer"), ["eval", code], dir, without) ==
             Native.native_version() <> "\n"
  end

  test "as a git: dependency", %{dir: dir} do
    origin = copy_of_sources(Path.join(dir, "origin"))
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    Child.run!("git", ["init", "--quiet"], origin)
    Child.run!("git", ["add", "."], origin)
    Child.run!("git", who ++ ["commit", "--quiet", "--message", "Snapshot"], origin)

    dir = consumer(Path.join(dir, "consumer"), git: "file://" <> origin)
    env = [{"MIX_ENV", "dev"}, {"CARGO_TARGET_DIR", copies_target()}]

    Child.run!("mix", ["deps.get"], dir, env)
    assert Child.run!("mix", ["compile"], dir, env) =~ "Generated foundation app"
    assert Child.run!("mix", ["run", "-e", @call], dir, env) == Native.native_version() <> "\n"
  end

  @tag :cargo
  test "a Rust error is a compile error with cargo's text", %{dir: dir} do
    dir = copy_of_sources(dir)
    File.write!(Path.join(dir, "native/foundation_core/src/lib.rs"), "pub fn broken( {\n")
    env = [{"CARGO_TARGET_DIR", copies_target()}, {"FOUNDATION_NIF_PATH", nil}]

    assert {output, 1} = Child.run("mix", ["compile"], dir, env)
    assert output =~ "native/foundation_core/src/lib.rs:1"
    assert output =~ "error: could not compile `foundation_core`"
  end

  test "a prebuilt library stands in for Rust", %{dir: dir} do
    installed = Application.app_dir(:foundation, ["priv", "native", Loader.file_name()])
    prebuilt = Path.join(dir, Loader.file_name())
    File.cp!(installed, prebuilt)

    fake = Child.fake(Path.join(dir, "bin"), "cargo", "echo cargo was called; exit 1\n")
    path = fake <> ":" <> System.get_env("PATH")
    dir = consumer(Path.join(dir, "consumer"), path: File.cwd!())

    env = [{"PATH", path}, {"FOUNDATION_NIF_PATH", prebuilt}]
    refute Child.run!("mix", ["compile"], dir, env) =~ "cargo was called"

    # It is installed, so that running needs neither the variable nor the file.
    File.rm!(prebuilt)
    run = ["run", "--no-deps-check", "--no-compile", "-e", @call]
    without = [{"FOUNDATION_NIF_PATH", nil}]
    assert Child.run!("mix", run, dir, without) == Native.native_version() <> "\n"
  end

  test "an application whose library does not load gives one sentence as its reason",
       %{dir: dir} do
    file = Path.join(dir, Loader.file_name())
    ebin = Application.app_dir(:foundation, "ebin")

    start = """
    {:error, {:foundation, {reason, _where}}} = Application.ensure_all_started(:foundation)
    IO.puts(["reason: ", reason])
    """

    library = "Foundation's native library #{file} (FOUNDATION_NIF_PATH)"

    for {content, sentence} <- [
          {"foundation_nif_version=0.0.9;",
           "#{library} is of version 0.0.9, but this is Foundation #{Loader.version()}"},
          {"text", "#{library} is not one: it bears no version of Foundation"},
          # It says that it is of this version, and is nothing that can be loaded.
          {"foundation_nif_version=#{Loader.version()};", "#{library} does not load: "}
        ] do
      File.write!(file, content)
      env = [{"FOUNDATION_NIF_PATH", file}]
      output = Child.run!("elixir", ["-pa", ebin, "-e", start], dir, env)
      assert output =~ "reason: " <> sentence
    end
  end
end
