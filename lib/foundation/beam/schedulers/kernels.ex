defmodule Foundation.BEAM.Schedulers.Kernels do
  @moduledoc false

  # The native kernels by name, with what they take. A new one is a file in `kernels/` and a line here,
  # and the same on the native side.

  alias Foundation.BEAM.Schedulers.{Ends, Kernel}
  alias Foundation.BEAM.Schedulers.Kernels.{Mean, Sum, Variance}
  alias Foundation.BEAM.Schedulers.Kernels.{Histogram, Max, Min, Quantiles, Sort, TopK}
  alias Foundation.BEAM.Schedulers.Kernels.{CompressMany, Count, Words, Xxh3128, Xxh364}
  alias Foundation.Options

  @table [
    sum: Sum,
    mean: Mean,
    variance: Variance,
    min: Min,
    max: Max,
    quantiles: Quantiles,
    histogram: Histogram,
    sort: Sort,
    top_k: TopK,
    count: Count,
    words: Words,
    xxh3_64: Xxh364,
    xxh3_128: Xxh3128,
    compress_many: CompressMany
  ]

  @run [
    parallel: [
      type: :boolean,
      default: false,
      doc:
        "Whether the work is shared out over the dirty CPU schedulers: over all of them while " <>
          "no other job runs or waits, else over its parts in turn."
    ],
    progress: [
      type: {:or, [{:fun, 1}, :pid]},
      doc:
        "Told `%{done: n, total: n}` between slices, in units of the kernel's own: a function, " <>
          "called in the caller, or a process, which is sent `{:cpu_progress, caller, figures}`. " <>
          "Neither number falls, and `done` is `total` at the very end only. There may be more " <>
          "units later (a sort merges in the end); a part that was done in one slice counts as " <>
          "many as the largest other one; taking a list in and giving the result out count none."
    ],
    progress_interval: [
      type: :non_neg_integer,
      default: 100,
      doc:
        "Milliseconds between two of those, at least; the last always comes. 0 tells after every " <>
          "slice."
    ],
    timeout: Ends.option(:timeout),
    cancel: Ends.option(:cancel),
    priority: [
      type: {:in, [:low, :normal]},
      doc:
        "The priority of the processes that ask for slices. Default: the caller's there, " <>
          "`:normal` in those that help it."
    ]
  ]

  @where "Schedulers.cpu_intensive/3"
  @kinds [:i8, :u8, :i16, :u16, :i32, :u32, :i64, :u64, :f32, :f64]

  # Looked up as literals: what modules have is asked once, here.
  @kernels Map.new(@table, fn {name, module} ->
             has? = fn {function, arity} ->
               Code.ensure_compiled!(module)
               function_exported?(module, function, arity)
             end

             own = if has?.({:options, 0}), do: module.options(), else: []

             {name,
              %{
                name: name,
                module: module,
                about: module.about(),
                own: Options.schema!(own),
                schema: Options.schema!(own ++ @run),
                args?: has?.({:args, 1}),
                fold?: has?.({:fold, 3})
              }}
           end)

  @names Keyword.keys(@table)

  @doc "All kernels, as users see them."
  @spec all() :: [Kernel.t(), ...]
  def all do
    for name <- @names, %{about: about} = kernel = @kernels[name] do
      %Kernel{
        name: name,
        summary: about.summary,
        takes: about.takes,
        returns: about.returns,
        options: Options.docs(kernel.own),
        parallel?: about.splits != :never,
        auto?: kernel.fold?,
        module: kernel.module
      }
    end
  end

  @doc "The kinds of packed numbers."
  @spec kinds() :: [atom(), ...]
  def kinds, do: @kinds

  @doc "The documentation of the options of every run."
  @spec run_docs() :: String.t()
  def run_docs, do: Options.docs(Options.schema!(@run))

  @doc "What is known of a kernel."
  @spec fetch!(term()) :: map()
  def fetch!(name) do
    case @kernels do
      %{^name => kernel} ->
        kernel

      _unknown ->
        known = Enum.map_join(@names, ", ", &inspect/1)

        raise ArgumentError,
              "unknown kernel #{Options.given(name)} in #{@where}; known: #{known}"
    end
  end

  @doc "The options of a run and of the kernel, checked, and what the native side gets of them."
  @spec options!(map(), keyword()) :: {map(), keyword()}
  def options!(kernel, opts) do
    options = Options.validate!(opts, kernel.schema, @where)

    args =
      if kernel.args?,
        do: kernel.module.args(options),
        else: for(name <- kernel.own.order, do: {name, Map.fetch!(options, name)})

    {options, args}
  end

  @doc "The data and its kind; what is in it is looked at later."
  @spec data!(map(), term()) :: {atom(), list() | binary()}
  def data!(%{about: %{takes: :numbers}}, list) when is_list(list), do: {:list, list}

  def data!(%{about: %{takes: :numbers}}, {kind, binary})
      when kind in @kinds and is_binary(binary),
      do: {kind, binary}

  def data!(%{about: %{takes: :bytes}}, binary) when is_binary(binary), do: {:bytes, binary}

  def data!(%{about: %{takes: takes}}, list) when takes in [:bytes, :many] and is_list(list),
    do: {:many, list}

  def data!(%{about: %{takes: takes}} = kernel, data), do: invalid!(kernel, expected(takes), data)

  @doc "Refuses data that is no proper list."
  @spec improper!(map(), term()) :: no_return()
  def improper!(kernel, data), do: invalid!(kernel, "a proper list", data)

  @spec invalid!(map(), String.t(), term()) :: no_return()
  defp invalid!(%{name: name}, expected, data),
    do: Options.refuse!("#{expected} for the kernel #{inspect(name)}", @where, data)

  defp expected(:numbers),
    do:
      "a list of numbers, or {kind, binary} with a kind of " <>
        Enum.map_join(@kinds, ", ", &inspect/1)

  defp expected(:bytes), do: "a binary or a list of binaries"
  defp expected(:many), do: "a list of binaries"
end
