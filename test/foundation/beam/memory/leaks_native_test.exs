defmodule Foundation.BEAM.Memory.LeaksNativeTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes

  alias Foundation.{Keeper, Native}

  setup do
    {handle, number} = Native.leaks_new()
    on_exit(fn -> Native.leaks_close(handle) end)
    %{handle: handle, number: number}
  end

  test "refuses lists that are none", %{handle: handle} do
    for list <- [
          :none,
          [1],
          [{1, 2}],
          [{1, 2, 3, 4}],
          [{}],
          [{1, 2, -3}],
          [{1, 2.0, 3}],
          [{1, 2, 3} | :tail],
          [{2 ** 64, 2, 3}],
          ["{1, 2, 3}"]
        ] do
      assert_raise ArgumentError, fn -> Native.leaks_list(handle, self(), list, 0, 0) end
      assert_raise ArgumentError, fn -> Native.leaks_list_dirty(handle, self(), list, 0, 0) end
      assert_raise ArgumentError, fn -> Native.leaks_again(handle, self(), list, :looked) end
    end

    for {search, pid} <- [{make_ref(), self()}, {handle, :pid}, {handle, hd(Port.list())}] do
      assert_raise ArgumentError, fn -> Native.leaks_list(search, pid, [], 0, 0) end
    end

    assert_raise ArgumentError, fn -> Native.leaks_again(handle, self(), [], :slept) end
    assert {:error, {:missing, text}} = Native.leaks_again(handle, self(), [], :looked)
    assert text =~ "nothing is listed"
  end

  test "takes figures of any size", %{handle: handle, number: number} do
    most = 2 ** 64 - 1
    list = [{most, most, most}, {0, most, 0}, {most, 1, 1}]
    assert Native.leaks_list(handle, self(), list, most, most) == 3
    assert {true, _walked, []} = Native.leaks_reach(number, {Keeper.bytes(100)}, 1_000)
    assert Native.leaks_looked(handle, self(), true)
    assert {_totals, [_]} = Native.leaks_report(handle, 0, 10)
    assert is_integer(Native.leaks_again(handle, self(), [], :collected))
  end

  test "hands long lists to the dirty function", %{handle: handle} do
    list = for n <- 1..10_000, do: {n * 1_000, 100, 1}
    assert Native.leaks_list(handle, self(), list, 0, 0) == :dirty
    assert Native.leaks_list_dirty(handle, self(), list, 0, 0) == 10_000
    assert {{10_000, 1_000_000, _, _, _, _}, [_]} = Native.leaks_report(handle, 1, 1)
  end

  test "knows no search that is over", %{handle: handle} do
    assert Native.leaks_reach(0, [], 100) == :gone
    assert Native.leaks_close(handle) == :ok
    assert Native.leaks_report(handle, 0, 10) == {{0, 0, 0, 0, 0, 0}, []}
    refute Native.leaks_looked(handle, self(), true)
  end
end
