defmodule Mix.Tasks.Compile.FoundationNif do
  @moduledoc false
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    root = File.cwd!()
    target = System.get_env("CARGO_TARGET_DIR") || Path.join(Mix.Project.build_path(), "cargo")
    args = ~w(build --release --locked --package foundation_nif --target-dir) ++ [target]

    case System.cmd("cargo", args, cd: root, stderr_to_stdout: true, into: IO.stream()) do
      {_, 0} -> install(Path.join(target, "release/libfoundation_nif.so"))
      {_, _} -> {:error, []}
    end
  end

  defp install(built) do
    dir = Path.join(Mix.Project.app_path(), "priv/native")
    to = Path.join(dir, "foundation_nif.so")
    File.mkdir_p!(dir)
    File.rm(to)
    File.cp!(built, to)
    {:ok, []}
  end
end
