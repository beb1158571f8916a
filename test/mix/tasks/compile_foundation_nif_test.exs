defmodule Mix.Tasks.Compile.FoundationNifTest do
  # PATH and FOUNDATION_NIF_PATH belong to the whole VM.
  use ExUnit.Case, async: false

  alias Foundation.Child
  alias Mix.Task.Compiler.Diagnostic
  alias Mix.Tasks.Compile.FoundationNif

  @moduletag :tmp_dir

  # Every case here ends before anything is installed; what is installed, test/integration shows.
  setup %{tmp_dir: dir} do
    before = for name <- ~w(PATH FOUNDATION_NIF_PATH), do: {name, System.get_env(name)}
    shell = Mix.shell()

    on_exit(fn ->
      Mix.shell(shell)

      for {name, value} <- before do
        if value, do: System.put_env(name, value), else: System.delete_env(name)
      end
    end)

    Mix.shell(Mix.Shell.Process)
    System.delete_env("FOUNDATION_NIF_PATH")
    System.put_env("PATH", dir)
  end

  defp fault do
    assert {:error, [%Diagnostic{severity: :error} = diagnostic]} = FoundationNif.run([])
    diagnostic
  end

  defp assert_sentence(sentence) do
    diagnostic = fault()
    assert diagnostic.message == sentence
    assert diagnostic.file == Path.expand("Cargo.toml")
    assert_received {:mix_shell, :error, [^sentence]}
    refute_received {:mix_shell, _, _}
  end

  @instead ": install it, or name a prebuilt library in FOUNDATION_NIF_PATH"

  test "no cargo: one sentence" do
    assert_sentence(
      "Foundation needs Rust 1.91 or newer to build its native library, " <>
        "but there is no cargo on the PATH" <> @instead
    )
  end

  test "an old Rust: one sentence with both versions", %{tmp_dir: dir} do
    Child.fake(dir, "cargo", "exit 101\n")
    Child.fake(dir, "rustc", "echo 'rustc 1.90.1 (0123456789 2025-09-01)'\n")

    assert_sentence(
      "Foundation needs Rust 1.91 or newer to build its native library, " <>
        "but rustc is of version 1.90" <> @instead
    )
  end

  test "no rustc, or one that does not work: one sentence", %{tmp_dir: dir} do
    Child.fake(dir, "cargo", "exit 101\n")

    sentence =
      "Foundation needs Rust 1.91 or newer to build its native library, " <>
        "but there is no working rustc on the PATH" <> @instead

    assert_sentence(sentence)
    Child.fake(dir, "rustc", "echo 'no toolchain' >&2; exit 1\n")
    assert_sentence(sentence)
  end

  test "a Rust error: cargo's text, at its first place", %{tmp_dir: dir} do
    text = """
       Compiling foundation_core v0.1.0
    error[E0425]: cannot find value `x` in this scope
      --> native/foundation_core/src/lib.rs:7:12
       |
    7  |     x
       |     ^ not found in this scope
      --> native/foundation_core/src/other.rs:9:1
    error: could not compile `foundation_core` (lib) due to 1 previous error\
    """

    Child.fake(dir, "cargo", "/bin/cat >&2 <<'END'\n#{text}\nEND\nexit 101\n")
    Child.fake(dir, "rustc", "echo 'rustc 1.91.0 (0123456789 2025-10-30)'\n")

    diagnostic = fault()
    assert diagnostic.message == text
    assert diagnostic.file == Path.expand("native/foundation_core/src/lib.rs")
    assert diagnostic.position == 7
    assert diagnostic.compiler_name == "cargo"
    for line <- String.split(text, "\n"), do: assert_received({:mix_shell, :info, [^line]})
    refute_received {:mix_shell, :error, _}
  end

  test "FOUNDATION_NIF_PATH: what it names is verified before it is installed", %{tmp_dir: dir} do
    file = Path.join(dir, Foundation.Native.Loader.file_name())
    System.put_env("FOUNDATION_NIF_PATH", file)
    library = "Foundation's native library #{file} (FOUNDATION_NIF_PATH)"

    assert_sentence("#{library} cannot be read: no such file or directory")

    File.write!(file, "text")
    assert_sentence("#{library} is not one: it bears no version of Foundation")

    File.write!(file, "foundation_nif_version=0.0.9;")
    ours = Foundation.Native.Loader.version()
    assert_sentence("#{library} is of version 0.0.9, but this is Foundation #{ours}")
  end
end
