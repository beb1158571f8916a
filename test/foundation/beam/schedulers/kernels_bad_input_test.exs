defmodule Foundation.BEAM.Schedulers.KernelsBadInputTest do
  # Whatever is wrong is an error that says so, and nothing stays behind: no native bytes, no message,
  # no monitor.
  use ExUnit.Case
  use Foundation.NativeBytes

  import Foundation.KernelFaults

  alias Foundation.BEAM.Schedulers
  alias Foundation.Error

  setup do
    {:ok, monitors: monitors()}
  end

  describe "kernels" do
    test "that do not exist, with those that do", %{monitors: monitors} do
      for name <- [:summ, :"", nil, Foundation, :cpu_intensive] do
        message = raised(fn -> Schedulers.cpu_intensive([1], {:native, name}) end)
        assert message =~ inspect(name)
        for known <- kernels(), do: assert(message =~ inspect(known))
      end

      nothing_left(monitors)
    end

    test "that are none" do
      for name <- ["sum", ~c"sum", 1, &Enum.sum/1, {:sum, 1}, [:sum], %{}, self()],
          way <- [:native, :auto],
          do: raised(fn -> Schedulers.cpu_intensive([1], {way, name}) end)

      for work <- [
            :sum,
            {:native},
            {:native, :sum, []},
            {:rust, :sum},
            {:sum, :native},
            [:native, :sum],
            nil
          ],
          do: raised(fn -> Schedulers.cpu_intensive([1], work) end)
    end
  end

  describe "numbers" do
    test "in no form that there is" do
      wrong =
        [%{}, :a, nil, 1, 1.0, "12345678", 1..3, MapSet.new(), fn -> 1 end, make_ref(), {1, 2}] ++
          [{:f16, <<0::16>>}, {:f64, [1.0]}, {:f64, <<0::65>>}, {:f64, nil}, {"f64", <<0::64>>}] ++
          [
            {:list, [1]},
            {:bytes, ""},
            {:many, [""]},
            {:f64, <<0::64>>, 1},
            {},
            {:f64, ["", <<0::64>>]}
          ]

      for kernel <- numbers(), data <- wrong, do: refused_data(data, kernel)
      assert refused_data({:f16, <<0::16>>}, :sum) =~ ":f64"
    end

    test "in improper lists", %{monitors: monitors} do
      for kernel <- numbers(),
          data <- [[1 | 2], [1.0 | :end], long() ++ 1, long() ++ :end, [1 | <<1>>]],
          do: refused_data(data, kernel)

      nothing_left(monitors)
    end

    test "of both kinds in a list", %{monitors: monitors} do
      for kernel <- numbers(), data <- [[1, 2.0], [1.0, 2], long() ++ [1.0], [1.0 | long()]] do
        error = error(data, kernel)
        assert error.error_type == :mixed_numbers
      end

      nothing_left(monitors)
    end

    test "beyond 64 bits" do
      for kernel <- numbers(),
          int <- [2 ** 63, -(2 ** 63) - 1, 2 ** 64, 2 ** 100_000, -(2 ** 64)] do
        assert type([int], kernel) == :integer_too_large
        assert type([1, int, 2], kernel) == :integer_too_large
      end

      assert type(long() ++ [2 ** 63], :sort) == :integer_too_large
      assert run([2 ** 63 - 1, -(2 ** 63)], :sort) == [-(2 ** 63), 2 ** 63 - 1]
    end

    test "among other things", %{monitors: monitors} do
      for kernel <- numbers(),
          item <- [:a, nil, "1", ~c"1", {1}, %{}, <<1::3>>, self(), make_ref(), &is_list/1, []] do
        assert %Error{error_type: :invalid_element, context: %{index: 0}} = error([item], kernel)
        assert %{context: %{index: 2}} = error([1, 2, item, :b], kernel)
        assert %{context: %{index: 1}} = error([1.0, item], kernel)
      end

      for kernel <- numbers() do
        error = error(long() ++ [:a], kernel)
        assert {error.error_type, error.context.index} == {:invalid_element, 200_000}
        assert type(long() ++ [:a], kernel, parallel: true) == :invalid_element
      end

      nothing_left(monitors)
    end

    test "that do not fill their bytes" do
      for kernel <- numbers(), {kind, bytes} <- [i16: 1, u32: 7, i64: 100_001, f64: 7, f32: 9] do
        error = error({kind, :binary.copy(<<0>>, bytes)}, kernel)
        assert error.error_type == :unaligned
        assert error.message =~ "#{bytes}"
      end
    end

    test "of which there are too few" do
      for kernel <- numbers() -- [:sum, :histogram, :sort, :top_k],
          data <- [[], {:u8, ""}, {:f64, ""}],
          do: assert(type(data, kernel) == :empty)

      assert type([1], :variance, sample: true) == :empty
      assert run([], :sum) == 0
      assert run([], :sort) == []
      assert run({:f64, ""}, :sum) == 0.0
      assert run({:i16, ""}, :top_k) == {:i16, ""}
      assert run([], :histogram) == %{counts: [0, 0], below: 0, above: 0, nan: 0}
    end
  end

  test "a kernel in Elixir refuses what the native one refuses" do
    for kernel <- [:sum, :mean, :min, :max] do
      auto = fn data -> Schedulers.cpu_intensive(data, {:auto, kernel}) end

      for {data, type} <- [
            {[1, 2.0], :mixed_numbers},
            {long() ++ [1.0], :mixed_numbers},
            {[1, :a], :invalid_element},
            {long() ++ [:a], :invalid_element}
          ],
          do: assert({:error, %Error{error_type: ^type}} = auto.(data))

      for data <- [[1 | 2], long() ++ :end, %{}, {:f16, ""}, 1..3],
          do: raised(fn -> auto.(data) end)

      # Where it has an answer, it is a number; where not, an error.
      for data <- [[10 ** 400], [10 ** 400, -(10 ** 400)], long() ++ [10 ** 400]] do
        case auto.(data) do
          {:error, error} -> assert error.error_type == :integer_too_large
          number -> assert is_number(number)
        end
      end
    end
  end

  describe "bytes" do
    test "that are none", %{monitors: monitors} do
      wrong = [
        %{},
        :a,
        nil,
        1,
        <<1::3>>,
        <<"text", 0::1>>,
        {:u8, "a"},
        {:bytes, "a"},
        1..3,
        {"a"}
      ]

      for kernel <- bytes() ++ [:compress_many], data <- wrong, do: refused_data(data, kernel)
      for data <- ["", "text"], do: refused_data(data, :compress_many)

      for kernel <- bytes() ++ [:compress_many],
          data <- [["a" | "b"], List.duplicate("a", 100_000) ++ "b", ["a" | :b]],
          do: refused_data(data, kernel)

      nothing_left(monitors)
    end

    test "among other things", %{monitors: monitors} do
      long = List.duplicate("some text", 100_000)

      for kernel <- bytes() ++ [:compress_many] do
        for item <- [:a, 1, ?a, ~c"iolist", ["a"], [], <<1::3>>, nil, {"a"}, 1.0] do
          assert %Error{error_type: :invalid_element, context: %{index: 0}} =
                   error([item], kernel)

          assert %{context: %{index: 1}} = error(["a", item, :b], kernel)
        end

        for parallel <- [true, false] do
          error = error(long ++ [<<1::1>>], kernel, parallel: parallel)
          assert {error.error_type, error.context.index} == {:invalid_element, 100_000}
        end
      end

      nothing_left(monitors)
    end

    test "of which there are none" do
      assert run("", :count) == 0
      assert run([], :count) == 0
      assert run("", :words) == %{}
      assert run(["", " "], :words) == %{}
      assert run([], :xxh3_64) == []
      assert run([], :compress_many) == []
    end
  end
end
