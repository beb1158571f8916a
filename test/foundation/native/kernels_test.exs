defmodule Foundation.Native.KernelsTest do
  # The books are those of the whole VM.
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.KernelJobs

  alias Foundation.Native

  @kinds ~w(i8 u8 i16 u16 i32 u32 i64 u64 f32 f64)a

  defp held, do: Native.memory_held()[:kernels]

  defp freed do
    :erlang.garbage_collect()
    Foundation.NativeBytes.settle().kernels
  end

  defp random(count, most \\ 1_000_000), do: for(_ <- 1..count, do: :rand.uniform(most))

  describe "kernels_all/0" do
    test "has every kernel, with what it takes and whether it can be shared out" do
      assert {:sum, :numbers, :always} in Native.kernels_all()
      assert {:quantiles, :numbers, :never} in Native.kernels_all()
      assert {:xxh3_64, :bytes, :many} in Native.kernels_all()
      assert {:compress_many, :many, :always} in Native.kernels_all()
      names = Enum.map(Native.kernels_all(), &elem(&1, 0))
      assert names == Enum.uniq(names)
    end
  end

  describe "a job" do
    test "of every kind of packed number sorts what Elixir sorts" do
      for kind <- @kinds, parts <- [1, 3] do
        numbers = random(5_000, 120)
        packed = pack(kind, numbers)
        assert {:ok, {^kind, sorted}} = run(:sort, kind, packed, [], parts)
        assert sorted == pack(kind, Enum.sort(numbers))
      end
    end

    test "in parts finds what it finds in one" do
      text = for n <- 1..30_000, into: "", do: "word#{rem(n * n, 997)} "
      many = for n <- 1..3_000, do: "item #{n} " <> String.duplicate("x", rem(n, 300))
      packed = pack(:i64, random(100_000))

      for {name, kind, data, args} <- [
            {:sum, :i64, packed, []},
            {:histogram, :i64, packed, [bins: 10, min: 0, max: 1_000_000]},
            {:top_k, :i64, packed, [k: 5_000]},
            {:count, :bytes, text, [pattern: "word1"]},
            {:words, :bytes, text, []},
            {:words, :many, many, [lowercase: true]},
            {:xxh3_128, :many, many, [seed: 7]},
            {:sort, :list, random(60_000), []},
            {:compress_many, :many, many, []}
          ] do
        assert {:ok, result} = run(name, kind, data, args, 1)
        assert {:ok, ^result} = run_whole(name, kind, data, args)
        assert {:ok, ^result} = run(name, kind, data, args, 2)
        assert {:ok, ^result} = run(name, kind, data, args, 5)
      end
    end

    test "of one binary that cannot be shared out has one part" do
      {:ok, job} = new(:xxh3_64, :bytes, "abc")
      assert Native.kernels_split(job, 4) == {:ok, 1}
      {:ok, job} = new(:sum, :list, Enum.to_list(1..10))
      assert Native.kernels_split(job, 4) == {:ok, 4}
    end

    test "says how far it is" do
      {:ok, job} = new(:sort, :f64, pack(:f64, random(300_000)))
      {:ok, 1} = Native.kernels_split(job, 1)
      assert {:more, done, all} = Native.kernels_step(job, 0)
      assert done > 0 and done < all and all >= 300_000
      assert step(job, 0, done) == :ok
    end

    test "gives a large result as a binary that stays when the job and its handle are gone" do
      before = freed()
      numbers = random(200_000)
      {:ok, {:f64, sorted}} = run(:sort, :f64, pack(:f64, numbers))
      assert freed() - before == byte_size(sorted)
      assert sorted == pack(:f64, Enum.sort(numbers))
    end

    test "gives each of many results, small and large" do
      large = :rand.bytes(100_000)
      many = ["", "a", large] ++ for(n <- 1..2_000, do: String.duplicate("#{n}", 100))
      {:ok, frames} = run(:compress_many, :many, many, [], 2)
      assert length(frames) == length(many)

      for {frame, plain} <- Enum.zip(frames, many) do
        assert Foundation.BEAM.Compression.decompress(frame) == {:ok, plain}
      end
    end

    test "gives a histogram of many bins" do
      {:ok, found} = run(:histogram, :list, [5, -1, 5], bins: 60_000, min: 0, max: 60_000)
      assert %{below: 1, above: 0, nan: 0, counts: counts} = found
      assert Enum.at(counts, 5) == 2 and length(counts) == 60_000 and Enum.sum(counts) == 2
    end

    test "gives words as they were or in lower case" do
      text = for n <- 1..20_000, into: "", do: "Word#{n} "
      words = String.split(text)
      assert run(:words, :bytes, text) == {:ok, Map.new(words, &{&1, 1})}

      assert run(:words, :bytes, text <> String.upcase(text), lowercase: true) ==
               {:ok, Map.new(words, &{String.downcase(&1), 2})}

      long = String.duplicate("Ab", 1000)
      assert run(:words, :bytes, long, lowercase: true) == {:ok, %{String.downcase(long) => 1}}
    end

    test "takes an argument of many numbers" do
      edges = Enum.to_list(0..20_000)
      assert {:ok, %{counts: counts}} = run(:histogram, :list, [7, 7, 9], edges: edges)
      assert Enum.slice(counts, 6, 4) == [0, 2, 0, 1]
      assert Native.kernels_now(:histogram, :list, [7], edges: edges) == :large
    end

    test "takes edges that are integers and floats of any size" do
      edges = [-(2 ** 63), -1.5, 0, 1, 2.5, 2 ** 59, 2.0e18, 2 ** 63 - 1]
      assert {:ok, %{counts: counts}} = run(:histogram, :list, [-7, -1, 0, 3], edges: edges)
      assert counts == [1, 1, 1, 0, 1, 0, 0]
    end

    test "takes 65,536 bins, which its parts have in common" do
      edges = Enum.map(0..65_536, &(&1 / 2))
      numbers = pack(:f64, Enum.map(0..65_535, &(&1 / 2)))
      before = freed()
      {:ok, job} = new(:histogram, :f64, numbers, edges: edges)
      {:ok, 64} = Native.kernels_split(job, 64)
      # 512 KiB of edges, once.
      assert held() - before < 600_000
      assert Native.kernels_close(job)
      assert {:ok, %{counts: counts}} = run(:histogram, :f64, numbers, [edges: edges], 64)
      assert counts == List.duplicate(1, 65_536)

      for args <- [[edges: edges ++ [40_000]], [bins: 65_537, min: 0, max: 65_537]] do
        assert {:error, {:invalid_option, _, %{}}} = run(:histogram, :f64, numbers, args)
      end
    end

    test "passes on what is wrong" do
      assert {:error, {:too_many_words, message, %{max_words: 2}}} =
               run(:words, :bytes, "a b c", max_words: 2)

      assert message == "the text has more than 2 distinct words"
      assert {:error, {:empty, _, %{given: 0, needed: 1}}} = run(:mean, :list, [])

      assert {:error, {:unaligned, _, %{bytes: 9, element_size: 8}}} =
               run(:sum, :f64, "123456789")

      assert {:error, {:unknown_kernel, _, %{}}} = run(:sun, :list, [])
      assert {:error, {:unknown_option, _, %{}}} = run(:sum, :list, [1], q: 1)
      assert {:error, {:invalid_option, _, %{}}} = run(:top_k, :list, [1], k: 1.5)
      assert {:error, {:invalid_option, _, %{}}} = run(:top_k, :list, [1], k: Bitwise.bsl(1, 70))
      assert {:error, {:invalid_input, _, %{}}} = run(:sum, :bytes, "abc")
    end
  end

  describe "misuse" do
    test "of a kind or an argument is refused" do
      for {kind, data, args} <- [
            {:lists, [], []},
            {"list", [], []},
            {:list, "abc", []},
            {:bytes, [1], []},
            {:bytes, <<1::3>>, []},
            {:list, [], [:k]},
            {:list, [], [k: {1, 2}]},
            {:list, [], [k: ["a"]]},
            {:list, [], [k: [1 | 2]]},
            {:list, [], [{:k, 1} | :k]},
            {:list, [], %{}}
          ] do
        assert_raise ArgumentError, fn -> Native.kernels_now(:sum, kind, data, args) end
        assert_raise ArgumentError, fn -> Native.kernels_new(:sum, kind, data, args) end
      end
    end

    test "of the order of calls is refused, and the job goes on" do
      {:ok, job} = new(:sort, :list, [2, 1])
      refused(job, ~w(step join take)a)
      {:ok, 2} = Native.kernels_split(job, 2)
      refused(job, ~w(feed split run join take)a)
      assert_raise ArgumentError, fn -> Native.kernels_step(job, 2) end
      assert_raise ArgumentError, fn -> Native.kernels_step(job, -1) end
      :done = Native.kernels_step(job, 0)
      :done = Native.kernels_step(job, 1)
      refused(job, ~w(run take)a)
      :ok = Native.kernels_join(job)
      refused(job, ~w(take)a)
      assert_raise ArgumentError, fn -> Native.kernels_take(job, :acc) end
      assert Native.kernels_run(job) == {:ok, [1, 2]}
      refused(job, ~w(feed split step run join take)a)
    end

    test "of what is no job is refused" do
      assert_raise ArgumentError, fn -> Native.kernels_step(make_ref(), 0) end
    end

    test "of a list that is complete is refused" do
      {:ok, job} = new(:sum, :list, [1])
      assert Native.kernels_feed(job, []) == :ok
      assert_raise ArgumentError, fn -> Native.kernels_feed(job, [2]) end
      assert_raise ArgumentError, fn -> Native.kernels_feed(job, :no_list) end
    end

    defp refused(job, calls) do
      for call <- calls do
        assert_raise ArgumentError, fn ->
          case call do
            :feed -> Native.kernels_feed(job, [])
            :split -> Native.kernels_split(job, 1)
            :step -> Native.kernels_step(job, 0)
            :run -> Native.kernels_run(job)
            :join -> Native.kernels_join(job)
            :take -> Native.kernels_take(job, [])
          end
        end
      end
    end
  end

  describe "memory" do
    test "of the input and the work is in the books until the job is closed" do
      before = freed()
      {:ok, job} = new(:sort, :list, random(50_000))
      assert held() - before >= 400_000
      {:ok, 2} = Native.kernels_split(job, 2)
      step(job, 1)
      assert held() - before >= 600_000
      assert Native.kernels_close(job)
      assert freed() == before
      assert_raise ArgumentError, fn -> Native.kernels_step(job, 0) end
      assert Native.kernels_close(job)
    end

    test "is free once the result is taken, though the handle is held" do
      before = freed()
      {:ok, job} = new(:top_k, :list, random(50_000), k: 10)
      {:ok, 1} = Native.kernels_split(job, 1)
      :ok = step(job, 0)
      assert held() - before >= 400_000
      assert {:ok, [_ | _]} = finish(job)
      assert freed() == before
      assert_raise ArgumentError, fn -> Native.kernels_take(job, []) end
    end

    test "is free once its owner is killed, whatever it was at" do
      before = freed()
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          {:ok, job} = new(:words, :many, for(n <- 1..20_000, do: "word #{n} #{n}"))
          {:ok, 3} = Native.kernels_split(job, 3)
          send(test, :split)
          step(job, 2)
          step(job, 1)
          Process.sleep(:infinity)
        end)

      assert_receive :split
      Process.exit(pid, :kill)
      assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
      assert Foundation.Eventually.eventually?(fn -> freed() == before end)
    end

    test "of many binaries is in the books as they are referred to" do
      before = freed()
      binaries = for n <- 1..10_000, do: "a short one, #{n}"
      {:ok, job} = new(:xxh3_64, :many, binaries)
      # A reference, or what is small, in an environment, and an address with a length.
      assert (held() - before) in (10_000 * 80)..(10_000 * 140)
      assert Native.kernels_close(job)
      assert freed() == before
    end
  end

  describe "memory of results" do
    test "of many binaries is in the books with what it takes to know where each is" do
      count = 50_000
      {:ok, job} = new(:compress_many, :many, List.duplicate("ab", count))
      before = held()
      {:ok, 2} = Native.kernels_split(job, 2)
      :ok = step(job, 0)
      :ok = step(job, 1)
      {:ok, [frame]} = Native.kernels_now(:compress_many, :many, ["ab"], [])
      # A frame, and where it is and what it is charged with.
      assert held() - before >= count * (byte_size(frame) + 40)
      assert Native.kernels_close(job)
    end

    test "of a histogram is in the books until it is taken" do
      before = freed()
      {:ok, job} = new(:histogram, :i64, <<>>, bins: 60_000, min: 0, max: 1)
      {:ok, 1} = Native.kernels_split(job, 1)
      :ok = step(job, 0)
      assert held() - before >= 480_000
      assert {:ok, %{counts: [0 | _]}} = finish(job)
      assert freed() == before
    end
  end

  defp pack(kind, numbers), do: for(number <- numbers, into: <<>>, do: packed(kind, number))

  defp packed(:f32, number), do: <<number::float-32-native>>
  defp packed(:f64, number), do: <<number::float-native>>
  defp packed(kind, n) when kind in [:i8, :u8], do: <<n>>
  defp packed(kind, n) when kind in [:i16, :u16], do: <<n::16-native>>
  defp packed(kind, n) when kind in [:i32, :u32], do: <<n::32-native>>
  defp packed(_, n), do: <<n::64-native>>
end
