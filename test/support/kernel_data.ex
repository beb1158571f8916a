defmodule Foundation.KernelData do
  @moduledoc """
  Data as the kernels take it, made by generators: lists and packed numbers of every kind, whose floats
  have every bit pattern, at every place in memory.

  Numbers are kept as `bits`: an integer is itself, a float the integer that its bits are. So a NaN is
  none to Elixir, and no bit of any number is lost.
  """

  import Bitwise
  import :proper_types, except: [bind: 3, function: 2]
  import Foundation.Property, only: [bind: 2]

  @widths %{i8: 8, u8: 8, i16: 16, u16: 16, i32: 32, u32: 32, i64: 64, u64: 64, f32: 32, f64: 64}
  @floats [:f32, :f64]
  @integers Map.keys(@widths) -- @floats

  @typedoc "Numbers, `times` times one after the other."
  @type t :: %{form: :list | :packed, kind: atom(), bits: [integer()], times: pos_integer()}

  def kinds, do: @integers ++ @floats

  @doc "Bits of one number."
  def width(kind), do: @widths[kind]

  def float?(kind), do: kind in @floats

  # Generators

  @doc "A few numbers in any form."
  def numbers do
    bind({form(), oneof([:tame, :near, :finite, :endless, :any])}, fn {{form, kind}, mood} ->
      # A list can hold no others.
      mood = if form == :list and mood in [:endless, :any], do: :tame, else: mood

      bind(list(number(kind, mood)), fn bits ->
        # An empty list is one of integers.
        kind = if form == :list and bits == [], do: :i64, else: kind
        %{form: form, kind: kind, bits: bits, times: 1}
      end)
    end)
  end

  defp form do
    packed = fn kinds -> oneof(for kind <- kinds, do: exactly({:packed, kind})) end
    lists = oneof([exactly({:list, :i64}), exactly({:list, :f64})])
    oneof([packed.(@integers), packed.(@floats), lists])
  end

  @doc "How many bits of something else lie before a binary: none, a byte, a part of one."
  def shift, do: frequency([{2, exactly(0)}, {1, exactly(8)}, {1, integer(1, 7)}])

  defp number(kind, _mood) when kind in @integers do
    {least, most} = range(kind)
    some = Enum.filter([-2, -1, 0, 1, 2, least, most, most - 1], &(&1 >= least))
    oneof([oneof(Enum.map(some, &exactly/1)), integer(least, most)])
  end

  defp number(kind, mood) do
    {exponent, mantissa} = layout(kind)
    bias = (1 <<< (exponent - 1)) - 1
    last = (1 <<< exponent) - 1
    any_mantissa = oneof([0, 1, (1 <<< mantissa) - 1, integer(0, (1 <<< mantissa) - 1)])
    eighths = fn from -> bind(integer(-800, 800), &bits_of(from + &1 / 8, kind)) end

    between = fn low, high ->
      bind({bit(), integer(low, high), any_mantissa}, fn {sign, exponent, mantissa} ->
        join({sign, mantissa}, exponent, kind)
      end)
    end

    tame = [{3, eighths.(0.0)}, {4, between.(bias - 20, bias + 20)}, {1, zero(kind)}]
    finite = [{6, between.(0, last - 1)}, {1, between.(0, 1)}, {1, zero(kind)}]

    case mood do
      :tame -> frequency(tame)
      # Far from zero and not from each other.
      :near -> eighths.(1.0e9)
      :finite -> frequency(finite)
      :endless -> frequency([{1, bind(bit(), &join({&1, 0}, last, kind))} | tame])
      :any -> frequency([{1, beyond(kind)} | finite])
    end
  end

  defp zero(kind), do: bind(bit(), &join({&1, 0}, 0, kind))

  # Infinities, and NaNs that signal or do not, of either sign.
  defp beyond(kind) do
    {exponent, mantissa} = layout(kind)
    top = 1 <<< (mantissa - 1)
    payload = oneof([0, 0, 1, top, top + 1, 2 * top - 1])
    bind({bit(), payload}, &join(&1, (1 <<< exponent) - 1, kind))
  end

  defp bit, do: integer(0, 1)

  defp join({sign, mantissa}, exponent, kind) do
    {exponents, mantissas} = layout(kind)
    sign <<< (exponents + mantissas) ||| exponent <<< mantissas ||| mantissa
  end

  defp layout(:f32), do: {8, 23}
  defp layout(:f64), do: {11, 52}

  defp range(kind) do
    width = width(kind)

    case Atom.to_string(kind) do
      "i" <> _ -> {-(1 <<< (width - 1)), (1 <<< (width - 1)) - 1}
      "u" <> _ -> {0, (1 <<< width) - 1}
    end
  end

  # Terms

  @doc "The numbers as a kernel takes them."
  def term(numbers, shift \\ 0)

  def term(%{form: :packed, kind: kind} = numbers, shift),
    do: {kind, numbers.bits |> pack(kind) |> :binary.copy(numbers.times) |> place(shift)}

  def term(%{form: :list} = numbers, _shift) do
    values = Enum.map(numbers.bits, &value(&1, numbers.kind))
    List.duplicate(values, numbers.times) |> Enum.concat()
  end

  @doc "The same numbers so often that they have at least so many bytes."
  def repeat(%{bits: bits} = numbers, bytes) do
    once = max(length(bits) * div(width(numbers.kind), 8), 1)
    if bits == [], do: numbers, else: %{numbers | times: div(bytes - 1, once) + 1}
  end

  @doc "The binary as a part of a larger one, behind so many bits."
  def place(binary, 0), do: binary

  def place(binary, shift) do
    size = byte_size(binary)

    <<_::size(shift), part::binary-size(size), _::bitstring>> =
      <<0::size(shift), binary::binary, 5::3>>

    part
  end

  def pack(bits, kind) do
    width = width(kind)
    for number <- bits, into: "", do: <<number::native-size(width)>>
  end

  def bits_of(number, kind) when kind in @integers and is_integer(number), do: number
  def bits_of(float, :f32) when is_float(float), do: :binary.decode_unsigned(<<float::float-32>>)
  def bits_of(float, :f64) when is_float(float), do: :binary.decode_unsigned(<<float::float-64>>)

  @doc "The number as it is shown to users."
  def value(bits, :f32), do: float(<<bits::32>>)
  def value(bits, :f64), do: float(<<bits::64>>)
  def value(bits, _integer), do: bits

  defp float(<<float::float-32>>), do: float
  defp float(<<float::float-64>>), do: float
  defp float(<<0::1, 0xFF::8, 0::23>>), do: :infinity
  defp float(<<1::1, 0xFF::8, 0::23>>), do: :negative_infinity
  defp float(<<0::1, 0x7FF::11, 0::52>>), do: :infinity
  defp float(<<1::1, 0x7FF::11, 0::52>>), do: :negative_infinity
  defp float(_bits), do: :nan

  @doc "What numbers are ordered by: floats by IEEE 754's total order."
  def key(bits, kind) when kind in @floats do
    sign = 1 <<< (width(kind) - 1)
    if bits >= sign, do: sign - 1 - bits, else: bits
  end

  def key(bits, _integer), do: bits
end
