defmodule Foundation.BEAM.SharedTerm do
  alias Foundation.Options

  @schema Options.schema!(
            ttl: [
              type: :timeout,
              default: :infinity,
              doc: "Milliseconds after which the term is gone, however many handles there are."
            ],
            max_size: [
              type: :pos_integer,
              default: 1_073_741_824,
              doc: "Bytes of heap and binaries above which the term is refused as `:too_large`."
            ]
          )

  @moduledoc """
  One frozen copy of a term, handed around as a handle.

  `new/2` copies a term once, out of the process, into memory that Rust holds. What it returns, the
  handle, is a reference that any process of this node can be sent and can read from: the whole
  term, or only the part at the end of a path.

      iex> alias Foundation.BEAM.SharedTerm
      iex> handle = SharedTerm.new(%{users: [%{name: "Ada"}, %{name: "Joe"}]})
      iex> SharedTerm.fetch_in(handle, [:users, 1, :name])
      {:ok, "Joe"}
      iex> SharedTerm.release(handle)
      :ok
      iex> {:error, error} = SharedTerm.fetch(handle)
      iex> error.error_type
      :released

  ## When to use it

    * A large term for many processes, each of which reads a part of it, or reads it now and then:
      a message then holds a few words in place of the term.
    * A large term that somebody may need, for a time: it is gone at its `:ttl`, whoever still
      holds a handle.

  Do not use it for small terms (a message of under about 1 KB is copied faster than a handle is
  made), for one receiver that reads all of it (that is two copies in place of one), for a term that
  never changes and is read everywhere (`:persistent_term` copies nothing), or across nodes.

  ## When it is freed

  At the earliest of: the last handle is garbage collected, `:ttl` has passed, `release/1` or
  `take/1`. Readers that have begun finish. The memory lies outside the VM's own books; a process
  that drops handles may not be collected for long. Prefer a `:ttl` or `release/1`, and see
  `Foundation.BEAM.Memory.native_memory/0` for what is held. Large copies are freed on dirty
  schedulers.

  ## Errors

  | `error_type` | it means |
  |---|---|
  | `:expired` | the `:ttl` has passed |
  | `:released` | somebody released or took it |
  | `:foreign_node` | the handle is of another node; it can be sent back there, and read there |
  | `:unknown_handle` | a reference with no term behind it: no handle, or its last use was collected while the handle travelled |
  | `:path_not_found` | a step of the path leads nowhere; `context` has `:at` (steps before it) and `:step` |
  | `:too_large` | the term has more than `:max_size` bytes, or over a million funs (met twice, counted twice) |

  What is no reference at all raises `ArgumentError`.

  ## Paths

  A path is a list of steps, each read by the container that it meets: the key of a map or struct,
  the key of a keyword list, a position in a list or tuple, from 0. The empty path is the whole.

  ## Cost

  Making one costs a walk and a copy; `fetch/1` costs a copy, as `:ets.lookup/2` does; `fetch_in/2`
  costs the steps and a copy of the part (`bench/shared_term.exs` prints all three). Copies of more
  than 16 KB reach the caller as a message that the call itself receives, so that no collection
  moves them once more; above 256 KB they are made on a dirty scheduler.
  """

  alias Foundation.{Error, Native}
  alias Foundation.BEAM.Term.{Path, Size}

  @never 0xFFFF_FFFF_FFFF_FFFF

  @typedoc "A handle: a reference, to be sent and compared, never to be made by hand."
  @type handle :: reference()

  @typedoc "Steps to a part."
  @type path :: [term()]

  @typedoc "What `info/1` tells. Bytes are those of the frozen copy, times are milliseconds."
  @type info :: %{
          state: :live | :expired | :released,
          bytes: non_neg_integer(),
          age: non_neg_integer(),
          ttl: non_neg_integer() | :infinity,
          reads: non_neg_integer()
        }

  @doc """
  Freezes a copy of `term` and returns its handle.

  Returns `{:error, %Foundation.Error{error_type: :too_large}}` above `:max_size`.

  ## Options

  #{Options.docs(@schema)}

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new([1, 2, 3], ttl: 60_000)
      iex> is_reference(handle)
      true
  """
  @spec new(term(), keyword()) :: handle() | {:error, Error.t()}
  def new(term, opts \\ []) do
    %{ttl: ttl, max_size: max_size} = Options.validate!(opts, @schema, "SharedTerm.new/2")
    ttl = if ttl == :infinity, do: @never, else: ttl

    case Native.shared_term_new(term, ttl, min(max_size, @never)) do
      :dirty -> new_measured(term, ttl, max_size)
      handle -> handle
    end
  end

  defp new_measured(term, ttl, max_size) do
    case Size.measure(term, max_size) do
      %{complete?: true, heap_bytes: heap, binary_bytes: binary} ->
        Native.shared_term_new_dirty(term, ttl, heap, binary)

      %{complete?: false} = size ->
        limit = min(max_size, Size.largest())
        passed? = size.heap_bytes + size.binary_bytes > limit
        text = if passed?, do: "is larger than #{limit} bytes", else: "has over a million funs"
        {:error, Error.new(:too_large, "the term " <> text, %{max_size: limit})}
    end
  end

  @doc """
  A copy of the whole term.

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new({:a, 1})
      iex> Foundation.BEAM.SharedTerm.fetch(handle)
      {:ok, {:a, 1}}
  """
  @spec fetch(handle()) :: {:ok, term()} | {:error, Error.t()}
  def fetch(handle) do
    case Native.shared_term_fetch(handle) do
      {:ok, _term} = ok -> ok
      large when large in [:send, :dirty] -> large |> by_message(handle, :fetch) |> settle(handle)
      fault -> settle(fault, handle)
    end
  end

  @doc """
  As `fetch/1`, the term itself; raises `Foundation.Error`.

  ## Example

      iex> Foundation.BEAM.SharedTerm.fetch!(Foundation.BEAM.SharedTerm.new("whole"))
      "whole"
  """
  @spec fetch!(handle()) :: term()
  def fetch!(handle), do: handle |> fetch() |> Error.unwrap!()

  @doc """
  A copy of the part at the end of `path`; what lies on the way is not copied.

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new(%{"rows" => [[a: 1], [a: {2, 3}]]})
      iex> Foundation.BEAM.SharedTerm.fetch_in(handle, ["rows", 1, :a, 0])
      {:ok, 2}
      iex> {:error, error} = Foundation.BEAM.SharedTerm.fetch_in(handle, ["rows", 7])
      iex> {error.error_type, error.context}
      {:path_not_found, %{at: 1, step: 7}}
  """
  @spec fetch_in(handle(), path()) :: {:ok, term()} | {:error, Error.t()}
  def fetch_in(handle, path) when is_list(path) do
    case Native.shared_term_fetch_in(handle, path) do
      {:ok, _part} = ok ->
        ok

      large when large in [:send, :dirty] ->
        large |> by_message(handle, path) |> settle(handle, path)

      fault ->
        settle(fault, handle, path)
    end
  end

  def fetch_in(_handle, path), do: Path.invalid!(path)

  @doc """
  A copy of the whole term, which is released with it. Of several callers exactly one succeeds.

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new(:once)
      iex> Foundation.BEAM.SharedTerm.take(handle)
      {:ok, :once}
      iex> {:error, error} = Foundation.BEAM.SharedTerm.take(handle)
      iex> error.error_type
      :released
  """
  @spec take(handle()) :: {:ok, term()} | {:error, Error.t()}
  def take(handle) do
    case Native.shared_term_take(handle) do
      {:ok, _term} = ok -> ok
      large when large in [:send, :dirty] -> large |> by_message(handle, :take) |> settle(handle)
      fault -> settle(fault, handle)
    end
  end

  @doc """
  Frees the frozen copy, once its readers have finished. Again does nothing.

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new([])
      iex> {Foundation.BEAM.SharedTerm.release(handle), Foundation.BEAM.SharedTerm.release(handle)}
      {:ok, :ok}
  """
  @spec release(handle()) :: :ok | {:error, Error.t()}
  def release(handle), do: handle |> Native.shared_term_release() |> settle(handle)

  @doc """
  State and figures of a shared term, also after its end.

  `:ttl` is what remains of it. `:bytes` is what the frozen copy takes, or took, without the
  payload of binaries over 64 bytes, which it shares with whoever else refers to them.

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new(:term)
      iex> {:ok, info} = Foundation.BEAM.SharedTerm.info(handle)
      iex> {info.state, info.ttl, info.reads}
      {:live, :infinity, 0}
  """
  @spec info(handle()) :: {:ok, info()} | {:error, Error.t()}
  def info(handle) do
    case Native.shared_term_info(handle) do
      {state, bytes, age, ttl, reads} ->
        {:ok, %{state: state, bytes: bytes, age: age, ttl: ttl || :infinity, reads: reads}}

      fault ->
        settle(fault, handle)
    end
  end

  @doc """
  Whether the term can be read now, from here.

  ## Example

      iex> handle = Foundation.BEAM.SharedTerm.new(:term)
      iex> Foundation.BEAM.SharedTerm.alive?(handle)
      true
  """
  @spec alive?(handle()) :: boolean()
  def alive?(handle), do: match?({:ok, %{state: :live}}, info(handle))

  # A large copy comes as a message: as the result of a call it would be moved once more, by the
  # collection that it causes. All in one function: only then does the compiler see that the
  # reference is new, and the receive look at no older message.
  defp by_message(where, handle, request) do
    reference = make_ref()

    sent =
      case where do
        :send -> Native.shared_term_send(handle, request, reference)
        :dirty -> Native.shared_term_send_dirty(handle, request, reference)
      end

    case sent do
      :sent ->
        receive do
          {^reference, copy} -> {:ok, copy}
        end

      fault ->
        fault
    end
  end

  defp settle(:no_handle, handle), do: no_handle(handle)
  defp settle(result, _handle), do: Error.wrap(result)

  defp settle(:no_handle, handle, _path), do: no_handle(handle)
  defp settle(result, _handle, path), do: Path.refuse(result, path)

  defp no_handle(handle) when is_reference(handle) and node(handle) == node() do
    {:error, Error.new(:unknown_handle, "no shared term is behind this reference")}
  end

  defp no_handle(handle) when is_reference(handle) do
    text = "the shared term is on another node, which alone can read it"
    {:error, Error.new(:foreign_node, text, %{node: node(handle)})}
  end

  defp no_handle(other) do
    raise ArgumentError,
          "expected the handle of a shared term (a reference), got: #{Options.given(other)}"
  end
end
