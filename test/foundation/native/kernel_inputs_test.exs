defmodule Foundation.Native.KernelInputsTest do
  # The books are those of the whole VM.
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  import Foundation.KernelJobs

  alias Foundation.Native

  # The least and the greatest that fit into a word, and into 64 bits, with their neighbours.
  @small 2 ** 59
  @large 2 ** 63
  @edges [-@large, -@large + 1, -@small - 1, -@small, -@small + 1, -1, 0] ++
           [1, @small - 2, @small - 1, @small, @large - 2, @large - 1]

  defp both(name, kind, data, args \\ []) do
    now = Native.kernels_now(name, kind, data, args)
    assert run(name, kind, data, args) == now
    now
  end

  # Elements of the first slice that was not the last, for lists of any kind.
  defp first_slice(job, list) do
    {:more, rest} = Native.kernels_feed(job, list)
    length(list) - length(rest)
  end

  describe "a list of numbers" do
    test "comes back as it went in" do
      assert both(:sort, :list, Enum.shuffle(@edges)) == {:ok, @edges}
      assert both(:sort, :list, []) == {:ok, []}
      assert both(:sum, :list, []) == {:ok, 0}
      floats = [-1.7976931348623157e308, -1.5, -5.0e-324, 0.0, 5.0e-324, 1.0, 1.0e300]
      assert both(:sort, :list, Enum.shuffle(floats)) == {:ok, floats}
      assert both(:top_k, :list, [1, 3, 2], k: 2) == {:ok, [3, 2]}
    end

    test "adds up to what does not fit in 64 bits" do
      assert both(:sum, :list, [@large - 1, @large - 1]) == {:ok, 2 * (@large - 1)}
      assert both(:sum, :list, [-@large, -@large]) == {:ok, -2 * @large}
    end

    test "adds up to floats that no term can be" do
      assert both(:sum, :list, [1.0e308, 1.0e308]) == {:ok, :infinity}
      assert both(:sum, :list, [-1.0e308, -1.0e308]) == {:ok, :negative_infinity}
      nan = <<0::48, 0xF8, 0x7F>>
      assert both(:sum, :f64, nan) == {:ok, :nan}
      assert both(:quantiles, :f64, nan, q: [0.5, 1.0]) == {:ok, [:nan, :nan]}
    end

    test "has nothing in it but numbers of one type that fit" do
      for {list, index, reason} <- [
            {[1, 2, 3.0], 2, :mixed_numbers},
            {[1.0, 2], 1, :mixed_numbers},
            {[1.0, 2 ** 100], 1, :mixed_numbers},
            {[1, @large], 1, :integer_too_large},
            {[-@large - 1], 0, :integer_too_large},
            {[1, 2, 2 ** 700], 2, :integer_too_large},
            {[:a], 0, :invalid_element},
            {[1, []], 1, :invalid_element},
            {[1.0, "2"], 1, :invalid_element},
            {[1.0, make_ref()], 1, :invalid_element},
            {[1, {2}], 1, :invalid_element}
          ] do
        assert {:error, {^reason, message, %{index: ^index}}} = both(:sum, :list, list)
        assert message =~ "element #{index}"
      end
    end

    test "says where it goes wrong behind the first slice" do
      list = Enum.to_list(1..600_000)

      for {end_of_list, reason, context} <- [
            {[1.0], :mixed_numbers, %{index: 600_000}},
            {[@large], :integer_too_large, %{index: 600_000}},
            {[nil], :invalid_element, %{index: 600_000}},
            {:tail, :improper_list, %{}}
          ] do
        assert {:error, {^reason, message, ^context}} = run(:sum, :list, list ++ end_of_list)
        assert message =~ "600000"
      end
    end

    test "is read in slices, of which none is long" do
      list = Enum.to_list(1..3_000_000)
      {:ok, job} = Native.kernels_new(:sort, :list, [], order: :desc)
      assert first_slice(job, list) in 1..2_999_999
      assert Native.kernels_close(job)
      assert run(:sort, :list, list, [order: :desc], 2) == {:ok, Enum.reverse(list)}
    end

    test "that is improper is refused" do
      assert {:error, {:improper_list, _, %{}}} = both(:sum, :list, [1 | 2])
      assert {:error, {:improper_list, _, %{}}} = both(:xxh3_64, :many, ["a" | "b"])
    end
  end

  describe "a small input" do
    test "is worked on at once, with the result of a job" do
      both(:mean, :list, [1, 2, 4])
      both(:variance, :i8, <<1, 2, 3>>, sample: true)
      both(:min, :u64, <<-1::64-native>>)
      both(:histogram, :f32, <<1.0::float-32-native>>, edges: [0, 1.5])
      both(:xxh3_64, :bytes, "Foundation", seed: 2 ** 64 - 1)
      both(:xxh3_128, :many, ["", "a", String.duplicate("b", 5000)])
      both(:count, :many, ["abab", "ab"], pattern: "ab")
      both(:compress_many, :many, ["", String.duplicate("b", 5000)])
      both(:words, :bytes, "the dog and the Cat", lowercase: true)
      assert both(:words, :many, []) == {:ok, %{}}
    end

    test "is neither a long list nor one whose end is looked for" do
      long = Enum.to_list(1..200_000)
      assert Native.kernels_now(:sum, :list, long, []) == :large
      assert Native.kernels_now(:sum, :list, long ++ :improper, []) == :large
      assert {:ok, _} = Native.kernels_now(:sum, :list, Enum.take(long, 10_000), [])
      assert Native.kernels_now(:sort, :list, Enum.take(long, 10_000), []) == :large
      many = for _ <- 1..100_000, do: ""
      assert Native.kernels_now(:xxh3_64, :many, many ++ :improper, []) == :large
    end

    test "is no large binary, be there one or many" do
      large = :binary.copy("x", 100_000_000)
      assert Native.kernels_now(:xxh3_64, :bytes, large, []) == :large
      assert Native.kernels_now(:xxh3_64, :many, [large], []) == :large
      assert Native.kernels_now(:sum, :u8, large, []) == :large
      assert Native.kernels_now(:words, :bytes, binary_part(large, 0, 10_000), []) == :large
    end

    test "is not worked on at once where much of it is kept in order" do
      numbers = Enum.to_list(1..3_500)
      assert {:ok, [3_500 | _]} = Native.kernels_now(:top_k, :list, numbers, k: 100)
      assert Native.kernels_now(:top_k, :list, numbers, k: 3_500) == :large

      assert both(:top_k, :list, Enum.take(numbers, 100), k: 4_000) ==
               {:ok, Enum.to_list(100..1//-1)}
    end

    test "makes no large result" do
      args = [bins: 60_000, min: 0, max: 1]
      assert Native.kernels_now(:histogram, :list, [1], args) == :large
    end
  end

  describe "a binary" do
    test "that does not begin on a byte is read as what it holds" do
      for size <- [10, 1_000, 200_000] do
        plain = :rand.bytes(size)
        <<_::3, inside::binary-size(size), _::5>> = <<5::3, plain::binary, 0::5>>
        expected = run(:xxh3_64, :bytes, plain)
        assert run(:xxh3_64, :bytes, inside) == expected
        {:ok, hash} = expected
        assert run(:xxh3_64, :many, [inside]) == {:ok, [hash]}
        assert {:ok, {:u8, sorted}} = run(:sort, :u8, inside)
        assert sorted == plain |> :binary.bin_to_list() |> Enum.sort() |> :binary.list_to_bin()
      end
    end

    test "that does not begin on a byte, and is large, is not copied to see how large" do
      plain = :binary.copy("x", 4_000_000)
      <<_::3, inside::binary-size(4_000_000), _::5>> = <<5::3, plain::binary, 0::5>>
      assert Native.kernels_now(:xxh3_64, :bytes, inside, []) == :large
      assert {:error, {:unaligned, _, _}} = run(:sum, :f64, binary_part(inside, 0, 3_999_999))
    end

    test "that its owner appends to stays as it was" do
      text = Enum.reduce(1..2_000, "", fn n, text -> text <> "word#{n} " end)
      {:ok, job} = new(:words, :bytes, text)
      longer = text <> String.duplicate("more ", 10_000)
      {:ok, 1} = Native.kernels_split(job, 1)
      :ok = step(job, 0)
      assert {:ok, words} = finish(job)
      assert words == Map.new(1..2_000, &{"word#{&1}", 1})
      assert longer =~ "more"
    end

    test "that only the job refers to stays until it is done" do
      {:ok, job} = new(:xxh3_64, :many, for(n <- 1..10_000, do: String.duplicate("#{n} ", 50)))
      :erlang.garbage_collect()
      {:ok, 1} = Native.kernels_split(job, 1)
      :ok = step(job, 0)
      {:ok, hashes} = finish(job)
      last = run(:xxh3_64, :bytes, String.duplicate("10000 ", 50))
      assert {:ok, List.last(hashes)} == last
    end
  end

  describe "a list of binaries" do
    test "has nothing else in it" do
      for {list, index} <- [{["a", :b], 1}, {[1], 0}, {["a", "b", <<1::3>>], 2}, {[["a"]], 0}] do
        assert {:error, {:invalid_element, message, %{index: ^index}}} =
                 both(:xxh3_64, :many, list)

        assert message == "element #{index} is not a binary"
      end
    end

    test "is read in slices" do
      many = for n <- 1..200_000, do: "binary #{n}"
      {:ok, job} = Native.kernels_new(:xxh3_64, :many, [], [])
      assert first_slice(job, many) in 1..199_999
      assert Native.kernels_close(job)

      assert {:error, {:invalid_element, _, %{index: 200_000}}} =
               run(:xxh3_64, :many, many ++ [nil])

      assert {:ok, hashes} = run(:xxh3_64, :many, many, [], 2)
      {:ok, [first, second]} = Native.kernels_now(:xxh3_64, :many, Enum.take(many, 2), [])
      assert [^first, ^second | _] = hashes
      assert length(hashes) == 200_000
    end
  end
end
