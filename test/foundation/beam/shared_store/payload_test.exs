defmodule Foundation.BEAM.SharedStore.PayloadTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.Eventually

  alias Foundation.BEAM.{Memory, SharedStore, SharedTerm}
  alias Foundation.NativeBytes

  # What entries refer to outside of them: payloads of binaries, and what handles hold.

  # A process that keeps what a function gives, answers questions about it, and ends when it is told to.
  defp holder(fun), do: spawn_monitor(fn -> hold(fun.()) end)

  defp hold(held) do
    receive do
      {:ask, from, question} ->
        send(from, {:answer, question.(held)})
        hold(held)

      :end ->
        held
    end
  end

  # An answer proves that the function has run.
  defp ask({pid, _monitor}, question) do
    send(pid, {:ask, self(), question})
    assert_receive {:answer, answer}, 30_000
    answer
  end

  defp dismiss({pid, monitor}) do
    send(pid, :end)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, 30_000
  end

  # Identity, size and count of references of the payloads that a process's terms refer to.
  defp payloads(pid, least) do
    {:binary, payloads} = Process.info(pid, :binary)
    for {_id, size, _count} = payload when size >= least <- payloads, do: payload
  end

  defp references({pid, _monitor}, size) do
    [{_id, ^size, count}] = payloads(pid, size)
    count
  end

  # By a process that is gone then, with all that it made.
  defp put_elsewhere(store, key, fun) do
    {pid, monitor} = spawn_monitor(fn -> :ok = SharedStore.put(store, key, fun.()) end)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :normal}, 30_000
  end

  describe "a payload in a block" do
    test "is copied once, at the put, and shared by all who read it" do
      store = SharedStore.new()
      put_elsewhere(store, :key, fn -> :binary.copy("x", 1_000) end)

      read = fn -> SharedStore.fetch!(store, :key) end
      readers = for _ <- 1..3, do: holder(read)
      for reader <- readers, do: assert(ask(reader, &byte_size/1) == 1_000)

      # The store's reference, and one for each reader.
      assert [[{id, 1_000, 4}], [{id, 1_000, 4}], [{id, 1_000, 4}]] =
               for({pid, _} <- readers, do: payloads(pid, 1_000))

      [first | others] = readers

      # An entry that is replaced takes its reference with it, at once.
      :ok = SharedStore.put(store, :key, :other)
      assert references(first, 1_000) == 3

      for {other, left} <- Enum.zip(others, [2, 1]) do
        dismiss(other)
        assert eventually?(fn -> references(first, 1_000) == left end)
      end

      assert ask(first, &(&1 == :binary.copy("x", 1_000)))
      dismiss(first)
    end

    test "is of the part that was put, not of what that was a part of" do
      store = SharedStore.new()
      part = fn -> binary_part(:binary.copy("large ", 200_000), 600, 600) end
      put_elsewhere(store, :key, part)
      reader = {pid, _} = holder(fn -> SharedStore.fetch!(store, :key) end)
      assert ask(reader, &byte_size/1) == 600
      assert [{_, 600, 2}] = payloads(pid, 100)
      assert ask(reader, &(&1 == :binary.copy("large ", 100)))
      dismiss(reader)
    end

    for way <- ~w(put put_many update delete take delete_many expire evict clear close)a do
      test "is let go of by #{way}" do
        store = SharedStore.new(max_entries: 2)
        put_elsewhere(store, :key, fn -> %{payload: :binary.copy("x", 1_000)} end)
        reader = holder(fn -> SharedStore.fetch!(store, :key) end)
        assert ask(reader, &byte_size(&1.payload)) == 1_000
        assert references(reader, 1_000) == 2
        let_go(unquote(way), store)
        assert eventually?(fn -> references(reader, 1_000) == 1 end)
        dismiss(reader)
      end
    end

    defp let_go(:put, store), do: SharedStore.put(store, :key, 1)
    defp let_go(:put_many, store), do: SharedStore.put_many(store, key: 1)

    defp let_go(:update, store),
      do: elsewhere(fn -> SharedStore.update(store, :key, fn _ -> 1 end) end)

    defp let_go(:delete, store), do: SharedStore.delete(store, :key)
    defp let_go(:take, store), do: elsewhere(fn -> SharedStore.take(store, :key) end)
    defp let_go(:delete_many, store), do: SharedStore.delete_many(store, [:key])
    defp let_go(:expire, store), do: SharedStore.touch(store, :key, 0)
    defp let_go(:evict, store), do: for(n <- 1..100, do: SharedStore.put(store, n, n))
    defp let_go(:clear, store), do: SharedStore.clear(store)
    defp let_go(:close, store), do: SharedStore.close(store)

    test "is freed when the store and the last reader have let go" do
      volume = 2_000 * 4_000
      before = settled_bytes()
      store = SharedStore.new()

      elsewhere(fn ->
        for n <- 1..2_000, do: :ok = SharedStore.put(store, n, [n, :binary.copy(<<n>>, 4_000)])
      end)

      read = fn -> for n <- 1..2_000, do: SharedStore.fetch!(store, n) end
      [first, second] = for _ <- 1..2, do: holder(read)
      whole? = fn held -> held == for(n <- 1..2_000, do: [n, :binary.copy(<<n>>, 4_000)]) end
      assert ask(first, whole?)
      assert ask(second, &length/1) == 2_000

      # One payload for the store and both readers, once the process that put them is gone entirely.
      once? = fn -> abs(binary_bytes() - before - volume) < volume / 4 end
      assert eventually?(once?)
      assert Memory.native_memory().shared_stores > volume

      SharedStore.close(store)
      assert eventually?(fn -> NativeBytes.settle().shared_stores < 1_000_000 end)
      # Against what there is now: of the VM's other binaries, some may have gone since.
      held = binary_bytes()
      dismiss(first)
      assert eventually?(fn -> abs(binary_bytes() - held) < volume / 4 end)
      assert ask(second, whole?)
      dismiss(second)
      assert eventually?(fn -> binary_bytes() - before < volume / 20 end)
    end

    test "of a compressed value is freed with its entry" do
      before = settled_bytes()
      store = SharedStore.new(compress_above: 100)
      noise = fn -> :crypto.strong_rand_bytes(4_000) end
      elsewhere(fn -> for n <- 1..1_000, do: :ok = SharedStore.put(store, n, noise.()) end)
      volume = 1_000 * 4_000
      assert eventually?(fn -> abs(binary_bytes() - before - volume) < volume / 4 end)

      for n <- 1..500, do: SharedStore.delete(store, n)
      assert eventually?(fn -> abs(binary_bytes() - before - volume / 2) < volume / 4 end)
      assert byte_size(SharedStore.fetch!(store, 501)) == 4_000
      SharedStore.clear(store)
      assert eventually?(fn -> binary_bytes() - before < volume / 20 end)
    end

    # Once what others have let go of is out of the books.
    defp settled_bytes do
      before = binary_bytes()
      if abs(binary_bytes() - before) < 100_000, do: before, else: settled_bytes()
    end

    # Of other processes only what they still use.
    defp binary_bytes do
      Enum.each(Process.list(), &:erlang.garbage_collect/1)
      :erlang.memory(:binary)
    end
  end

  describe "a binary of more than 64 KB" do
    test "is shared with whoever put it, and let go of with the entry" do
      store = SharedStore.new()
      binary = :binary.copy("x", 100_000)
      :ok = SharedStore.put(store, :key, binary)
      reader = holder(fn -> SharedStore.fetch!(store, :key) end)
      assert ask(reader, &byte_size/1) == 100_000
      # Ours, the store's, the reader's.
      assert references(reader, 100_000) == 3
      SharedStore.delete(store, :key)
      assert eventually?(fn -> NativeBytes.settle() && references(reader, 100_000) == 2 end)
      assert byte_size(binary) == 100_000
      dismiss(reader)
    end
  end

  describe "a handle in a value" do
    test "can be read through the store after its maker and their own copy are gone" do
      store = SharedStore.new()
      before = NativeBytes.settle().shared_terms
      term = %{rows: Enum.to_list(1..1_000)}
      put_elsewhere(store, :key, fn -> %{handle: SharedTerm.new(term), id: 1} end)
      NativeBytes.settle()

      {:ok, handle} = SharedStore.fetch_in(store, :key, [:handle])
      assert SharedTerm.fetch(handle) === {:ok, term}

      assert elsewhere(fn ->
               SharedTerm.fetch_in(SharedStore.fetch!(store, :key).handle, [:rows, 9])
             end) == {:ok, 10}

      assert NativeBytes.settle().shared_terms > before
      assert SharedStore.member?(store, :key)
    end

    test "keeps what it holds as long as the entry, and as anybody who read it" do
      store = SharedStore.new()
      assert eventually?(fn -> NativeBytes.settle().shared_terms == 0 end)
      put_elsewhere(store, :key, fn -> {SharedTerm.new(Enum.to_list(1..1_000))} end)
      assert NativeBytes.settle().shared_terms > 16_000

      reader = holder(fn -> SharedStore.fetch!(store, :key) end)
      assert ask(reader, fn {handle} -> SharedTerm.fetch_in(handle, [0]) end) == {:ok, 1}
      SharedStore.delete(store, :key)
      assert NativeBytes.settle().shared_terms > 16_000
      dismiss(reader)
      assert eventually?(fn -> NativeBytes.settle().shared_terms == 0 end)
    end

    test "of the store itself keeps it alive until it is closed, or its owner ends" do
      assert eventually?(fn -> NativeBytes.settle().shared_stores == 0 end)

      # Written down, a handle holds nothing; read again, it is one while the store is there.
      written =
        elsewhere(fn ->
          store = SharedStore.new()
          :ok = SharedStore.put(store, :self, store)
          :erlang.term_to_binary(store)
        end)

      assert NativeBytes.settle().shared_stores > 0
      assert SharedStore.close(:erlang.binary_to_term(written)) == :ok
      assert eventually?(fn -> NativeBytes.settle().shared_stores == 0 end)

      elsewhere(fn ->
        store = SharedStore.new(owner: self())
        SharedStore.put(store, :self, store)
      end)

      assert eventually?(fn -> NativeBytes.settle().shared_stores == 0 end)
    end
  end

  defp elsewhere(fun), do: Task.await(Task.async(fun), 30_000)
end
