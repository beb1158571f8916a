defmodule Foundation.Property do
  @moduledoc """
  PropEr from ExUnit: its macros are Erlang's, so these few functions stand in for them.

      use Foundation.Property

      property "reversing twice gives the list" do
        forall list <- list(integer()) do
          Enum.reverse(Enum.reverse(list)) == list
        end
      end

  `FOUNDATION_PROPERTY_RUNS` multiplies the number of runs (the checks run more than the tests).
  """

  defmacro __using__(_opts) do
    quote do
      # PropEr's generators are called as functions: `integer()`, `list(integer())`.
      import :proper_types, except: [function: 2, is_type: 1, bind: 3]
      import Foundation.Property
      @moduletag :property
    end
  end

  @doc "A test whose block is a property; `runs:` says how many cases (default 100)."
  defmacro property(name, opts \\ [], do: block) do
    quote do
      @tag timeout: Foundation.Property.timeout()
      test unquote(name) do
        Foundation.Property.check!(unquote(block), unquote(opts))
      end
    end
  end

  defmacro forall({:<-, _, [pattern, generator]}, do: block) do
    quote do
      :proper.forall(unquote(generator), fn unquote(pattern) ->
        Foundation.Property.holds(fn -> unquote(block) end)
      end)
    end
  end

  @doc "What the function gives; `false` where it raises, which `check!/2` tells: PropEr itself may not."
  def holds(fun) do
    fun.()
  catch
    kind, reason when kind != :throw ->
      Process.put(__MODULE__, Exception.format(kind, reason, __STACKTRACE__))
      false
  end

  @doc "A generator made from what another generates (`?LET`)."
  def bind(generator, fun), do: :proper_types.bind(generator, fun, false)

  @doc "A generator of only what the function accepts (`?SUCHTHAT`)."
  def such_that(generator, fun), do: :proper_types.add_constraint(generator, fun, true)

  @doc "Runs a property; fails the test with the smallest counterexample that was found."
  def check!(property, opts \\ []) do
    runs = Keyword.get(opts, :runs, 100) * multiplier()
    options = [:quiet, :long_result, numtests: runs, max_size: Keyword.get(opts, :max_size, 42)]

    case :proper.quickcheck(property, options) do
      true ->
        :ok

      {:error, reason} ->
        ExUnit.Assertions.flunk("the property could not be run: #{inspect(reason)}")

      counterexample ->
        raised = Process.get(__MODULE__, "")

        ExUnit.Assertions.flunk(
          "the property does not hold for #{inspect(counterexample)}\n#{raised}"
        )
    end
  end

  @doc "Milliseconds that a property may take: so many runs, on a machine that does other work as well."
  def timeout, do: 300_000 * multiplier()

  defp multiplier do
    "FOUNDATION_PROPERTY_RUNS" |> System.get_env("1") |> String.to_integer()
  end
end
