defmodule Foundation.OSFiles do
  @moduledoc """
  Folders that imitate `/proc` and `/sys/fs/cgroup`, written as the kernel writes them.
  """

  @mib 1_048_576

  @doc "An empty folder that is removed at the end of the test."
  def root do
    name = "foundation-os-#{System.pid()}-#{System.unique_integer([:positive])}"
    root = Path.join(System.tmp_dir!(), name)
    File.mkdir_p!(root)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(root) end)
    root
  end

  @doc "Writes files, `%{path => text}`; `nil` removes one."
  def write(root, files) do
    for {path, text} <- files do
      path = Path.join(root, path)
      File.mkdir_p!(Path.dirname(path))
      if text, do: rewrite(path, text), else: File.rm!(path)
    end

    root
  end

  # In one call: whoever reads meanwhile finds the old text or the new one, but never none of it. An
  # open handle sees it, as it would the kernel's.
  defp rewrite(path, text) do
    old = if File.exists?(path), do: File.stat!(path).size, else: 0
    padding = String.duplicate("\n", max(old - byte_size(text), 0))
    {:ok, file} = :file.open(path, [:raw, :read, :write, :binary])
    :ok = :file.pwrite(file, 0, text <> padding)
    :ok = :file.close(file)
  end

  @doc "`/proc/meminfo` of a machine, in MiB."
  def meminfo(total, available) do
    %{
      "proc/meminfo" =>
        "MemTotal:       #{total * 1024} kB\nMemFree:        1024 kB\n" <>
          "MemAvailable:   #{available * 1024} kB\nBuffers:           20240 kB\n"
    }
  end

  @doc "`/proc/self/statm` in pages: size, resident and data."
  def statm(size, resident, data),
    do: %{"proc/self/statm" => "#{size} #{resident} 386 5 0 #{data} 0\n"}

  @doc "`/proc/self/limits`, in bytes."
  def limits(data, address) do
    %{
      "proc/self/limits" => """
      Limit                     Soft Limit           Hard Limit           Units
      Max cpu time              unlimited            unlimited            seconds
      Max data size             #{pad(data)} unlimited            bytes
      Max stack size            8388608              unlimited            bytes
      Max address space         #{pad(address)} unlimited            bytes
      """
    }
  end

  @doc "The group that the process is in and the hierarchies that are mounted."
  def cgroup(own, mounts), do: %{"proc/self/cgroup" => own, "proc/self/mountinfo" => mounts}

  @doc "Lines of `/proc/self/mountinfo`."
  def mount(version, root \\ "/", point \\ nil)

  def mount(1, root, point),
    do:
      "35 31 0:32 #{root} #{point || "/sys/fs/cgroup/memory"} rw,relatime shared:9 - cgroup cgroup rw,memory\n"

  def mount(2, root, point),
    do:
      "30 23 0:26 #{root} #{point || "/sys/fs/cgroup"} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

  @doc "The files of a group, in MiB; options `high:`, `version:` 2, `hierarchical:` and `point:` for 1."
  def group(path, limit, used, inactive, opts \\ []) do
    version = opts[:version] || 2
    point = opts[:point] || if(version == 1, do: "sys/fs/cgroup/memory", else: "sys/fs/cgroup")
    folder = Path.join(point, path)

    Map.new(files(version, limit, used, inactive, opts), fn {k, v} ->
      {"#{folder}/memory.#{k}", v}
    end)
  end

  defp files(2, limit, used, inactive, opts) do
    %{
      "max" => bytes(limit, "max"),
      "high" => bytes(opts[:high], "max"),
      "current" => bytes(used, "0"),
      "stat" => "anon 1000\nfile 2000\ninactive_anon 77\ninactive_file #{bytes(inactive, "0")}"
    }
  end

  @no_limit "9223372036854771712"

  defp files(1, limit, used, inactive, opts) do
    hierarchical = bytes(opts[:hierarchical] || limit, @no_limit)

    %{
      "limit_in_bytes" => bytes(limit, @no_limit),
      "usage_in_bytes" => bytes(used, "0"),
      "use_hierarchy" => "#{opts[:use_hierarchy] || 1}\n",
      "stat" =>
        "cache 1\ninactive_file 5\nhierarchical_memory_limit #{hierarchical}" <>
          "total_cache 7\ntotal_inactive_file #{bytes(inactive, "0")}total_unevictable 0\n"
    }
  end

  defp bytes(nil, none), do: none <> "\n"
  defp bytes(mib, _none), do: "#{mib * @mib}\n"

  defp pad(text), do: text |> to_string() |> String.pad_trailing(20)
end
