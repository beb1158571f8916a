defmodule Foundation.BEAM.Messages do
  @moduledoc """
  Sends data to processes by the way that copies least.

  A message on the BEAM is copied to each receiver. That is the cheapest way for small data, and for
  large binaries, which are shared. For large structured data to many receivers it is not. So
  `send_optimized/3` takes the true size of the data (`measure/2`) and chooses:

  | strategy | message | receivers get it by |
  |---|---|---|
  | `:direct` | the data | a copy, as with `send/2` |
  | `:ets_reference` | `{:ets_ref, handle, :foundation_message_cache}` | reading all or a part of one copy that `Foundation.BEAM.SharedTerm` holds |
  | `:binary_sharing` | `{:shared_binary, binary}` | decoding one binary that all share |
  | `:flow_controlled` | the data | a copy, once their queue is short enough |

  The receiver calls `open/2` on whatever has arrived, or `read/3` for a part of it:

      def handle_info(message, state) do
        case Messages.open(message) do
          {:ok, data} -> {:noreply, work(data, state)}
          {:error, %Foundation.Error{error_type: :expired}} -> {:noreply, state}
        end
      end

  `pack/2` gives the message itself. A packed message may be sent on as it is with `send/2`,
  `GenServer.cast/2` and the like. `send_optimized/3` takes it for data and packs it once more: then
  one `open/2` gives the message, not the data.

  Messages carry no mark besides their shape: data of yours that is `{:shared_binary, binary}` or a
  reference as above, sent as it is, is opened as one. Wrap it: `{:my_data, {:shared_binary, binary}}`.

  ## How the strategy is chosen

  With `policy: :documented`, the default, the first rule that holds chooses. Sizes are in bytes,
  heap and binaries together.

  | rule | holds when | strategy |
  |---|---|---|
  | `:forced` | `strategy:` is given | that one |
  | `:small_high_priority` | size < 1,024 and `priority: :high` | `:direct` |
  | `:large` | size > 10,240 | `:ets_reference` |
  | `:frequent` | `frequency: :frequent` or `:continuous` | `:binary_sharing` |
  | `:flow_control` | `flow_control: true` | `:flow_controlled` |
  | `:medium` | size > 1,024 | `:binary_sharing` |
  | `:small` | always | `:direct` |

  With `policy: :adaptive` the strategy is the one with the least total cost, the sender's and the
  receivers' CPU time together, by a model measured with `bench/calibrate.exs` (rule `:least_cost`;
  `:flow_control` where that is `:direct` and `flow_control: true`). It knows the number of
  receivers, whether they read all or a part (`reads:`), and that binaries are shared already.
  `config :foundation, message_policy: :adaptive` makes it the default when the application starts.

  A handle means nothing on another node: where either policy says `:ets_reference`, or the caller
  does, receivers on other nodes get a binary.

  ## Destinations

  A pid, a registered name, `{name, node}`, `{:via, module, name}`, `{:global, name}`, or a list of
  those. A name that nobody has raises `ArgumentError`, a pid that is gone or a name of another node
  is silent, as with `send/2`; where queues are looked at, either is `error_type: :noproc`. A `:via`
  module without `whereis_name/1`, or a name that it refuses, raises `ArgumentError`.

  ## Events

  `[:foundation, :messages, :refused]` for what back-pressure keeps from its receiver and
  `[:foundation, :messages, :expired]` for a term that was opened too late, with `%{count: n}` and
  `%{destination: ..., reason: ...}`. There is none per message, and nothing is logged.
  """

  alias Foundation.BEAM.Messages.{Backpressure, Choice, Delivery, Options, Shape}
  alias Foundation.BEAM.Term.Size
  alias Foundation.Error

  @typedoc "Where a message goes."
  @type destination ::
          pid() | atom() | {atom(), node()} | {:via, module(), term()} | {:global, term()}

  @typedoc "A message as it travels: one of the shapes above, or the data itself."
  @type message ::
          {:ets_ref, reference(), :foundation_message_cache} | {:shared_binary, binary()} | term()

  @type result :: {:ok, :sent | reference() | pos_integer()} | {:error, Error.t()}

  @doc """
  Sends data to a destination, or to each of a list, by the strategy that suits it.

  Returns `{:ok, :sent}` where the data itself was sent, `{:ok, handle}` where a reference was
  (see `Foundation.BEAM.SharedTerm`), `{:ok, byte_size}` where a binary was. For a list the data is
  measured and packed once, and receivers on this and on other nodes may get it differently; then
  the handle is returned. An empty list is `{:ok, :sent}`.

  ## Options

  #{Options.docs(:send)}

  ## Errors

    * `:noconnect`, `:nosuspend` - with `priority: :high`: no connection, or a full link, to the node
    * `:flow_control_failed` - `context.reason` is `{:queue_full, length}`, `:unresponsive` (the
      receiver did not tell its queue's length in `probe_timeout`) or `:noconnection`
    * `:noproc` - with `:flow_controlled`: nobody is there
    * `:too_large` - a copy of the data has over 4 GiB (by reference) or 1 GiB (as a binary)
    * `:send_failed` - for a list: `context.failed` holds `{destination, error}` for each that was
      not reached, `context.sent` counts the others

  ## Examples

      iex> Foundation.BEAM.Messages.send_optimized(self(), {:small, 1})
      {:ok, :sent}
      iex> {:ok, handle} = Foundation.BEAM.Messages.send_optimized(self(), Enum.to_list(1..1000))
      iex> is_reference(handle)
      true
      iex> Foundation.BEAM.Messages.receive_optimized()
      {:ok, {:small, 1}}
  """
  @spec send_optimized(destination() | [destination()], term(), keyword()) :: result()
  def send_optimized(dest, data, opts \\ []) do
    Delivery.run(dest, data, Options.validate!(opts, :send), Options.where(:send))
  end

  @doc """
  Sends if fewer than `max_queue_size` messages wait in the receiver's queue, otherwise does what
  `backpressure_strategy:` says:

    * `:drop` - `{:dropped, :backpressure}`
    * `:queue` - `{:queued, :backpressure}`: a supervised buffer delivers the message, in order, as
      the queue drains; `{:dropped, :backpressure}` when it holds `max_buffer` already. While it
      holds any, later messages go behind them (or are dropped, or redirected). The `ttl` runs there
      too. What is left when the receiver ends is dropped. A remote receiver has one buffer for its
      pid and another for `{name, node}`. The latest call's limits hold for the whole buffer.
    * `:redirect` - sends to the first of `alternatives` that has room, else
      `{:dropped, :no_alternative}`

  A receiver that does not tell its queue's length in `probe_timeout` counts as full. Every dropped
  message is counted by `[:foundation, :messages, :refused]`.

  ## Options

  #{Options.docs(:backpressure)}

  and those of `send_optimized/3`, whose other results it returns; `error_type: :noproc` where
  nobody is there, `:not_started` while the application `:foundation` is not running.

      iex> Foundation.BEAM.Messages.send_with_backpressure(self(), :one, max_queue_size: 1)
      {:ok, :sent}
      iex> Foundation.BEAM.Messages.send_with_backpressure(self(), :two, max_queue_size: 1)
      {:dropped, :backpressure}
  """
  @spec send_with_backpressure(destination(), term(), keyword()) ::
          result()
          | {:dropped, :backpressure | :no_alternative}
          | {:queued, :backpressure}
  def send_with_backpressure(dest, data, opts \\ []) do
    opts = Options.validate!(opts, :backpressure)
    Backpressure.run(dest, data, opts, Options.where(:backpressure))
  end

  @doc """
  The message that `send_optimized/3` would send, for other ways of sending; raises what would be
  its `:too_large`. Takes its options except those of flow control, and:

  #{Options.docs(:receivers)}

      iex> Foundation.BEAM.Messages.pack(:small)
      :small
      iex> {:shared_binary, binary} = Foundation.BEAM.Messages.pack(%{a: 1}, frequency: :frequent)
      iex> Foundation.BEAM.Messages.open({:shared_binary, binary})
      {:ok, %{a: 1}}
  """
  @spec pack(term(), keyword()) :: message()
  def pack(data, opts \\ []) do
    opts = Options.validate!(opts, :pack)

    case Delivery.pack(data, opts, scope(opts), opts.receivers) do
      {:ok, message, _value} -> message
      {:error, error} -> raise error
    end
  end

  @doc """
  The strategy for the data, with the rule and the size that chose it, without sending. Takes the
  options of `send_optimized/3` and those of `pack/2`.

  The map has `strategy`, `rule`, `policy`, `compression`, `size`, `heap_bytes`, `binary_bytes` and
  `complete?` (`false`: the data is larger, nothing more had to be known); with `policy: :adaptive`
  also `costs`, the nanoseconds that the model expects of each strategy.

      iex> choice = Foundation.BEAM.Messages.strategy_for(List.duplicate(0, 200))
      iex> {choice.strategy, choice.rule, choice.size}
      {:binary_sharing, :medium, 3200}
  """
  @spec strategy_for(term(), keyword()) :: map()
  def strategy_for(data, opts \\ []) do
    opts = Options.validate!(opts, :strategy_for)
    policy = Choice.policy(opts)
    size = Choice.measure(data, policy)

    size
    |> Choice.choose(policy, opts, scope(opts), opts.receivers)
    |> Map.merge(size)
    |> Map.put(:size, size.heap_bytes + size.binary_bytes)
  end

  @doc """
  The true size of a term: the bytes of heap that a copy takes (without sharing inside the term),
  and the payload of binaries over 64 bytes, which a copy shares. The walk stops once `limit` bytes
  are passed: then `complete?` is `false`, and both figures are what had been seen by then. Maps of
  more than 32 keys are within 15 %; a fun costs 0.1 us more than other terms; `:infinity` ends at 64
  GiB, which only a term that shares its parts again and again has, and takes seconds to reach there.

      iex> Foundation.BEAM.Messages.measure([1, 2, String.duplicate("x", 100)]).binary_bytes
      100
      iex> Foundation.BEAM.Messages.measure(Enum.to_list(1..10_000), 1024).complete?
      false
  """
  @spec measure(term(), non_neg_integer() | :infinity) :: %{
          heap_bytes: non_neg_integer(),
          binary_bytes: non_neg_integer(),
          complete?: boolean()
        }
  def measure(term, limit \\ :infinity)

  def measure(term, limit) when limit == :infinity or (is_integer(limit) and limit >= 0),
    do: Size.measure(term, limit)

  def measure(_term, limit), do: Options.invalid_limit!(limit)

  @doc """
  The data of a message, whichever shape it has; a message of no shape is the data itself.

  #{Options.docs(:open)}

  Errors: those of `Foundation.BEAM.SharedTerm.fetch/1` (`:expired`, `:released`, `:foreign_node`,
  `:unknown_handle`) and of `Foundation.BEAM.Compression.decompress_term/2`.

      iex> Foundation.BEAM.Messages.open(Foundation.BEAM.Messages.pack(%{a: 1}, strategy: :ets_reference))
      {:ok, %{a: 1}}
  """
  @spec open(message(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def open(message, opts \\ []), do: Shape.open(message, Options.validate!(opts, :open))

  @doc """
  As `open/2`, but gives the data or raises.

      iex> Foundation.BEAM.Messages.open!(:plain)
      :plain
  """
  @spec open!(message(), keyword()) :: term()
  def open!(message, opts \\ []), do: message |> open(opts) |> Error.unwrap!()

  @doc """
  The part of a message's data at the end of a path. Of data sent by reference only the part is
  copied; a binary is decoded whole first. Paths are those of
  `Foundation.BEAM.SharedTerm.fetch_in/2`, as are the errors, besides those of `open/2`, whose options
  it takes.

      iex> message = Foundation.BEAM.Messages.pack(%{users: [%{name: "Ada"}]}, strategy: :ets_reference)
      iex> Foundation.BEAM.Messages.read(message, [:users, 0, :name])
      {:ok, "Ada"}
  """
  @spec read(message(), [term()], keyword()) :: {:ok, term()} | {:error, Error.t()}
  def read(message, path, opts \\ []),
    do: Shape.read(message, path, Options.validate!(opts, :read))

  @doc """
  As `read/3`, but gives the part or raises.

      iex> Foundation.BEAM.Messages.read!({:a, :b}, [1])
      :b
  """
  @spec read!(message(), [term()], keyword()) :: term()
  def read!(message, path, opts \\ []), do: message |> read(path, opts) |> Error.unwrap!()

  @doc """
  Frees what a message sent by reference holds, for all receivers and before its `ttl`; any other
  message is left alone, again does nothing. Without it the data goes when nobody has the handle any
  more. Errors: `:foreign_node`, `:unknown_handle`.

      iex> message = Foundation.BEAM.Messages.pack(:data, strategy: :ets_reference)
      iex> :ok = Foundation.BEAM.Messages.release(message)
      iex> {:error, error} = Foundation.BEAM.Messages.open(message)
      iex> error.error_type
      :released
  """
  @spec release(message()) :: :ok | {:error, Error.t()}
  defdelegate release(message), to: Shape

  @doc """
  Takes the next message of the caller's mailbox, whichever it is, and opens it as `open/2`, whose
  options it takes. Where none comes in `timeout` milliseconds it is `error_type: :timeout`. One that
  cannot be opened has left the mailbox: it is in the error's `context.message`, and only there.

      iex> Foundation.BEAM.Messages.send_optimized(self(), [1, 2], strategy: :binary_sharing)
      iex> Foundation.BEAM.Messages.receive_optimized(100, safe: true)
      {:ok, [1, 2]}
  """
  @spec receive_optimized(timeout(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def receive_optimized(timeout \\ :infinity, opts \\ []),
    do: Shape.receive_next(timeout, Options.validate!(opts, :receive))

  defp scope(%{remote: true}), do: :remote
  defp scope(%{remote: false}), do: :local
end
