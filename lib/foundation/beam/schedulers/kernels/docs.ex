defmodule Foundation.BEAM.Schedulers.Kernels.Docs do
  @moduledoc false

  # What `cpu_intensive/3` says of native kernels: written from their own data.

  alias Foundation.BEAM.Schedulers.Kernels

  @doc "The section, in Markdown."
  @spec section() :: String.t()
  def section do
    """
    ## Native kernels

    With `{:native, kernel}` the work is one of those that are written in Rust:

    #{table()}

    `numbers` are a list of integers from -2^63 to 2^63 - 1, a list of floats, or
    `{kind, binary}`: packed numbers in the machine's byte order, of a kind of
    #{Enum.map_join(Kernels.kinds(), ", ", &"`#{inspect(&1)}`")}. `bytes` are a binary or a
    list of binaries, `many` is a list of binaries. Iolists are not taken.

        iex> alias Foundation.BEAM.Schedulers
        iex> Schedulers.cpu_intensive([3, 1, 2], {:native, :sort})
        [1, 2, 3]
        iex> packed = for n <- [2.0, 4.0, 9.0], into: <<>>, do: <<n::float-native>>
        iex> Schedulers.cpu_intensive({:f64, packed}, {:native, :mean})
        5.0
        iex> Schedulers.cpu_intensive([1, 2, 3, 4], {:native, :quantiles}, q: [0.5, 1.0])
        [2.5, 4.0]
        iex> Schedulers.cpu_intensive("to be or not to be", {:native, :count}, pattern: "be")
        2

    Packed numbers are read where they lie. A list is decoded first: 2 to 3 ns a small integer that is
    in the processor's cache, 3 to 5 ns in a list of millions, and for a sum that is more than adding
    takes in Elixir. With `{:auto, kernel}` the kernels that the table
    names work on such lists in Elixir, in the caller, and on all else natively. The results are the
    same, and integers may have any size there.

        iex> Foundation.BEAM.Schedulers.cpu_intensive([2 ** 80, 1], {:auto, :sum})
        1208925819614629174706177

    Floats that a term cannot be are `:nan`, `:infinity` and `:negative_infinity`. A NaN makes the
    sum, mean, variance, minimum, maximum and all quantiles `:nan`.

    ### Options of kernels

    #{options()}

    ### Options of all kernels

    #{Kernels.run_docs()}

    Others are refused: slices take the place of chunks.

    ### Slices

    What is small (some 100 us of work, judged by its size) is done at once, in the caller. For more,
    the caller asks for slices of about a millisecond on dirty CPU schedulers, in turn with all other
    jobs: all together have one scheduler less than there are online, but one at least. So a job waits
    for one slice of each of those that came before it. Only parts of a `parallel: true` job run on all
    of these schedulers, and that while no other job is there. A caller that is suspended, or gets no
    processor, loses its turn to who has waited for 100 ms, and asks for another when it goes on.

    If the caller dies, its slice ends when it looks next whether the caller lives, which it does about
    every half a millisecond; the processes that help it with `parallel: true` end then, too. `:cancel`
    and `:timeout` are looked at between slices and while the job waits for its turn; they do not
    interrupt what is done at once, nor the making of the map of `:words`, after all slices (they are
    looked at once more when it is made). Nothing
    is left of a job when the call returns: no process and no message. What it held natively is freed
    soon after, in short steps; `Foundation.BEAM.Memory.native_memory/0` counts it until then.

    Should the process that gives turns have crashed, jobs go on with the one that its supervisor
    starts. If there is none for a second, the call exits with
    `{:noproc, {Foundation.BEAM.Schedulers, :cpu_intensive, 3}}`.

    ### Errors of kernels

    | `error_type` | it means |
    |---|---|
    | `:empty` | there are too few numbers for a result |
    | `:unaligned` | the packed binary is no whole number of elements |
    | `:mixed_numbers` | the list has integers and floats |
    | `:integer_too_large` | an integer of the list is beyond 64 bits |
    | `:invalid_element` | an element is no number, or no binary; `context.index` says which |
    | `:too_many_words` | there are more distinct words than `:max_words` |
    | `:out_of_memory` | there is no memory for what the kernel needs |
    | `:timeout`, `:cancelled` | as for functions |

    Raises `ArgumentError` for an unknown kernel, an unknown or wrong option, and data of another
    shape: a map, an improper list, an unknown kind.
    """
  end

  defp table do
    header =
      "| kernel | of | computes | returns | `parallel` | `:auto` |\n|---|---|---|---|---|---|\n"

    header <> Enum.map_join(Kernels.all(), "\n", &row/1)
  end

  defp row(kernel) do
    about = Kernels.fetch!(kernel.name).about
    parallel = %{always: "yes", many: "of a list", never: "no"}[about.splits]
    auto = if kernel.auto?, do: "Elixir for lists of #{about.auto}", else: "native"

    "| `#{inspect(kernel.name)}` | #{kernel.takes} | #{kernel.summary} | #{kernel.returns} | " <>
      "#{parallel} | #{auto} |"
  end

  defp options do
    for %{options: docs} = kernel <- Kernels.all(), docs != "" do
      "`#{inspect(kernel.name)}`:\n\n#{docs}"
    end
    |> Enum.join("\n\n")
  end
end
