defmodule Foundation.Options do
  @moduledoc false

  # Options are data: a schema checks them once, at the public edge, and writes their documentation.
  #
  #     @schema Options.schema!(
  #       ttl: [type: :timeout, default: 60_000, doc: "Milliseconds that the term is kept."]
  #     )
  #     @doc "... #{Options.docs(@schema)}"
  #     def new(term, opts \\ []), do: Options.validate!(opts, @schema, "SharedTerm.new/2")
  #
  # `validate!/3` gives a map with every option of the schema in it. An option without a default is
  # `nil` there unless given; `required: true` refuses its absence.

  @type type ::
          :any
          | :atom
          | :boolean
          | :pid
          | :pos_integer
          | :non_neg_integer
          | :timeout
          | :keyword
          | {:integer, integer(), integer()}
          | {:float, number(), number()}
          | {:in, [term()]}
          | {:fun, arity()}
          | {:list, type()}
          | {:or, [type()]}
          | {:custom, String.t(), (term() -> boolean())}

  @type schema :: %{
          specs: %{atom() => keyword()},
          order: [atom()],
          defaults: map(),
          required: [atom()]
        }

  @doc "Checks the schema itself, at compile time, and prepares it."
  @spec schema!(keyword()) :: schema()
  def schema!(specs) do
    for {name, spec} <- specs, key <- [:type, :doc], not Keyword.has_key?(spec, key) do
      raise ArgumentError, "option #{inspect(name)} of the schema lacks #{inspect(key)}"
    end

    %{
      specs: Map.new(specs),
      order: Keyword.keys(specs),
      defaults: Map.new(specs, fn {name, spec} -> {name, spec[:default]} end),
      required: for({name, spec} <- specs, spec[:required], do: name)
    }
  end

  @doc "The options as a map, defaults filled in; raises `ArgumentError` that names the option."
  @spec validate!(keyword(), schema(), String.t()) :: map()
  def validate!([], %{required: [], defaults: defaults}, _where), do: defaults

  def validate!(opts, schema, where) when is_list(opts) do
    values = fill(opts, schema.defaults, schema, where, opts)
    for name <- schema.required, is_nil(values[name]), do: absent!(name, schema, where)
    values
  end

  def validate!(opts, _schema, where), do: no_keyword!(opts, where)

  @doc "The documentation of every option, as a Markdown list."
  @spec docs(schema()) :: String.t()
  def docs(%{specs: specs, order: order}) do
    Enum.map_join(order, "\n", fn name ->
      spec = specs[name]
      "  * `#{inspect(name)}` (#{expected(spec[:type])}) - #{spec[:doc]}#{default(spec)}"
    end)
  end

  defp fill([{name, value} | rest], acc, schema, where, all) when is_atom(name) do
    case schema.specs do
      %{^name => spec} ->
        valid?(spec[:type], value) || invalid!(name, spec, value, where)
        # Of an option given twice the first counts, as for `Keyword.get/2`: the rest goes first.
        rest |> fill(acc, schema, where, all) |> Map.put(name, value)

      _ ->
        known = Enum.map_join(schema.order, ", ", &inspect/1)
        raise ArgumentError, "unknown option #{inspect(name)} in #{where}; known: #{known}"
    end
  end

  defp fill([], acc, _schema, _where, _all), do: acc
  defp fill(_improper, _acc, _schema, where, all), do: no_keyword!(all, where)

  defp absent!(name, schema, where) do
    raise ArgumentError,
          "option #{inspect(name)} is required in #{where}: " <>
            "expected #{expected(schema.specs[name][:type])}"
  end

  defp invalid!(name, spec, value, where) do
    raise ArgumentError,
          "invalid option #{inspect(name)} in #{where}: " <>
            "expected #{expected(spec[:type])}, got: #{given(value)}"
  end

  defp no_keyword!(opts, where) do
    raise ArgumentError, "expected a keyword list of options in #{where}, got: #{given(opts)}"
  end

  @doc "Refuses an argument that is no option, in the same words."
  @spec refuse!(String.t(), String.t(), term()) :: no_return()
  def refuse!(expected, where, given) do
    raise ArgumentError, "expected #{expected} in #{where}, got: #{given(given)}"
  end

  # The value may be of any size: what is shown of it is not. `inspect/2` writes integers whole, in a
  # time that grows with the square of their length, so what holds a long one is only named.
  @doc false
  @spec given(term()) :: String.t()
  def given(value) do
    if is_integer(value) and not short?(value),
      do: "an integer of #{bits(value)} bits",
      else: named(value, hidden(value, 5))
  end

  defp named(value, nil), do: inspect(value, limit: 5, printable_limit: 60)
  defp named(value, :long), do: "#{kind(value)} that holds long integers"
  defp named(value, :deep), do: "#{kind(value)} that is deeply nested"

  # Why it is only named, as deep and as wide as would be shown: `:long`, `:deep`, or `nil`.
  defp hidden(value, _depth) when is_integer(value), do: if(short?(value), do: nil, else: :long)
  defp hidden(_value, 0), do: :deep
  defp hidden([head | tail], depth), do: hidden(head, depth - 1) || hidden_tail(tail, depth, 6)
  defp hidden(%_{} = struct, depth), do: struct |> Map.from_struct() |> hidden(depth)

  defp hidden(map, depth) when is_map(map) do
    map
    |> Enum.take(6)
    |> Enum.find_value(fn {k, v} -> hidden(k, depth - 1) || hidden(v, depth - 1) end)
  end

  defp hidden(tuple, depth) when is_tuple(tuple) and tuple_size(tuple) > 0 do
    Enum.find_value(0..min(tuple_size(tuple) - 1, 5), &hidden(elem(tuple, &1), depth - 1))
  end

  defp hidden(_leaf, _depth), do: nil

  defp hidden_tail([head | tail], depth, left) when left > 0,
    do: hidden(head, depth - 1) || hidden_tail(tail, depth, left - 1)

  defp hidden_tail(tail, depth, _left),
    do: if(is_list(tail), do: nil, else: hidden(tail, depth - 1))

  defp short?(integer),
    do: integer > -0x1_0000_0000_0000_0000 and integer < 0x1_0000_0000_0000_0000

  defp bits(integer), do: (:erts_debug.flat_size(integer) - 1) * 64

  defp kind(value) when is_list(value), do: "a list"
  defp kind(value) when is_tuple(value), do: "a tuple"
  defp kind(%module{}), do: "a %#{inspect(module)}{}"
  defp kind(_value), do: "a map"

  defp default(spec) do
    case Keyword.fetch(spec, :default) do
      {:ok, value} when not is_nil(value) -> " Default: `#{inspect(value)}`."
      _ -> ""
    end
  end

  defp valid?(:any, _), do: true
  defp valid?(:atom, value), do: is_atom(value)
  defp valid?(:boolean, value), do: is_boolean(value)
  defp valid?(:pid, value), do: is_pid(value)
  defp valid?(:pos_integer, value), do: is_integer(value) and value > 0
  defp valid?(:non_neg_integer, value), do: is_integer(value) and value >= 0
  # The longest that the VM's own timers take.
  defp valid?(:timeout, :infinity), do: true
  defp valid?(:timeout, value), do: is_integer(value) and value >= 0 and value <= 0xFFFFFFFF
  defp valid?(:keyword, value), do: Keyword.keyword?(value)

  defp valid?({:integer, min, max}, value),
    do: is_integer(value) and value >= min and value <= max

  defp valid?({:float, min, max}, value), do: is_number(value) and value >= min and value <= max
  defp valid?({:in, values}, value), do: value in values
  defp valid?({:fun, arity}, value), do: is_function(value, arity)
  defp valid?({:or, types}, value), do: Enum.any?(types, &valid?(&1, value))
  defp valid?({:custom, _text, check}, value), do: check.(value)

  defp valid?({:list, type}, value) do
    is_list(value) and List.improper?(value) == false and Enum.all?(value, &valid?(type, &1))
  end

  defp expected(:any), do: "any term"
  defp expected(:atom), do: "an atom"
  defp expected(:boolean), do: "a boolean"
  defp expected(:pid), do: "a pid"
  defp expected(:pos_integer), do: "a positive integer"
  defp expected(:non_neg_integer), do: "a non-negative integer"
  defp expected(:timeout), do: "milliseconds (0 to 4294967295) or `:infinity`"
  defp expected(:keyword), do: "a keyword list"
  defp expected({:integer, min, max}), do: "an integer from #{min} to #{max}"
  defp expected({:float, min, max}), do: "a number from #{min} to #{max}"
  defp expected({:in, [value]}), do: "`#{inspect(value)}`"
  defp expected({:in, values}), do: "one of " <> Enum.map_join(values, ", ", &"`#{inspect(&1)}`")
  defp expected({:fun, arity}), do: "a function of arity #{arity}"
  defp expected({:list, type}), do: "a list, each #{expected(type)}"
  defp expected({:or, types}), do: Enum.map_join(types, " or ", &expected/1)
  defp expected({:custom, text, _check}), do: text
end
