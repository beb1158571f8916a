defmodule Foundation.OptionsTest do
  # The text of an error is part of the contract: users read it, and tests of theirs may too.
  use ExUnit.Case, async: true

  alias Foundation.Options

  # For each type: values it takes, values it refuses, and how it is called.
  @types [
    {:any, [nil, 1, "a", {1}], [], "any term"},
    {:atom, [:a, true], ["a", 1], "an atom"},
    {:boolean, [true, false], [:a, 1], "a boolean"},
    {:pos_integer, [1, 10_000_000_000_000_000_000_000], [0, -1, 1.0, :a], "a positive integer"},
    {:non_neg_integer, [0, 1], [-1, 0.0, "0"], "a non-negative integer"},
    {:timeout, [0, 1, 4_294_967_295, :infinity], [-1, 4_294_967_296, 1.5, :infinite],
     "milliseconds (0 to 4294967295) or `:infinity`"},
    {:keyword, [[], [a: 1]], [[:a], %{}, [{"a", 1}], [{:a, 1} | :b]], "a keyword list"},
    {{:integer, 1, 5}, [1, 5], [0, 6, 1.0, nil], "an integer from 1 to 5"},
    {{:float, 0, 1}, [0, 0.5, 1.0, 1], [-0.1, 1.1, :a], "a number from 0 to 1"},
    {{:in, [:a, "b", 3]}, [:a, "b", 3], [:b, "a", 4], "one of `:a`, `\"b\"`, `3`"},
    {{:list, :atom}, [[], [:a, nil]], [:a, ["a"], [:a | :b], [:a, 1]], "a list, each an atom"},
    {{:list, {:in, [1, 2]}}, [[1, 2, 1]], [[3]], "a list, each one of `1`, `2`"},
    {{:or, [:pid, :atom]}, [:a], ["a", 1], "a pid or an atom"},
    {{:or, [{:in, [:all]}, :pos_integer]}, [:all, 1], [:some, 0], "`:all` or a positive integer"}
  ]

  for {type, good, bad, expected} <- @types do
    @type_given type
    @good good
    @bad bad
    @expected expected

    test "type #{inspect(type)} takes what it says and names itself when it refuses" do
      schema = Options.schema!(x: [type: @type_given, doc: "x"])
      for value <- @good, do: assert(Options.validate!([x: value], schema, "f/1") == %{x: value})

      for value <- @bad do
        message = "invalid option :x in f/1: expected #{@expected}, got: #{inspect(value)}"

        assert_raise ArgumentError, message, fn ->
          Options.validate!([x: value], schema, "f/1")
        end
      end

      assert Options.docs(schema) == "  * `:x` (#{@expected}) - x"
    end
  end

  test "pids, functions and checks of one's own" do
    even = {:custom, "an even integer", &(is_integer(&1) and rem(&1, 2) == 0)}

    schema =
      Options.schema!(
        to: [type: :pid, doc: "to"],
        fun: [type: {:fun, 2}, doc: "fun"],
        even: [type: even, doc: "even"]
      )

    options = [to: self(), fun: &+/2, even: 4]
    assert Options.validate!(options, schema, "f/1") == Map.new(options)

    for {option, value, expected} <- [
          {:to, :name, "a pid, got: :name"},
          {:fun, &String.length/1, "a function of arity 2, got: &String.length/1"},
          {:even, 3, "an even integer, got: 3"}
        ] do
      assert_raise ArgumentError,
                   "invalid option #{inspect(option)} in f/1: expected #{expected}",
                   fn ->
                     Options.validate!([{option, value}], schema, "f/1")
                   end
    end
  end

  @schema Options.schema!(
            limit: [type: :pos_integer, default: 10, doc: "A limit."],
            mode: [type: {:in, [:a, :b]}, doc: "A mode."],
            strict: [type: :boolean, default: false, doc: "Whether."]
          )

  test "every option is in the result: given, by default, or nil" do
    assert Options.validate!([], @schema, "f/1") == %{limit: 10, mode: nil, strict: false}

    assert Options.validate!([mode: :b, strict: true], @schema, "f/1") ==
             %{limit: 10, mode: :b, strict: true}
  end

  test "of an option given twice each value is checked, and the first one counts" do
    assert %{limit: 1} = Options.validate!([limit: 1, limit: 2], @schema, "f/1")

    assert_raise ArgumentError,
                 "invalid option :limit in f/1: expected a positive integer, got: 0",
                 fn -> Options.validate!([limit: 2, limit: 0], @schema, "f/1") end
  end

  test "an unknown option is refused with those that there are, in the schema's order" do
    assert_raise ArgumentError,
                 "unknown option :limits in f/1; known: :limit, :mode, :strict",
                 fn -> Options.validate!([limits: 1], @schema, "f/1") end
  end

  test "what is no keyword list is refused" do
    for {given, shown} <- [
          {:limit, ":limit"},
          {%{limit: 1}, "%{limit: 1}"},
          {nil, "nil"},
          {[:limit], "[:limit]"},
          {[{"limit", 1}], ~s([{"limit", 1}])},
          {[{:limit, 1, 2}], "[{:limit, 1, 2}]"},
          {[{:limit, 1} | :mode], "[{:limit, 1} | :mode]"}
        ] do
      message = "expected a keyword list of options in f/1, got: #{shown}"
      assert_raise ArgumentError, message, fn -> Options.validate!(given, @schema, "f/1") end
    end
  end

  test "a required option is asked for" do
    schema = Options.schema!(ttl: [type: :timeout, required: true, doc: "ttl"])
    assert Options.validate!([ttl: 5], schema, "f/1") == %{ttl: 5}

    message =
      "option :ttl is required in f/1: expected milliseconds (0 to 4294967295) or `:infinity`"

    assert_raise ArgumentError, message, fn -> Options.validate!([], schema, "f/1") end
  end

  test "a required option may be false" do
    schema = Options.schema!(on: [type: :boolean, required: true, doc: "on"])
    assert Options.validate!([on: false], schema, "f/1") == %{on: false}
  end

  test "long integers are named, not written out" do
    long = 2 ** 1_000_000

    for {value, text} <- [
          {long, "an integer of 1000064 bits"},
          {-long, "an integer of 1000064 bits"},
          {[1, {:a, %{b: long}}], "a list that holds long integers"},
          {{long, 1}, "a tuple that holds long integers"},
          {%{long => 1}, "a map that holds long integers"},
          {2 ** 64 - 1, "18446744073709551615"}
        ] do
      assert Options.given(value) == text
    end
  end

  test "what is deeply nested is named so, whatever it holds" do
    deep = fn value, levels -> Enum.reduce(1..levels, value, fn _, inner -> [inner] end) end

    for {value, text} <- [
          {{RuntimeError, deep.(:a, 5)}, "a tuple that is deeply nested"},
          {deep.(1, 100_000), "a list that is deeply nested"},
          {%{a: deep.(2 ** 1_000, 9)}, "a map that is deeply nested"},
          {%RuntimeError{message: deep.(:a, 9)}, "a %RuntimeError{} that is deeply nested"},
          {deep.(:a, 4), "[[[[:a]]]]"}
        ] do
      assert Options.given(value) == text
    end
  end

  test "large values are shown in part" do
    value = Enum.to_list(1..1_000_000)

    error = assert_raise ArgumentError, fn -> Options.validate!([mode: value], @schema, "f/1") end

    assert error.message ==
             "invalid option :mode in f/1: expected one of `:a`, `:b`, got: [1, 2, 3, 4, 5, ...]"

    text = String.duplicate("x", 1_000_000)
    error = assert_raise ArgumentError, fn -> Options.validate!(text, @schema, "f/1") end
    assert byte_size(error.message) < 200
  end

  test "an argument that is no option is refused in the same words" do
    assert_raise ArgumentError, "expected a pid in f/1, got: [1, 2, 3, 4, 5, ...]", fn ->
      Options.refuse!("a pid", "f/1", Enum.to_list(1..1_000_000))
    end
  end

  test "docs list every option in order, with its type and default" do
    assert Options.docs(@schema) == """
             * `:limit` (a positive integer) - A limit. Default: `10`.
             * `:mode` (one of `:a`, `:b`) - A mode.
             * `:strict` (a boolean) - Whether. Default: `false`.\
           """
  end

  test "a schema without a type or a text for an option is refused" do
    assert_raise ArgumentError, "option :x of the schema lacks :doc", fn ->
      Options.schema!(x: [type: :any])
    end

    assert_raise ArgumentError, "option :x of the schema lacks :type", fn ->
      Options.schema!(x: [doc: "x"])
    end
  end
end
