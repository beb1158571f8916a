defmodule Foundation.BEAM.Memory.LeaksTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.BEAM.Memory
  alias Foundation.Keeper

  @mb 1_000_000

  # The VM's list and the collector's figures changed with this release.
  @otp String.to_integer(System.otp_release())

  # What earlier tests have left in other processes is not planted here.
  setup do
    Enum.each(Process.list(), &:erlang.garbage_collect/1)
  end

  # Of a search, or of what plants and searches: the first that a busy machine kept from nobody.
  defp whole(search) do
    Enum.reduce_while(1..5, nil, fn _, _last ->
      result = search.()
      {if(whole?(result), do: :halt, else: :cont), result}
    end)
  end

  defp whole?({_pid, result}), do: whole?(result)
  defp whole?(%{skipped: 0, not_looked_into: 0, binary_memory: bytes}), do: bytes != nil
  defp whole?(_kept_from_some), do: false

  defp search(opts \\ []), do: whole(fn -> Memory.binary_leaks(opts) end)
  defp leaks(opts), do: search(opts).leaks
  defp leak(pid, opts \\ []), do: found(search([limit: 1000] ++ opts), pid)
  defp found(result, pid), do: Enum.find(result.leaks, &(&1.pid == pid))

  test "a system without leaks has none" do
    Keeper.start(fn -> Keeper.bytes(3 * @mb) end)
    Keeper.start(fn -> %{list: [Keeper.bytes(2 * @mb)], tuple: {:a, Keeper.bytes(@mb)}} end)
    Keeper.plain(fn -> Keeper.bytes(3 * @mb) end)
    result = search()
    assert result.leaks == []
    assert %{wasted_bytes: wasted, suspected_bytes: 0, skipped: 0, complete?: true} = result
    assert wasted < @mb
    assert result.held_bytes >= 9 * @mb
    assert result.unlisted_bytes == max(result.binary_memory - result.held_bytes, 0)
    assert result.searched >= 4 and result.looked_into >= 2
  end

  test "parts of large binaries are found by the byte, and the largest comes first" do
    planted =
      for count <- [2, 7, 4] do
        {Keeper.start(fn -> for _ <- 1..count, do: Keeper.part(@mb) end), count}
      end

    result = search()
    ranked = planted |> Enum.sort_by(&(-elem(&1, 1))) |> Enum.map(&elem(&1, 0))
    assert Enum.map(result.leaks, & &1.pid) == ranked

    for {pid, count} <- planted do
      found = Enum.find(result.leaks, &(&1.pid == pid))
      assert %{kind: :parts, certainty: :seen, looked_into?: true, binaries: ^count} = found
      assert found.parts_bytes == count * (@mb - 100)
      assert found.wasted_bytes == found.parts_bytes
      assert found.involved_bytes == found.parts_bytes
      assert found.held_bytes == count * @mb and found.sole_bytes == count * @mb
      # OTP 26.2 and newer give it.
      assert found.initial_call in [{Keeper, :init, 1}, {:proc_lib, :init_p, 5}]
    end

    assert result.wasted_bytes >= 13 * (@mb - 100)
    assert [first] = leaks(limit: 1)
    assert first.pid == hd(ranked)
    assert [_] = leaks(min_bytes: 5 * @mb)
  end

  test "several parts of one binary count as what they cover" do
    pid =
      Keeper.start(fn ->
        whole = Keeper.bytes(2 * @mb)
        for from <- [0, 50, 100, 1_000_000], do: binary_part(whole, from, 100)
      end)

    assert %{binaries: 1, parts_bytes: parts} = leak(pid)
    assert parts == 2 * @mb - 300
    <<_::3, odd::bitstring-size(800), _::bitstring>> = Keeper.bytes(2 * @mb)
    odd_pid = Keeper.start(fn -> odd end)
    :erlang.garbage_collect()
    assert %{parts_bytes: parts} = leak(odd_pid, pids: [odd_pid, self()])
    assert parts in (2 * @mb - 202)..(2 * @mb - 101)
  end

  test "what went through a server and was never collected is unreachable" do
    pid = Keeper.start(fn -> Keeper.bytes(@mb) end)
    Keeper.pass_through(pid, 4, @mb)
    found = leak(pid)
    assert %{kind: :unreachable, certainty: :seen, freed_bytes: 0} = found
    assert found.unreachable_bytes == 4 * @mb
    assert found.wasted_bytes == 4 * @mb
    assert found.held_bytes == 5 * @mb

    {pid, result} =
      whole(fn ->
        pid = Keeper.start(fn -> Keeper.bytes(@mb) end)
        Keeper.pass_through(pid, 4, @mb)
        {pid, Memory.binary_leaks(collect: true)}
      end)

    found = found(result, pid)
    assert %{kind: :garbage, certainty: :measured, unreachable_bytes: 0} = found
    assert found.freed_bytes == 4 * @mb
    assert found.held_bytes == @mb
    assert result.freed_bytes >= 4 * @mb and result.wasted_bytes >= 4 * @mb
    assert leak(pid) == nil
  end

  test "young garbage is unreachable, or is measured where the look brought its collection" do
    {pid, result} =
      whole(fn ->
        pid = Keeper.start(fn -> nil end)
        :erlang.garbage_collect(pid)
        Keeper.run(pid, fn -> byte_size(Keeper.bytes(3 * @mb)) end)
        {pid, Memory.binary_leaks()}
      end)

    found = found(result, pid)
    assert found.unreachable_bytes + found.freed_bytes == 3 * @mb
    assert found.kind in [:unreachable, :garbage]
  end

  test "of a process of no known kind, old references are suspected and collecting tells" do
    plant = fn -> Keeper.plain(fn -> :go end, fn :go -> Keeper.age(4, @mb) end) end
    router = plant.()
    found = leak(router)
    assert %{kind: :old_generation, certainty: :suspected, looked_into?: false} = found
    assert found.old_generation_bytes == 4 * @mb
    assert %{suspected_bytes: suspected, wasted_bytes: 0} = search(pids: [router])
    assert suspected == 4 * @mb

    {router, result} =
      whole(fn ->
        router = plant.()
        {router, Memory.binary_leaks(pids: [router], collect: true)}
      end)

    found = found(result, router)
    assert %{kind: :garbage, certainty: :measured, freed_bytes: freed} = found
    assert freed == 4 * @mb
    assert leak(router) == nil
  end

  test "a part that came by message is proven by the collector's figures, where they tell" do
    pid = Keeper.plain(fn -> Keeper.part(10 * @mb) end)

    if @otp < 27 do
      assert %{kind: :parts, certainty: :seen, looked_into?: false, parts_bytes: parts} =
               leak(pid)

      assert parts in (10 * @mb - 200)..(10 * @mb - 100)
    else
      assert leak(pid) == nil
    end

    assert byte_size(Keeper.ask(pid)) == 100
  end

  test "a binary that many hold counts once, its waste in equal parts" do
    servers = for _ <- 1..20, do: Keeper.start(fn -> nil end)

    Keeper.plain(fn ->
      part = Keeper.part(10 * @mb)
      for server <- servers, do: GenServer.call(server, {:become, [part]})
      :done
    end)

    result = search(limit: 100)
    found = Enum.filter(result.leaks, &(&1.pid in servers))
    assert length(found) == 20
    assert found |> Enum.map(& &1.wasted_bytes) |> Enum.sum() == 10 * @mb - 100
    assert Enum.all?(found, &(&1.involved_bytes == 10 * @mb - 100 and &1.sole_bytes == 0))
    assert result.wasted_bytes in (10 * @mb - 100)..(11 * @mb)
    assert result.held_bytes < 20 * @mb
  end

  test "a binary that one holder uses is nobody's waste" do
    server = Keeper.start(fn -> nil end)
    whole = Keeper.bytes(5 * @mb)
    GenServer.call(server, {:become, binary_part(whole, 0, 100)})
    other = Keeper.start(fn -> whole end)
    assert leak(server) == nil
    assert byte_size(whole) == 5 * @mb
    assert GenServer.call(other, :state) == whole
  end

  test "a binary that a table refers to counts as used" do
    table = :ets.new(:leaks, [:public])

    server =
      Keeper.start(fn ->
        whole = Keeper.bytes(5 * @mb)
        :ets.insert(table, {:whole, whole})
        binary_part(whole, 0, 100)
      end)

    :erlang.garbage_collect(server)
    assert leak(server) == nil
    :ets.delete(table)
    assert %{parts_bytes: parts} = leak(server)
    assert parts == 5 * @mb - 100
  end

  test "the process dictionary, funs and funs within funs are seen" do
    whole =
      Keeper.start(fn ->
        Process.put(:whole, Keeper.bytes(2 * @mb))
        binary = Keeper.bytes(3 * @mb)
        inner = fn -> binary end
        %{fun: fn -> inner end, external: &Enum.map/2}
      end)

    part =
      Keeper.start(fn ->
        part = Keeper.part(4 * @mb)
        inner = fn -> part end
        [fn -> inner end]
      end)

    for pid <- [whole, part], do: :erlang.garbage_collect(pid)
    assert leak(whole) == nil
    assert %{parts_bytes: parts} = leak(part)
    assert parts == 4 * @mb - 100
  end

  test "what a dictionary holds is not copied to name a process" do
    {pid, result} =
      whole(fn ->
        pid =
          Keeper.start(fn ->
            # Its parts are met 2 to the 60th times.
            Process.put(:deep, Enum.reduce(1..60, [], fn _, below -> [below | below] end))
            nil
          end)

        Keeper.pass_through(pid, 2, @mb)
        {pid, Memory.binary_leaks(pids: [pid], collect: true)}
      end)

    assert %{freed_bytes: freed, name: nil, initial_call: call} = found(result, pid)
    assert freed == 2 * @mb
    assert call in [{Keeper, :init, 1}, {:proc_lib, :init_p, 5}]
  end
end
