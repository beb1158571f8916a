defmodule Foundation.BEAM.Memory.OS.Cgroup do
  @moduledoc false

  # The control groups that bound the memory of this process: its own and those above it, as far as
  # they can be seen from here. `/proc/self/cgroup` names the group, `/proc/self/mountinfo` where the
  # hierarchy shows. Each of the groups may have a limit, and the usage of each is its own: one
  # further up is shared with others and may be the fuller one.

  alias Foundation.BEAM.Memory.OS.{Handle, Text}

  # Groups are a few deep; three or four files are kept open for each.
  @deepest 16

  # The kernel writes "no limit" of version 1 as the largest number of whole pages.
  @unlimited 0x1000_0000_0000_0000

  @typedoc "`bound`: its limit; `flat?`: bounds no other group; `top?`: the uppermost that shows."
  @type group :: %{
          version: 1 | 2,
          used: Handle.t(),
          stat: Handle.t() | nil,
          limits: [Handle.t()],
          bound: non_neg_integer() | nil,
          flat?: boolean(),
          top?: boolean()
        }

  @type limit :: %{
          kind: :container,
          version: 1 | 2,
          limit: non_neg_integer(),
          used: non_neg_integer()
        }

  @doc "Opens the files of the groups; `own` is what `/proc/self/cgroup` says."
  @spec open(Path.t(), binary() | nil) :: [group()]
  def open(_root, nil), do: []

  def open(root, own) do
    mounts = root |> Path.join("proc/self/mountinfo") |> Handle.whole() |> mounts()
    Enum.flat_map(memberships(own), &groups(&1, mounts, root))
  end

  @doc "Closes them."
  @spec close([group()]) :: :ok
  def close(groups), do: Enum.each(groups, &close_group/1)

  @doc "How many files are open."
  @spec count([group()]) :: non_neg_integer()
  def count(groups),
    do: groups |> Enum.flat_map(&[&1.used, &1.stat | &1.limits]) |> Enum.count(& &1)

  @doc "The groups with the limits that their files tell now; `:lost` where one of them has gone."
  @spec review([group()]) :: [group()] | :lost
  def review(groups) do
    reviewed = Enum.map(groups, &bound/1)
    if :lost in reviewed, do: :lost, else: reviewed
  end

  @doc "What is used now of those that have a limit; `:lost` where one of them has gone."
  @spec limits([group()]) :: [limit()] | :lost
  def limits(groups) do
    found = for %{bound: bound} = group when bound != nil <- groups, do: used(group)
    if :lost in found, do: :lost, else: Enum.filter(found, &is_map/1)
  end

  defp bound(group) do
    stat = if group.top? and group.version == 1, do: Handle.read(group.stat)
    above = Text.figure(stat, "hierarchical_memory_limit ")
    bounds = [above | Enum.map(group.limits, &single/1)]
    if :lost in bounds, do: :lost, else: %{group | bound: smallest(bounds)}
  end

  # What the kernel drops before anything else is free for the asking: of the usage it counts as none.
  defp used(group) do
    case single(group.used) do
      used when is_integer(used) ->
        inactive = inactive(group.version, Handle.read(group.stat))
        container(group.version, group.bound, max(used - inactive, 0))

      lost_or_none ->
        lost_or_none
    end
  end

  defp container(version, limit, used),
    do: %{kind: :container, version: version, limit: limit, used: used}

  defp inactive(1, stat),
    do: Text.figure(stat, "total_inactive_file ") || Text.figure(stat, "inactive_file ") || 0

  defp inactive(2, stat), do: Text.figure(stat, "inactive_file ") || 0

  # A group that has been removed answers with an error.
  defp single(handle) do
    case Handle.read(handle) do
      nil -> :lost
      text -> Text.single(text)
    end
  end

  defp smallest(bounds) do
    bounds |> Enum.filter(&(is_integer(&1) and &1 < @unlimited)) |> Enum.min(fn -> nil end)
  end

  # `{version, path}` of the groups that this process is in and that may bound memory.
  defp memberships(own) do
    Enum.flat_map(lines(own), fn line ->
      case String.split(line, ":", parts: 3) do
        ["0", "", "/" <> _ = path] -> [{2, path}]
        [_id, names, "/" <> _ = path] -> if memory?(names), do: [{1, path}], else: []
        _ -> []
      end
    end)
  end

  defp memory?(names), do: "memory" in String.split(names, ",")

  # `id parent device root point options [tags] - type source super_options`
  defp mounts(text) do
    Enum.flat_map(lines(text), fn line ->
      with [mount, filesystem] <- :binary.split(line, " - "),
           [_id, _parent, _device, root, point | _] <- String.split(mount, " "),
           [type, _source, options | _] <- String.split(filesystem, " "),
           version when is_integer(version) <- version(type, options) do
        [%{version: version, root: unescape(root), point: unescape(point)}]
      else
        _ -> []
      end
    end)
  end

  defp version("cgroup2", _options), do: 2
  defp version("cgroup", options), do: if(memory?(options), do: 1)
  defp version(_type, _options), do: nil

  # The kernel writes spaces, tabs, line ends and backslashes as three octal digits.
  defp unescape(path) do
    Regex.replace(~r/\\([0-3][0-7]{2})/, path, fn _, octal ->
      <<String.to_integer(octal, 8)>>
    end)
  end

  # A hierarchy may show at several places: the one that shows the most of it comes first, and the
  # first that has files counts.
  defp groups({version, path}, mounts, root) do
    mounts
    |> Enum.filter(&(&1.version == version))
    |> Enum.flat_map(&place(&1, path))
    |> Enum.sort_by(fn {rank, mount, _names} -> {rank, byte_size(mount.root)} end)
    |> Enum.find_value([], fn {_rank, mount, names} ->
      groups = open_all(version, directories(Path.join(root, mount.point), names))
      if groups != [], do: groups
    end)
  end

  # Where the group is below the mount. Within a namespace the two may have little in common:
  #
  #   * the mount's root is above the namespace (`/..`): it shows a group that holds ours, somewhere;
  #   * a path of the host, with only the container's own group mounted: the mount is that group;
  #   * a group outside of the namespace (`/../other`), and the mount within it: not ours at all.
  defp place(mount, path) do
    case below(names(mount.root), names(path)) do
      names when is_list(names) -> if ".." in names, do: [], else: [{0, mount, names}]
      nil -> if ".." in names(path), do: [], else: [{1, mount, []}]
    end
  end

  defp below([], names), do: names
  defp below([name | root], [name | names]), do: below(root, names)
  defp below(_root, _names), do: nil

  defp names(path), do: String.split(path, "/", trim: true)

  # The own group first, then what is above it. A group that has been removed, or has no files because
  # memory is not divided that far down, leaves those above it.
  defp directories(point, names),
    do: Enum.reverse([point | Enum.scan(names, point, &(&2 <> "/" <> &1))])

  defp open_all(version, directories) do
    directories
    |> Stream.map(&open_group(version, &1))
    |> Stream.filter(&is_map/1)
    |> Enum.take(@deepest)
    |> binding(version)
    |> mark_top()
  end

  defp open_group(1, folder), do: open_group(1, folder, "usage_in_bytes", ["limit_in_bytes"])
  defp open_group(2, folder), do: open_group(2, folder, "current", ["max", "high"])

  defp open_group(version, folder, used, limits) do
    file = &Handle.open(folder <> "/memory." <> &1, &2)

    used = file.(used, 64)
    limits = limits |> Enum.map(&file.(&1, 64)) |> Enum.reject(&is_nil/1)

    if used && limits != [] do
      flat? = version == 1 and Text.single(Handle.whole(folder <> "/memory.use_hierarchy")) == 0
      stat = file.("stat", 16_384)
      %{version: version, used: used, limits: limits, stat: stat, bound: nil, flat?: flat?}
    else
      Enum.each([used | limits], &Handle.close/1)
    end
  end

  # Before Linux 5.11 a group of version 1 could leave those below it out of its own limit.
  defp binding([own | above], 1) do
    {flat, binding} = Enum.split_with(above, & &1.flat?)
    close(flat)
    [own | binding]
  end

  defp binding(groups, _version), do: groups

  # The uppermost that shows also tells of limits that hold above it, out of sight (version 1 only).
  defp mark_top([]), do: []

  defp mark_top(groups) do
    {above, [top]} = Enum.split(groups, -1)
    Enum.map(above, &Map.put(&1, :top?, false)) ++ [Map.put(top, :top?, true)]
  end

  defp close_group(group) do
    Enum.each([group.used, group.stat | group.limits], &Handle.close/1)
  end

  defp lines(text), do: String.split(text, "\n", trim: true)
end
