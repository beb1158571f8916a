defmodule Foundation.BEAM.Memory.OSTest do
  # Tests that run beside would move the VM's own use between two looks at it.
  use ExUnit.Case, async: false

  import Foundation.OSFiles

  alias Foundation.BEAM.Memory.OS

  @mib 1_048_576

  defp read(files) do
    root = Enum.reduce(files, root(), &write(&2, &1))
    OS.read(root)
  end

  # In MiB, of the kind.
  defp mib(reading, kind) do
    for %{kind: ^kind} = limit <- reading.limits,
        do: {div(limit.limit, @mib), div(limit.used, @mib)}
  end

  describe "the machine" do
    test "has what it has, and uses what is not available" do
      reading = read([meminfo(8_000, 6_000), statm(1_000, 300, 500)])
      assert reading.limits == [%{kind: :machine, limit: 8_000 * @mib, used: 2_000 * @mib}]
      assert reading.source == :os
    end

    test "of an old kernel: what is free, in buffers and in the cache is available" do
      text = "MemTotal: 8192 kB\nMemFree: 1024 kB\nBuffers: 1024 kB\nCached: 2048 kB\n"
      assert mib(read([%{"proc/meminfo" => text}]), :machine) == [{8, 4}]
    end

    test "that does not say what is available: the VM's own use counts" do
      total = div(:erlang.memory(:total), 1024) * 10
      reading = read([%{"proc/meminfo" => "MemTotal: #{total} kB\nSwapFree: 1 kB\n"}])
      assert [%{kind: :machine, used: used}] = reading.limits
      assert_in_delta used, :erlang.memory(:total), 100 * @mib
      assert reading.source == :vm
    end
  end

  test "resident memory is counted in the machine's pages" do
    assert read([statm(1_000, 300, 500)]).resident == 300 * 4_096
    auxv = fn size -> <<33::native-64, 7::native-64, 6::native-64, size::native-64, 0::128>> end
    with_page = &read([statm(1_000, 300, 500), %{"proc/self/auxv" => auxv.(&1)}])
    assert with_page.(65_536).resident == 300 * 65_536
    # No page has this size.
    assert with_page.(3).resident == 300 * 4_096
  end

  test "limits of the process are against its addresses and its data" do
    reading = read([statm(1_000, 300, 500), limits(10 * @mib, 20 * @mib)])

    assert reading.limits == [
             %{kind: :process, limit: 20 * @mib, used: 1_000 * 4_096},
             %{kind: :process, limit: 10 * @mib, used: 500 * 4_096}
           ]

    assert read([statm(1_000, 300, 500), limits("unlimited", "unlimited")]).limits == []
  end

  describe "the VM's reservation" do
    # As a VM with `+MMscs 512 +MMsco true` gives it.
    @account [
      default_mmap: [
        options: [scs: 532_676_608, sco: true, scrpm: true, scrfsd: 65_536],
        supercarrier: [
          sizes: [total: 536_870_912, total_sa: 16_252_928, used: 21_106_688],
          free_segs: [used: 0]
        ]
      ],
      literal_mmap: [
        options: [scs: 1_073_676_288, sco: true],
        supercarrier: [sizes: [total: 1_073_741_824, used: 2_162_688]]
      ]
    ]

    test "is a limit where the VM may take no more" do
      assert OS.carrier(@account) == [%{kind: :vm, limit: 536_870_912, used: 21_106_688}]
    end

    test "is none where it may, or has none" do
      assert OS.carrier(put_in(@account, [:default_mmap, :options, :sco], false)) == []
      assert OS.carrier(default_mmap: [options: [scs: 0], os: [sizes: [used: 5]]]) == []
      assert OS.carrier(false) == []
      # This VM has been started without.
      refute Enum.any?(OS.read().limits, &(&1.kind == :vm))
    end
  end

  test "what the VM has mapped grows with what it allocates" do
    # What others have left goes first, some of it later, and what the VM keeps for reuse is taken.
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
    kept = :binary.copy(:binary.copy("x", @mib), 100)

    assert Enum.any?(1..5, fn _ ->
             before = OS.mapped()
             binary = :binary.copy(:binary.copy("x", @mib), 100)
             grown = OS.mapped() - before
             assert {byte_size(kept), byte_size(binary)} == {100 * @mib, 100 * @mib}
             abs(grown - 100 * @mib) <= 60 * @mib
           end)
  end

  describe "a container of version 2" do
    @own cgroup("0::/\n", mount(2))

    test "uses what it holds without the cache that goes first" do
      reading = read([@own, group("/", 512, 400, 150)])

      assert reading.limits == [
               %{kind: :container, version: 2, limit: 512 * @mib, used: 250 * @mib}
             ]
    end

    test "is bounded by memory.high where that is lower" do
      assert mib(read([@own, group("/", 512, 400, 0, high: 450)]), :container) == [{450, 400}]
      assert mib(read([@own, group("/", nil, 400, 0, high: 450)]), :container) == [{450, 400}]
      assert mib(read([@own, group("/", 512, 400, 0, high: 600)]), :container) == [{512, 400}]
    end

    test "without a limit has none" do
      assert read([@own, group("/", nil, 400, 150)]).limits == []
    end

    test "counts everything as used where memory.stat is missing" do
      files = Map.delete(group("/", 512, 400, 150), "sys/fs/cgroup/memory.stat")
      assert mib(read([@own, files]), :container) == [{512, 400}]
    end

    test "never uses less than nothing" do
      assert mib(read([@own, group("/", 512, 100, 150)]), :container) == [{512, 0}]
    end
  end

  describe "nested groups" do
    @own cgroup("0::/a/b/c\n", mount(2))

    test "each with its own usage, the innermost first" do
      files = [
        group("/a", 1_000, 900, 0),
        group("/a/b", nil, 300, 0),
        group("/a/b/c", 500, 100, 0)
      ]

      assert mib(read([@own | files]), :container) == [{500, 100}, {1_000, 900}]
    end

    test "count where memory is not divided down to the own group, or that has been removed" do
      files = [group("/a", 1_000, 900, 0), %{"sys/fs/cgroup/a/b/c/cgroup.procs" => "1\n"}]
      assert mib(read([@own | files]), :container) == [{1_000, 900}]

      gone = cgroup("0::/a/b (deleted)\n", mount(2))
      assert mib(read([gone, group("/a", 1_000, 900, 0)]), :container) == [{1_000, 900}]
    end

    test "of version 1: those above count unless they leave others out" do
      own = cgroup("7:cpu:/x\n4:memory:/a/b\n0::/\n", mount(1))
      inner = group("/a/b", 300, 100, 50, version: 1)
      outer = &group("/a", 1_000, 900, 0, version: 1, use_hierarchy: &1)
      assert mib(read([own, inner, outer.(1)]), :container) == [{300, 50}, {1_000, 900}]
      assert mib(read([own, inner, outer.(0)]), :container) == [{300, 50}]
    end

    test "of version 1: a limit above what can be seen is known by its figure" do
      own = cgroup("4:memory:/docker/abc\n", mount(1, "/docker/abc"))
      files = group("/", nil, 300, 100, version: 1, hierarchical: 400)
      assert mib(read([own, files]), :container) == [{400, 200}]
      files = group("/", nil, 300, 100, version: 1)
      assert read([own, files]).limits == []
    end
  end

  describe "where the group lies" do
    @group group("/", 512, 400, 0)
    @found [{512, 400}]

    defp found(own, mounts, groups),
      do: mib(read([cgroup(own, mounts) | List.wrap(groups)]), :container)

    test "a path of the host, with the own group mounted" do
      assert found("0::/pods/p1/c1\n", mount(2, "/pods/p1/c1"), @group) == @found
      # Also where the path goes on within the container.
      assert found("0::/pods/p1/c1/init\n", mount(2, "/pods/p1/c1"), @group) == @found
    end

    test "a path that has nothing in common with the mount: what is mounted is the group" do
      assert found("0::/elsewhere/x\n", mount(2, "/pods/p1/c1"), @group) == @found
      # A name that only starts the same is another one.
      other = [group("/x", 100, 50, 0) | [@group]]
      assert found("0::/pods2/x\n", mount(2, "/pods"), other) == @found
    end

    test "a mount from above the namespace" do
      assert found("0::/\n", mount(2, "/../.."), @group) == @found
      assert found("0::/../b\n", mount(2, "/.."), group("/b", 512, 400, 0)) == @found
    end

    test "a group outside of the namespace is not the one that is mounted" do
      assert found("0::/../b\n", mount(2), [@group, group("/b", 9, 9, 0)]) == []
      assert found("0::/../../b\n", mount(2, "/x"), @group) == []
    end

    test "names with spaces and colons" do
      files = group("/", 512, 400, 0, point: "my groups\\x/v2")
      mounts = mount(2, "/a:b\\040c", "/my\\040groups\\134x/v2")
      assert found("0::/a:b c\n", mounts, files) == @found
    end

    test "of several mounts the one that shows most; those without files do not count" do
      mounts = mount(2, "/a/b", "/inner") <> mount(2, "/", "/hidden") <> mount(2, "/a", "/outer")

      files = [
        group("/", 100, 60, 0, point: "inner"),
        group("/", 512, 400, 0, point: "outer"),
        group("/b", nil, 60, 0, point: "outer")
      ]

      assert found("0::/a/b\n", mounts, files) == @found
    end

    test "of both versions at once" do
      both = mount(1) <> mount(2, "/", "/sys/fs/cgroup/unified")
      memory = group("/c", 300, 100, 0, version: 1)
      assert found("4:cpu,memory:/c\n0::/c\n", both, memory) == [{300, 100}]

      # `memory` is the name of the hierarchy here, no controller.
      assert found("4:name=memory:/c\n0::/c\n", both, memory) == []
    end
  end

  describe "odd content" do
    test "nothing there at all: nothing is known, and nothing raises" do
      assert OS.read(root()) == %{resident: nil, limits: [], source: :none}
      assert OS.read("/nowhere/at/all") == %{resident: nil, limits: [], source: :none}
    end

    test "every file empty, or of bytes that say nothing" do
      paths =
        ["proc/self/auxv"] ++
          Enum.flat_map(
            [
              meminfo(1, 1),
              statm(1, 1, 1),
              limits(1, 1),
              cgroup("", ""),
              group("/", 1, 1, 1),
              group("/", 1, 1, 1, version: 1)
            ],
            &Map.keys/1
          )

      texts = ["", "\n", "\0", " ", "::::\n", " - - \n", :binary.copy(<<255>>, 70_000), "-1 -1\n"]

      for text <- texts do
        assert %{limits: [], resident: nil} = read([Map.new(paths, &{&1, text})])
        # With groups that can be found.
        files = Map.new(paths, &{&1, text})
        assert read([files, cgroup("0::/\n1:memory:/\n", mount(1) <> mount(2))]).limits == []
      end
    end

    test "paths with bytes that are no text, with a zero, and too long" do
      # Longer than a path may be; each folder of it is looked for.
      long = String.duplicate("/" <> String.duplicate("x", 99), 60)

      for path <- ["/" <> <<255, 0, 254>>, "/\0", long] do
        files = cgroup("0::#{path}\n", mount(2, "/", path) <> mount(2))
        assert mib(read([files, group("/", 512, 400, 0)]), :container) == [{512, 400}]
      end
    end

    test "a number that is cut off is none" do
      for cut <- 1..22 do
        text = binary_part("MemTotal:       8388608 kB\nMemAvailable:    1024 kB\n", 0, cut)
        assert read([%{"proc/meminfo" => text}]).limits == []
      end

      # A line that the read's own bound cuts.
      stat = String.duplicate("x", 16_384 - 17) <> "\ninactive_file 123456789\n"
      files = Map.put(group("/", 512, 400, 0), "sys/fs/cgroup/memory.stat", stat)
      assert mib(read([cgroup("0::/\n", mount(2)), files]), :container) == [{512, 400}]
    end

    test "numbers that no kernel writes are none" do
      long = String.duplicate("9", 4_000)

      for text <- [long, "12x", "0x10", "1.5", "+5", "max", "MAX", "1e9"] do
        files = Map.put(group("/", 512, 400, 0), "sys/fs/cgroup/memory.max", text)
        assert read([cgroup("0::/\n", mount(2)), files]).limits == []
      end
    end

    test "a file that is a folder" do
      root = root()
      for path <- ["proc/meminfo", "proc/self/statm"], do: File.mkdir_p!(Path.join(root, path))
      assert OS.read(root) == %{resident: nil, limits: [], source: :none}
    end
  end

  describe "samples of open files" do
    test "tell what changes, and follow the process to another group" do
      root = write(root(), cgroup("0::/a\n", mount(2)))
      for path <- ["/a", "/b"], do: write(root, group(path, 512, 100, 0))
      write(root, group("/b", 256, 200, 0))
      os = OS.open(root)
      {reading, os} = OS.sample(os)
      assert mib(reading, :container) == [{512, 100}]

      write(root, group("/a", 512, 250, 0))
      {reading, os} = OS.sample(os)
      assert mib(reading, :container) == [{512, 250}]

      # What the limits are is asked less often.
      write(root, group("/a", 300, 260, 0))
      {reading, os} = os |> OS.review() |> OS.sample()
      assert mib(reading, :container) == [{300, 260}]

      write(root, %{"proc/self/cgroup" => "0::/b\n"})
      {reading, os} = os |> OS.review() |> OS.sample()
      assert mib(reading, :container) == [{256, 200}]
      assert OS.close(os) == :ok
    end

    test "leave no file open" do
      root = write(root(), cgroup("0::/\n4:memory:/\n", mount(2) <> mount(1)))

      for files <- [group("/", 9, 1, 0), group("/", 9, 1, 0, version: 1), meminfo(9, 1)],
          do: write(root, files)

      os = OS.open(root)
      # The group's own: four and three, the group's name, and the machine.
      assert open_files(root) == 9
      OS.close(os)
      assert open_files(root) == 0
      OS.read(root)
      assert open_files(root) == 0
    end

    defp open_files(root) do
      Enum.count(File.ls!("/proc/self/fd"), fn name ->
        case File.read_link("/proc/self/fd/" <> name) do
          {:ok, target} -> String.starts_with?(target, root)
          {:error, _closed} -> false
        end
      end)
    end
  end

  test "this machine" do
    before = resident()
    reading = OS.read()
    later = resident()
    assert reading.source == :os
    assert [%{limit: limit, used: used}] = Enum.filter(reading.limits, &(&1.kind == :machine))
    assert used in 1..limit

    # The kernel's own account of the same.
    {least, most} = Enum.min_max([before, later])
    assert reading.resident in (least - 50 * @mib)..(most + 50 * @mib)
  end

  defp resident do
    [_, kilobytes] = Regex.run(~r/VmRSS:\s+(\d+) kB/, File.read!("/proc/self/status"))
    String.to_integer(kilobytes) * 1024
  end
end
