defmodule Foundation.MemoryCgroupTest do
  # A VM in a control group of its own, where this machine lets us make one. Where it does not, the tests
  # are skipped and say so; test/foundation/beam/memory/os_test.exs imitates the files of both versions.
  use ExUnit.Case, async: false

  import Foundation.Eventually

  @moduletag :integration
  @moduletag timeout: 300_000

  @mib 1_048_576
  @limit 400

  # Where the hierarchy is that divides memory, and what its files are called.
  mounts =
    case File.read("/proc/self/mountinfo") do
      {:ok, text} -> String.split(text, "\n", trim: true)
      {:error, _} -> []
    end

  find = fn pattern ->
    Enum.find_value(mounts, &Regex.run(pattern, &1, capture: :all_but_first))
  end

  {point, files} =
    case {find.(~r/^(?:\S+ ){4}(\S+) .* - cgroup \S+ \S*\bmemory\b/),
          find.(~r/^(?:\S+ ){4}(\S+) .* - cgroup2 /)} do
      {[point], _} ->
        {point, %{limit: "memory.limit_in_bytes", members: "cgroup.procs", version: 1}}

      {nil, [point]} ->
        {point, %{limit: "memory.max", members: "cgroup.procs", version: 2}}

      _ ->
        {nil, %{limit: "", members: "", version: 0}}
    end

  # A trial: to make a group takes rights, and version 2 must divide memory there.
  trial = point && Path.join(point, "foundation-trial-#{System.pid()}")

  possible? =
    trial != nil and File.mkdir(trial) == :ok and
      (fn ->
         there? = File.exists?(Path.join(trial, files.limit))
         File.rmdir(trial)
         there?
       end).()

  unless possible? do
    IO.puts("no control group of memory can be made here: a VM within one is not tested")
    @moduletag skip: "no control group can be made"
  end

  @point point
  @files files

  # An outer group with the limit, an inner one without, as containers are nested.
  setup do
    outer =
      Path.join(@point, "foundation-test-#{System.pid()}-#{System.unique_integer([:positive])}")

    inner = Path.join(outer, "inner")
    File.mkdir!(outer)

    on_exit(fn ->
      for folder <- [inner, outer],
          do: assert(eventually?(fn -> File.rmdir(folder) in [:ok, {:error, :enoent}] end))
    end)

    limit!(outer, @limit)
    # Version 2 divides memory further only where it is told to.
    if @files.version == 2, do: File.write!(Path.join(outer, "cgroup.subtree_control"), "+memory")
    File.mkdir!(inner)
    %{outer: outer, inner: inner}
  end

  defp limit!(folder, mib), do: File.write!(Path.join(folder, @files.limit), "#{mib * @mib}")

  # The VM keeps up to ten segments that it has freed and lets one of them go each second, in no
  # order of size: so what is released may be held for longer than a test waits. This one keeps none.
  @flags [~c"+MMmcs", ~c"0"]

  # A VM that is in the group before it starts, and answers on its standard output.
  defp start(folder) do
    script = "echo $$ > #{Path.join(folder, @files.members)} && exec erl \"$@\""

    {:ok, peer, _node} =
      :peer.start_link(%{
        connection: :standard_io,
        wait_boot: 60_000,
        exec: {~c"/bin/sh", [~c"-c", String.to_charlist(script), ~c"sh"]},
        args: @flags ++ Enum.flat_map(:code.get_path(), &[~c"-pa", &1])
      })

    :ok = call(peer, :application, :set_env, [:foundation, :memory_monitor, [interval: 100]])

    {:ok, _} = call(peer, :application, :ensure_all_started, [:foundation])
    peer
  end

  # Long enough for a disk that is slow to write what is cached.
  defp call(peer, module, function, args),
    do: :peer.call(peer, module, function, args, 200_000)

  @monitor Foundation.BEAM.Memory.Monitor

  defp info(peer), do: call(peer, @monitor, :info, [])
  defp level?(peer, level), do: eventually?(fn -> info(peer).level == level end)

  # What is missing to that part of the limit.
  defp fill(peer, name, part) do
    missing = div(trunc(part * @limit * @mib) - info(peer).used, @mib)
    :ok = call(peer, Foundation.MemoryHolder, :hold, [name, missing])
  end

  test "reads the outer limit, and the levels follow what it holds", %{inner: inner} do
    peer = start(inner)
    limit = @limit * @mib
    version = @files.version
    assert %{level: :low, kind: :container, limit: ^limit, limits: limits} = info(peer)
    assert %{version: ^version} = Enum.find(limits, &(&1.kind == :container))

    fill(peer, :some, 0.8)
    assert level?(peer, :medium)
    fill(peer, :more, 0.93)
    assert level?(peer, :high)
    for name <- [:some, :more], do: call(peer, Foundation.MemoryHolder, :release, [name])
    assert level?(peer, :low)
    :peer.stop(peer)
  end

  test "page cache that fills the group is no pressure", %{inner: inner, outer: outer} do
    peer = start(inner)
    file = Path.join(System.tmp_dir!(), "foundation-cache-#{System.pid()}")
    on_exit(fn -> File.rm(file) end)
    # By the other VM: its group is charged.
    :ok = call(peer, Foundation.MemoryHolder, :write, [file, 600])
    %{readings: before} = info(peer)
    assert eventually?(fn -> info(peer).readings > before + 1 end)
    assert %{level: :low, kind: :container, used: used} = info(peer)
    assert used < div(@limit * @mib, 2)
    # The group itself counts it.
    assert charged(outer) > div(@limit * @mib, 2)
    :peer.stop(peer)
  end

  test "a move to another group, and a limit that changes, are followed", context do
    %{inner: inner, outer: outer} = context
    other = Path.join(outer, "other")
    File.mkdir!(other)
    on_exit(fn -> assert eventually?(fn -> File.rmdir(other) in [:ok, {:error, :enoent}] end) end)
    peer = start(inner)
    limit!(other, 200)
    assert eventually?(fn -> move(inner, other) == :ok end)
    # What is found gone is left at once; what only changes within five seconds.
    assert within_ten_seconds?(fn -> bound?(peer, 200) end)
    limit!(other, 300)
    assert within_ten_seconds?(fn -> bound?(peer, 300) end)
    :peer.stop(peer)
  end

  # The VM, and what it starts programs with; some may end meanwhile. `:ok` when the group is gone.
  defp move(from, to) do
    members = from |> Path.join(@files.members) |> File.read!() |> String.split()
    for os_pid <- members, do: File.write(Path.join(to, @files.members), os_pid)
    File.rmdir(from)
  end

  # What was charged to the group before may stay there: the new one need not be the fullest.
  defp bound?(peer, mib), do: Enum.any?(info(peer).limits, &(&1.limit == mib * @mib))

  defp within_ten_seconds?(condition), do: eventually?(condition, 10_000)

  defp charged(folder) do
    name = if @files.version == 1, do: "memory.usage_in_bytes", else: "memory.current"
    folder |> Path.join(name) |> File.read!() |> String.trim() |> String.to_integer()
  end
end
