defmodule Foundation.ReasonTest do
  use ExUnit.Case, async: true

  alias Foundation.Reason

  defmodule Own do
    defexception [:left, :right]
    @impl true
    def message(_own), do: raise("never asked for")
  end

  defp crash(fun) do
    fun.()
  catch
    :error, reason -> {reason, __STACKTRACE__}
  end

  test "an exception is its text, with the place" do
    text = Reason.text(crash(fn -> raise "no database" end))
    assert text =~ "an exception was raised: ** (RuntimeError) no database ("
    assert text =~ "Foundation.ReasonTest"
    assert text =~ ", line "
    assert Reason.text(%RuntimeError{message: "no"}) == "** (RuntimeError) no"
  end

  test "one without a text is its fields: none of its code runs" do
    assert Reason.text(%Own{left: 1}) == "** (Foundation.ReasonTest.Own) %{left: 1}"
    assert Reason.text(%Own{}) == "** (Foundation.ReasonTest.Own)"
  end

  test "errors of the VM have their names" do
    entry = fn arity -> [{Some, :call, arity, [file: ~c"some.ex", line: 3]}] end

    for {reason, text} <- [
          {{:badarith, entry.(1)},
           "an exception was raised: ** (ArithmeticError) bad argument in arithmetic expression (Some.call/1, line 3)"},
          {{:function_clause, entry.([1, 2])},
           "an exception was raised: ** (FunctionClauseError) no function clause matching in Some.call/2 (Some.call/2, line 3)"},
          {{{:badmatch, {:error, :enoent}}, entry.(1)},
           "an error was raised: {:badmatch, {:error, :enoent}} (Some.call/1, line 3)"},
          {{:own, entry.(1)}, "an error was raised: :own (Some.call/1, line 3)"},
          {{:own, [{Some, :call, 1, []}]}, "an error was raised: :own (Some.call/1)"}
        ] do
      assert Reason.text(reason) == text
    end
  end

  test "what supervisors put around a reason is taken off" do
    reason = {%RuntimeError{message: "no"}, [{Some, :call, 1, []}]}
    text = "an exception was raised: ** (RuntimeError) no (Some.call/1)"
    assert Reason.text({:EXIT, reason}) == text

    assert Reason.text({:shutdown, {:failed_to_start_child, :db, {:EXIT, reason}}}) ==
             "its child :db did not start: " <> text
  end

  test "what is no crash is shown" do
    for {reason, text} <- [
          {:no, ":no"},
          {{:shutdown, :bye}, "{:shutdown, :bye}"},
          {{:timeout, {GenServer, :call, [:name, :x, 5_000]}},
           "{:timeout, {GenServer, :call, [:name, :x, 5000]}}"},
          {{:too_large, "its text"}, "its text"},
          # What looks like a stacktrace and is none.
          {{:a, [{:b, :c, 1, :d}]}, "an error was raised: :a (:b.c/1)"},
          {{:a, [{:b, :c, -1, []}]}, "{:a, [{:b, :c, -1, []}]}"},
          {{:undef, [{:b, :c, 256, []}]}, "{:undef, [{:b, :c, 256, []}]}"},
          {{:a, [{:b, :c, [1 | 2], []}]}, "{:a, [{:b, :c, [1 | 2], []}]}"},
          {{:a, [{:b, :c, 1, [1 | 2]} | 3]}, "an error was raised: :a (:b.c/1)"}
        ] do
      assert Reason.text(reason) == text
    end
  end

  test "no reason takes long to be written, or is long" do
    # 2 to the power of 200 elements, for whoever walks it.
    shared = Enum.reduce(1..200, [:end], fn _, inner -> [inner | inner] end)
    long = 2 ** 1_000_000
    place = [{Some, :call, 1, [file: ~c"some.ex", line: long]}]
    list = Enum.to_list(1..100_000)

    for term <- [shared, long, list, {shared, long}, %{shared => list}, List.to_tuple(list)],
        reason <- [
          term,
          {term, place},
          {%RuntimeError{message: term}, place},
          {%KeyError{key: term, term: term}, place},
          {:function_clause, [{Some, :call, [term, term], place}]},
          {:shutdown, {:failed_to_start_child, term, term}},
          {:EXIT, {:EXIT, {:EXIT, {:EXIT, {:EXIT, term}}}}}
        ] do
      assert String.length(Reason.text(reason)) <= 500
    end

    assert String.length(Reason.text(%RuntimeError{message: String.duplicate("x", 100_000)})) <=
             500
  end
end
