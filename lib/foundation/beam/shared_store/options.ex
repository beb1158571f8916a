defmodule Foundation.BEAM.SharedStore.Options do
  @moduledoc false

  # The options of every function of SharedStore, and what the native side is told of them.

  alias Foundation.Options

  # What the native side takes for "none": no ttl, no limit.
  @never 0xFFFF_FFFF_FFFF_FFFF

  @unbounded {:or, [:pos_integer, {:in, [:infinity]}]}

  @limits [
    ttl: [
      type: :timeout,
      default: :infinity,
      doc: "Milliseconds that an entry lives which is put without a `:ttl` of its own."
    ],
    max_entries: [
      type: @unbounded,
      default: :infinity,
      doc: "Entries above which others are evicted."
    ],
    max_bytes: [
      type: @unbounded,
      default: :infinity,
      doc:
        "Bytes of entries above which others are evicted, see \"Limits\". " <>
          "A value that is larger is refused."
    ],
    compress_above: [
      type: @unbounded,
      default: :infinity,
      doc: "Bytes (heap and binaries) above which a value is kept as LZ4."
    ]
  ]

  @local {:custom, "a pid of this node", &Foundation.BEAM.SharedStore.Options.local?/1}

  @start Options.schema!(
           [
             name: [
               type:
                 {:custom, "an atom other than nil, true, false and :undefined",
                  &Foundation.BEAM.SharedStore.Options.name?/1},
               required: true,
               doc: "The name of the store and of the process that owns it. Required."
             ],
             heir: [
               type: {:or, [@local, :atom]},
               doc: "The process that gets the store when its own ends, or its registered name."
             ]
           ] ++ @limits
         )

  @new Options.schema!(
         [
           owner: [
             type: @local,
             doc: "The process with which the store ends. Default: none, it ends with its handle."
           ]
         ] ++ @limits
       )

  @ttl [type: :timeout, doc: "Milliseconds that the entry lives. Default: that of the store."]
  @kept [type: :timeout, doc: "Milliseconds that the entry lives. Default: what is left to it."]

  @put Options.schema!(ttl: @ttl)

  @touch Options.schema!(ttl: [type: :timeout, required: true, doc: "Milliseconds."])

  @update Options.schema!(
            initial: [type: :any, doc: "What is put where the key is missing."],
            ttl: @kept
          )

  @increment Options.schema!(
               initial: [
                 type: {:custom, "a number", &is_number/1},
                 default: 0,
                 doc: "What a missing key counts from."
               ],
               ttl: [
                 type: :timeout,
                 doc: "Milliseconds that a new entry lives. Default: that of the store."
               ]
             )

  @compute Options.schema!(
             ttl: @ttl,
             timeout: [
               type: :timeout,
               default: 5_000,
               doc: "Milliseconds that a caller waits for the computation of another."
             ],
             on_crash: [
               type: {:in, [:error, :retry]},
               default: :error,
               doc:
                 "What a waiting caller does when the computation fails or its process ends: " <>
                   "`:error` returns `:computation_failed`, with `:retry` one of them computes."
             ]
           )

  @spec schema(atom()) :: Options.schema()
  def schema(:start), do: @start
  def schema(:new), do: @new
  def schema(:put), do: @put
  def schema(:touch), do: @touch
  def schema(:update), do: @update
  def schema(:increment), do: @increment
  def schema(:compute), do: @compute

  @spec docs(atom()) :: String.t()
  def docs(name), do: name |> schema() |> Options.docs()

  @doc "The options as a map, or `ArgumentError`."
  @spec validate!(keyword(), atom(), String.t()) :: map()
  def validate!(opts, name, where), do: Options.validate!(opts, schema(name), where)

  @doc "A ttl as the native side takes it; `nil` is that of the store."
  @spec ttl(timeout() | nil) :: non_neg_integer() | :default
  def ttl(nil), do: :default
  def ttl(:infinity), do: @never
  def ttl(ms), do: ms

  @doc "The limits of a store as the native side takes them."
  @spec limits(map()) :: {pos_integer(), pos_integer(), non_neg_integer(), pos_integer()}
  def limits(opts) do
    {bound(opts.max_entries), bound(opts.max_bytes), ttl(opts.ttl), bound(opts.compress_above)}
  end

  defp bound(:infinity), do: @never
  defp bound(bytes), do: min(bytes, @never)

  # `register/2` takes none of these.
  @doc "A process that a store can belong to."
  @spec local?(term()) :: boolean()
  def local?(pid), do: is_pid(pid) and node(pid) == node()

  @doc false
  def name?(name), do: is_atom(name) and name not in [nil, true, false, :undefined]
end
