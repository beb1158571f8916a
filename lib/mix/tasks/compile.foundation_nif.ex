defmodule Mix.Tasks.Compile.FoundationNif do
  @moduledoc false

  # Builds the native library with cargo, or takes the one that FOUNDATION_NIF_PATH names, and
  # installs it where releases look for it. There is no manifest: cargo decides what is stale.

  use Mix.Task.Compiler

  alias Foundation.Native.Loader

  @impl true
  def run(_args) do
    root = Path.dirname(Mix.Project.project_file())

    with {:ok, library} <- Loader.prebuilt() || build(root),
         :ok <- Loader.verify(library) do
      install(library)
    else
      {:cargo, text} -> {:error, [diagnostic(root, text)]}
      {:error, sentence} -> Mix.shell().error(sentence) && {:error, [diagnostic(root, sentence)]}
    end
  end

  defp build(root) do
    default = Path.join(Mix.Project.build_path(), "cargo")
    target = Path.expand(System.get_env("CARGO_TARGET_DIR") || default, root)
    args = ~w(build --release --locked --package foundation_nif --target-dir) ++ [target]
    options = [:binary, :stderr_to_stdout, :exit_status, :hide, line: 4096, cd: root, args: args]

    with cargo when is_binary(cargo) <- System.find_executable("cargo"),
         {0, _} <- stream(Port.open({:spawn_executable, cargo}, options), []) do
      # Where cargo is told to build for a platform, it adds a folder of its name.
      platform = System.get_env("CARGO_BUILD_TARGET", "")
      {:ok, Path.join([target, platform, "release", built_name(:os.type())])}
    else
      nil -> needs_rust(root, "there is no cargo on the PATH")
      {_status, text} -> check_rustc(root) || {:cargo, text}
    end
  end

  # Cargo's lines as they come, but a build with nothing to do says nothing.
  defp stream(port, lines) do
    receive do
      {^port, {:data, {_, line}}} ->
        unless line =~ ~r/^\s+Finished /, do: Mix.shell().info(line)
        stream(port, [line | lines])

      {^port, {:exit_status, status}} ->
        {status, lines |> Enum.reverse() |> Enum.join("\n")}
    end
  end

  # Only after a failure: it would cost every compilation the start of a program.
  defp check_rustc(root) do
    with rustc when is_binary(rustc) <- System.find_executable("rustc"),
         {text, 0} <- System.cmd(rustc, ["--version"], stderr_to_stdout: true),
         [_, found] <- Regex.run(~r/^rustc (\d+\.\d+)/, text) do
      if Version.compare(found <> ".0", rust_version(root) <> ".0") == :lt,
        do: needs_rust(root, "rustc is of version #{found}")
    else
      _ -> needs_rust(root, "there is no working rustc on the PATH")
    end
  end

  defp needs_rust(root, but) do
    {:error,
     "Foundation needs Rust #{rust_version(root)} or newer to build its native library, but " <>
       but <> ": install it, or name a prebuilt library in FOUNDATION_NIF_PATH"}
  end

  defp rust_version(root) do
    manifest = File.read!(Path.join(root, "Cargo.toml"))
    Regex.run(~r/^rust-version = "(\d+\.\d+)"/m, manifest) |> List.last()
  end

  defp built_name({:win32, _}), do: "foundation_nif.dll"
  defp built_name({:unix, :darwin}), do: "libfoundation_nif.dylib"
  defp built_name(_unix), do: "libfoundation_nif.so"

  defp install(library) do
    installed = Path.join([Mix.Project.app_path(), "priv", "native", Loader.file_name()])

    if File.read(installed) == File.read(library) do
      {:noop, []}
    else
      # A running VM has the old file mapped: that one must not be written to.
      File.mkdir_p!(Path.dirname(installed))
      File.rm(installed)
      {File.cp!(library, installed), []}
    end
  end

  # At the first place that cargo points to.
  defp diagnostic(root, text) do
    [_, file, line] = Regex.run(~r/^ +--> (.+):(\d+):\d+/m, text) || [nil, "Cargo.toml", "0"]
    at = [file: Path.expand(file, root), position: String.to_integer(line)]
    what = [message: text, severity: :error, compiler_name: "cargo"]
    struct!(Mix.Task.Compiler.Diagnostic, at ++ what)
  end
end
