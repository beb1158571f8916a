defmodule Foundation.Child do
  @moduledoc """
  Programs that tests start in an environment of their own, not in that of this VM.
  """

  # What Mix and the VM leave in the environment, and what would lead a build elsewhere.
  @ours ~w(MIX_ENV MIX_TARGET MIX_EXS MIX_QUIET MIX_BUILD_PATH MIX_BUILD_ROOT MIX_DEPS_PATH) ++
          ~w(ERL_LIBS ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS ELIXIR_ERL_OPTIONS) ++
          ~w(ROOTDIR BINDIR EMU PROGNAME)

  @doc "Runs the program in the folder; all that it printed, with its exit status."
  def run(program, args, folder, env \\ []) do
    env = Enum.map(@ours, &{&1, nil}) ++ env
    System.cmd(program, args, cd: folder, env: env, stderr_to_stdout: true)
  end

  @doc "As `run/4`, where anything but success fails the test with what was printed."
  def run!(program, args, folder, env \\ []) do
    case run(program, args, folder, env) do
      {output, 0} -> output
      {output, status} -> ExUnit.Assertions.flunk("#{program} ended with #{status}:\n#{output}")
    end
  end

  @doc "Writes an executable script to stand in for a program of that name; gives its folder."
  def fake(folder, program, script) do
    file = Path.join(folder, program)
    File.mkdir_p!(folder)
    File.write!(file, "#!/bin/sh\n" <> script)
    File.chmod!(file, 0o755)
    folder
  end
end
