defmodule Foundation.AtomTableTest do
  use ExUnit.Case, async: true

  alias Foundation.Child

  @moduletag :integration
  @moduletag :tmp_dir

  # Every scheduler asks for more new atoms than there is room for; others are killed while they ask.
  # At the end the VM says how full its table is, and what the answers were.
  @program ~S"""
  {:ok, _} = Application.ensure_all_started(:foundation)
  Logger.configure(level: :error)

  ask = fn who, make -> for n <- 1..10_000, do: make.("hammered #{who} #{n}") end

  make =
    case System.argv() do
      ["safe"] -> &Foundation.BEAM.Memory.safe_atom(&1, max_atoms: 10_000_000)
      ["unsafe"] -> &{:ok, String.to_atom(&1)}
    end

  victims = for n <- 1..20, do: spawn(fn -> ask.("victim #{n}", make) end)
  tasks = for n <- 1..(4 * System.schedulers_online()), do: Task.async(fn -> ask.(n, make) end)
  for pid <- victims, do: Process.exit(pid, :kill)
  answers = tasks |> Task.await_many(:infinity) |> List.flatten() |> Enum.map(&elem(&1, 0)) |> Enum.uniq()
  {:ok, :error} = make.("error")

  [limit, count] = for what <- [:atom_limit, :atom_count], do: :erlang.system_info(what)
  IO.puts("limit #{limit}, count #{count}, answers #{inspect(Enum.sort(answers))}")
  """

  defp run(way, dir) do
    program = Path.join(dir, "hammer.exs")
    File.write!(program, @program)
    paths = Enum.flat_map(:code.get_path(), &["-pa", to_string(&1)])
    args = paths ++ ["--erl", "+t 30000", program, way]
    Child.run("elixir", args, dir, [{"ERL_CRASH_DUMP_SECONDS", "0"}])
  end

  test "a VM with room for 30,000 atoms survives all schedulers asking for more", %{tmp_dir: dir} do
    assert {output, 0} = run("safe", dir)

    assert [_, limit, count, answers] =
             Regex.run(~r/^limit (\d+), count (\d+), answers (.*)$/m, output)

    assert String.to_integer(limit) < 35_000

    # What the VM makes for itself after the last of ours (at its end: the names of what it prints).
    assert String.to_integer(count) <= floor(0.95 * String.to_integer(limit)) + 100
    assert answers == "[:error, :ok]"
  end

  test "and ends without the check", %{tmp_dir: dir} do
    assert {output, status} = run("unsafe", dir)
    assert status != 0
    assert output =~ "no more index entries in atom_tab"
  end
end
