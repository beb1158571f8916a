defmodule Foundation.BEAM.Messages.Options do
  @moduledoc false

  # The options of every function of Messages. No options cost a literal: the defaults.

  alias Foundation.BEAM.Messages.{Destination, Policy, Strategy}
  alias Foundation.Options

  @max_size 256 * 1024 * 1024

  # What becomes of the data.
  @packing [
    strategy: [
      type: {:in, Strategy.names()},
      doc: "Takes this strategy whatever the data is."
    ],
    policy: [
      type: {:in, Policy.all()},
      doc: "How the strategy is chosen. Default: `config :foundation, message_policy: ...`."
    ],
    frequency: [
      type: {:in, [:once, :frequent, :continuous]},
      default: :once,
      doc: "How often data of this kind is sent."
    ],
    priority: [
      type: {:in, [:normal, :high]},
      default: :normal,
      doc: "`:high` neither connects to a node nor waits for a full link: it returns an error."
    ],
    flow_control: [
      type: :boolean,
      default: false,
      doc: "Whether data that is not large waits for room in the receiver's queue."
    ],
    reads: [
      type: {:in, [:whole, :part]},
      default: :whole,
      doc: "What each receiver reads of the data. Counts for `policy: :adaptive`."
    ],
    ttl: [
      type: :timeout,
      default: 60_000,
      doc: "Milliseconds that data sent by reference can be read, counted from the call."
    ],
    compression: [
      type: {:in, [:none, :low, :default, :high]},
      doc:
        "Of data sent as a binary: `:low` and `:default` are LZ4, `:high` is zlib at level 9. " <>
          "Default: `:default`, or with `policy: :adaptive` what the model chooses."
    ]
  ]

  @flow [
    max_queue_size: [
      type: :pos_integer,
      default: 1000,
      doc: "Messages in the receiver's queue at which it is full."
    ],
    max_retries: [
      type: {:integer, 0, 1000},
      default: 3,
      doc: "How often `:flow_controlled` waits for a full queue before it gives up."
    ],
    retry_delay: [
      type: {:integer, 0, 60_000},
      default: 100,
      doc: "Milliseconds of its first wait; each further one is twice as long, up to a minute."
    ],
    probe_timeout: [
      type: {:integer, 1, 60_000},
      default: 50,
      doc: "Milliseconds to wait for the receiver to say how long its queue is."
    ]
  ]

  @receivers [
    receivers: [
      # The costs are floats: a number of any length could not become one.
      type: {:integer, 1, 4_294_967_296},
      default: 1,
      doc: "How many processes the message will go to. Counts for `policy: :adaptive`."
    ],
    remote: [
      type: :boolean,
      default: false,
      doc: "Whether the message will go to other nodes, where a reference means nothing."
    ]
  ]

  @backpressure [
    backpressure_strategy: [
      type: {:in, [:drop, :queue, :redirect]},
      default: :drop,
      doc: "What is done with a message for a receiver that is full."
    ],
    alternatives: [
      type:
        {:list, {:custom, "a destination: " <> Destination.expected(), &Destination.valid?/1}},
      default: [],
      doc: "Where `:redirect` tries to send it instead, in this order."
    ],
    max_buffer: [
      type: :pos_integer,
      default: 1000,
      doc: "Messages that `:queue` keeps for one receiver."
    ]
  ]

  @opening [
    max_size: [
      # The range of `Compression`, which reads the binary: its error would name a hidden function.
      type: {:integer, 0, 0xFFFF_FFFF_FFFF_FFFF},
      default: @max_size,
      doc: "Bytes that a binary may unpack to (256 MiB)."
    ],
    safe: [
      type: :boolean,
      default: false,
      doc: "Whether a binary with atoms or funs that are new to this node is refused."
    ]
  ]

  @schemas %{
    send: Options.schema!(@packing ++ @flow),
    backpressure: Options.schema!(@backpressure ++ @packing ++ @flow),
    pack: Options.schema!(@packing ++ @receivers),
    strategy_for: Options.schema!(@packing ++ @flow ++ @receivers),
    open: Options.schema!(@opening),
    read: Options.schema!(@opening),
    receive: Options.schema!(@opening)
  }

  @where %{
    send: "Messages.send_optimized/3",
    backpressure: "Messages.send_with_backpressure/3",
    pack: "Messages.pack/2",
    strategy_for: "Messages.strategy_for/2",
    open: "Messages.open/2",
    read: "Messages.read/3",
    receive: "Messages.receive_optimized/2"
  }

  # What one function takes besides those of another, for its documentation.
  @groups %{
    send: Options.schema!(@packing ++ @flow),
    backpressure: Options.schema!(@backpressure),
    receivers: Options.schema!(@receivers),
    open: Options.schema!(@opening)
  }

  @doc "The options of a function as a map, with their defaults; raises `ArgumentError`."
  @spec validate!(keyword(), atom()) :: map()
  for {name, schema} <- @schemas do
    def validate!([], unquote(name)), do: unquote(Macro.escape(schema.defaults))

    def validate!(opts, unquote(name)) do
      Options.validate!(opts, unquote(Macro.escape(schema)), unquote(@where[name]))
    end
  end

  @doc "Raises for what is no limit of `measure/2`."
  @spec invalid_limit!(term()) :: no_return()
  def invalid_limit!(limit) do
    raise ArgumentError,
          "invalid limit in Messages.measure/2: expected bytes (a non-negative integer) or " <>
            ":infinity, got: #{Options.given(limit)}"
  end

  @doc "The name of a function in the text of its errors."
  @spec where(atom()) :: String.t()
  def where(name), do: Map.fetch!(@where, name)

  @doc "The documentation of a group of options."
  @spec docs(atom()) :: String.t()
  def docs(group), do: Options.docs(Map.fetch!(@groups, group))
end
