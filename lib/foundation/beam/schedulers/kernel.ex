defmodule Foundation.BEAM.Schedulers.Kernel do
  @moduledoc """
  What there is to know of a native kernel: `Foundation.BEAM.Schedulers.kernels/0` lists all.

    * `name` - the atom that `cpu_intensive(data, {:native, name}, opts)` takes.
    * `summary` - what it computes.
    * `takes` - the data: `:numbers`, `:bytes` or `:many`.
    * `returns` - the result.
    * `options` - its own options, as Markdown; empty where it has none.
    * `parallel?` - whether `parallel: true` shares work out; of the hashes, that on a list.
    * `auto?` - whether `{:auto, name}` works on some lists in Elixir.
    * `module` - where that is written down.
  """

  @enforce_keys [:name, :summary, :takes, :returns, :options, :parallel?, :auto?, :module]
  defstruct @enforce_keys

  @type t :: %__MODULE__{
          name: atom(),
          summary: String.t(),
          takes: takes(),
          returns: String.t(),
          options: String.t(),
          parallel?: boolean(),
          auto?: boolean(),
          module: module()
        }

  @typedoc """
  Data that a kernel works on.

    * `:numbers` - a list of integers of 64 bits with a sign, a list of floats, or packed numbers.
    * `:bytes` - a binary, or a list of binaries.
    * `:many` - a list of binaries.
  """
  @type takes :: :numbers | :bytes | :many

  # What follows is for the modules of kernels.

  @typedoc false
  @type about :: %{
          required(:takes) => takes(),
          required(:splits) => :always | :many | :never,
          required(:summary) => String.t(),
          required(:returns) => String.t(),
          # Of what the lists are that `fold/3` works on.
          optional(:auto) => String.t(),
          # Where the result is a map, which comes in pairs.
          optional(:pairs?) => true
        }

  @doc false
  @callback about() :: about()

  # A schema of `Foundation.Options`.
  @doc false
  @callback options() :: keyword()

  # What the native side gets of the options: all that are given, unless this says otherwise.
  @doc false
  @callback args(options :: map()) :: keyword()

  # The kernel in Elixir, for lists: a fold over parts of a list, which gives up (`:native`) where
  # only the native kernel has the answer. `left` is how many elements it may take at once.
  @doc false
  @callback fold(list :: term(), acc :: term(), left :: pos_integer()) ::
              {:cont, rest :: term(), acc :: term()} | {:done, result :: term()} | :native

  @optional_callbacks options: 0, args: 1, fold: 3
end
