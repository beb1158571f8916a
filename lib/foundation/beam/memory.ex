defmodule Foundation.BEAM.Memory do
  @moduledoc """
  Where the bytes of the VM are, which of them nobody needs, and limits before they run out.

  | question | function |
  |---|---|
  | what is used, by what, and how near is a limit? | `analyze_memory_usage/1`, `native_memory/0`, `pressure/1` |
  | which processes keep binaries that they do not use? | `binary_leaks/1` |
  | how is memory given back? | `optimize_memory/2` |
  | who tells before it is too late? | `Foundation.BEAM.Memory.Monitor` |
  | how does work with a large heap leave nothing behind? | `isolate/2` |
  | how is a binary kept, shared or sent with few bytes? | `optimize_binary/2`, `restore_binary/2` |
  | how are atoms made from input? | `safe_atom/2`, `atom_usage/0` |

  The guide [Finding where memory went](finding-where-memory-went.md) goes through a search step by step.
  """

  alias Foundation.BEAM.Memory.{
    Analysis,
    Atoms,
    Binaries,
    Isolation,
    Leaks,
    Optimizer,
    OS,
    Pressure
  }

  alias Foundation.{Error, Native, Options}

  @typedoc "Bytes that this library's native code holds: all of them, and by owner."
  @type native_memory :: %{
          total: non_neg_integer(),
          shared_terms: non_neg_integer(),
          shared_stores: non_neg_integer(),
          codecs: non_neg_integer(),
          leak_searches: non_neg_integer(),
          kernels: non_neg_integer()
        }

  @doc """
  Bytes held by this library's native code. The garbage collector sees none of them, no process is
  charged for them, and of what Rust allocates `:erlang.memory/0` has nothing. What is frozen in an
  environment of its own (shared terms, large entries of stores) the VM counts as well, under
  `:processes` in `:erlang.memory/0`.

    * `:shared_terms` - frozen copies and their handles (`Foundation.BEAM.SharedTerm`), without the
      payload of large binaries, which `:erlang.memory(:binary)` has.
    * `:shared_stores` - stores, their entries and what leads to them
      (`Foundation.BEAM.SharedStore`), with the payload of binaries that they hold copies of, which
      `:erlang.memory(:binary)` has too.
    * `:codecs` - tables of compressions that run now (`Foundation.BEAM.Compression`): 8 or 16 KiB
      each. Their results are binaries of the VM's.
    * `:leak_searches` - what running `binary_leaks/1` have found so far.
    * `:kernels` - what kernels of `Foundation.BEAM.Schedulers` copy and collect while they run, and
      their results: until these are terms, or, of binaries above 64 KB, as long as somebody has them.
    * `:total` - the sum.

  The figures are what was asked for. The allocator takes about a tenth more from the system, and
  keeps what is freed for reuse. Once a quarter of the most that was held and at least 16 MiB are
  free, it gives most of that back, within a second; what the schedulers' own threads keep, some tens
  of megabytes after hundreds, `optimize_memory(:stores)` returns.

  ## Example

      iex> before = Foundation.BEAM.Memory.native_memory().shared_terms
      iex> handle = Foundation.BEAM.SharedTerm.new(Enum.to_list(1..1000))
      iex> Foundation.BEAM.Memory.native_memory().shared_terms - before > 16_000
      true
      iex> Foundation.BEAM.SharedTerm.release(handle)
      :ok
  """
  @spec native_memory() :: native_memory()
  def native_memory do
    held = Map.new(Native.memory_held())
    Map.put(held, :total, held |> Map.values() |> Enum.sum())
  end

  # Binaries

  @typedoc "A binary under the tag that says in which form it is."
  @type tagged_binary :: {
          :heap_binary | :refc_binary | :compressed_binary | :transmission_ready,
          binary()
        }

  @doc """
  Puts a binary into the form that suits what is done with it next.

  | strategy | result |
  |---|---|
  | `:automatic` | under 64 bytes `{:heap_binary, binary}`; under 65,536 as `:sharing`; above as `:storage` |
  | `:sharing` | `{:refc_binary, binary}`, for many processes: nothing but its own bytes stays alive with it |
  | `:storage` | `{:compressed_binary, frame}` where LZ4 takes under 0.9 of the bytes, else as `:sharing` |
  | `:transmission` | `{:transmission_ready, frame}`, always |

  A frame is LZ4 as of `Foundation.BEAM.Compression.compress/2`; `restore_binary/2` reads all of them.

  A part of a binary keeps the whole alive, and a binary that was appended to more than it shows.
  `:sharing` copies the binary where `:binary.referenced_byte_size/1` is at least twice its size and
  at least 256 bytes more; otherwise the result is the binary itself. Under 64 bytes, `:automatic`
  copies every part of what does not lie on a process's heap, so that the tag is true.

  `:storage` and `:transmission` take iolists too. One of more than 1,073,741,824 bytes of list
  cells (16 each) and binaries, parts met twice counted twice, is
  `{:error, %Foundation.Error{error_type: :too_large}}`. Anything else that is no binary, and an
  unknown strategy, raise `ArgumentError`.

      iex> alias Foundation.BEAM.Memory
      iex> Memory.optimize_binary("short")
      {:heap_binary, "short"}
      iex> {:compressed_binary, frame} = Memory.optimize_binary(:binary.copy("x", 100_000))
      iex> byte_size(frame) < 1000
      true
      iex> {:refc_binary, part} =
      ...>   :binary.copy("x", 100_000) |> binary_part(0, 100) |> Memory.optimize_binary(:sharing)
      iex> :binary.referenced_byte_size(part)
      100
  """
  @spec optimize_binary(iodata(), :automatic | :sharing | :storage | :transmission) ::
          tagged_binary() | {:error, Error.t()}
  def optimize_binary(data, strategy \\ :automatic), do: Binaries.optimize(data, strategy)

  @doc """
  Takes back what `optimize_binary/2` returned.

  Returns `{:error, %Foundation.Error{}}` with `:too_large` as its `error_type` for a result above
  `:max_size`, and for frames with those of `Foundation.BEAM.Compression.decompress/2`. A given
  `:max_size` holds for every tag; the default bounds frames alone, so that without one everything comes
  back but what more than 268,435,456 bytes were compressed from. What is no tagged binary raises
  `ArgumentError`.

  ## Options

  #{Options.docs(Binaries.restore_schema())}

  ## Example

      iex> alias Foundation.BEAM.Memory
      iex> packed = Memory.optimize_binary(["io", ?l, "ist"], :transmission)
      iex> Memory.restore_binary(packed)
      {:ok, "iolist"}
      iex> {:error, error} = Memory.restore_binary(packed, max_size: 5)
      iex> {error.error_type, error.context}
      {:too_large, %{size: 6, max_size: 5}}
  """
  @spec restore_binary(tagged_binary(), keyword()) :: {:ok, binary()} | {:error, Error.t()}
  def restore_binary(tagged, opts \\ []), do: Binaries.restore(tagged, opts)

  @doc """
  `restore_binary/2` that raises.

      iex> Foundation.BEAM.Memory.restore_binary!({:compressed_binary, "no LZ4"})
      ** (Foundation.Error) the data does not start with an LZ4 frame
  """
  @spec restore_binary!(tagged_binary(), keyword()) :: binary()
  def restore_binary!(tagged, opts \\ []), do: tagged |> restore_binary(opts) |> Error.unwrap!()

  # Atoms

  @typedoc "What `atom_usage/0` tells."
  @type atom_usage :: %{
          count: non_neg_integer(),
          limit: pos_integer(),
          ceiling: pos_integer(),
          namespaces: %{term() => pos_integer()}
        }

  @doc """
  The atom of a name, made within a limit: atoms are never freed, and a full table ends the VM.

  An atom that exists always comes back, without a call to any process. New ones are made by one
  process, so that concurrent callers cannot pass the limit together. The errors are bare atoms:

    * `:invalid_atom` - more than 255 characters, or no valid UTF-8
    * `:atom_table_nearly_full` - the table holds `:max_atoms`, or 95 % of what it can; a warning is
      logged, once a minute at most
    * `:rate_limited` - `:rate` new atoms were made in this namespace already

  What is no string raises `ArgumentError`; a new atom while `:foundation` is not started raises
  `Foundation.Error` with `:not_started`. The warning is logged by a process of its own, so that log
  handlers may call this function. Atoms that others make, by `String.to_atom/1` or by loading
  code, count towards the limit but are not held to it: the last 5 % of the table are left for them.

  ## Options

  #{Options.docs(Atoms.schema())}

  A namespace is counted for rates from the first atom on that it makes with one, and for as long as
  the longest `per_ms` that it was given; an atom may count for a sixteenth of `per_ms` longer. 1,024
  namespaces are remembered; then those idle longest are forgotten, or, while all of them still count,
  new ones with a `:rate` are `:rate_limited`.

  ## Example

      iex> alias Foundation.BEAM.Memory
      iex> Memory.safe_atom("ok")
      {:ok, :ok}
      iex> Memory.safe_atom(String.duplicate("x", 256))
      {:error, :invalid_atom}
      iex> Memory.safe_atom("never seen before", rate: {0, 1000})
      {:error, :rate_limited}
  """
  @spec safe_atom(String.t(), keyword()) ::
          {:ok, atom()} | {:error, :invalid_atom | :atom_table_nearly_full | :rate_limited}
  def safe_atom(string, opts \\ []), do: Atoms.safe_atom(string, opts)

  @doc """
  Atoms in the VM's table (`:count`), how many it can hold (`:limit`), at how many `safe_atom/2` makes
  no more (`:ceiling`, 95 %), and how many it has made for each namespace that is remembered.

  Raises `Foundation.Error` with `:not_started` while `:foundation` is not started.

      iex> usage = Foundation.BEAM.Memory.atom_usage()
      iex> usage.count < usage.ceiling and usage.ceiling < usage.limit
      true
  """
  @spec atom_usage() :: atom_usage()
  def atom_usage, do: Atoms.usage()

  # What is used, by what

  @doc """
  How scarce memory is now: `:low`, `:medium` or `:high`.

  The fullest of the limits decides that this VM may run into: the container's (control groups of
  version 1 and 2, and those above), the machine's, the VM's own reservation (`+MMsco true`) and the
  process's (`ulimit`). `Foundation.BEAM.Memory.Monitor` says what counts as used, and where none of
  them is known (then the level is `:low`).

  Each call reads about ten files of the system, which takes about a millisecond, and knows nothing of the
  one before: there is no hysteresis. To be told of changes, or to ask often, start a
  `Foundation.BEAM.Memory.Monitor` and ask its `level/1`.

  Raises `ArgumentError` for thresholds out of order.

  ## Options

  #{Options.docs(Pressure.schema())}

  ## Example

      iex> Foundation.BEAM.Memory.pressure() in [:low, :medium, :high]
      true
      iex> Foundation.BEAM.Memory.pressure(medium: 0.9, high: 0.8)
      ** (ArgumentError) invalid option :high in Memory.pressure/1: expected a number above :medium (0.9), got: 0.8
  """
  @spec pressure(keyword()) :: :low | :medium | :high
  def pressure(opts \\ []) do
    where = "Memory.pressure/1"
    thresholds = opts |> Options.validate!(Pressure.schema(), where) |> Pressure.in_order!(where)
    Pressure.level(Pressure.tightest(OS.read().limits).fraction, thresholds)
  end

  @typedoc """
  What `analyze_memory_usage/1` returns. Sizes are bytes.

    * `:total_memory`, `:process_memory`, `:atom_memory`, `:binary_memory`, `:code_memory`,
      `:ets_memory` - as `:erlang.memory/0` has them. They, `:allocators` and `:binaries` are `nil`
      and empty where emulator flags leave the VM without books (`+MBe false`), or while a long native
      function keeps one of the schedulers, all of which have a share of them, for over 100 ms.
    * `:process_memory_percentage`, `:binary_memory_percentage` - of `:total_memory`, 0.0 to 100.0.
    * `:atom_count`, `:atom_limit`, `:process_count`, `:process_limit` - entries.
    * `:native_memory` - as `native_memory/0`.
    * `:os` - `:resident`, the memory of the process that the system counts (`nil` where it does not
      say), and `:container`, the entry of `:limits` that is fullest of those of control groups.
    * `:limits` - each limit that the VM may run into, the fullest first: `:kind` (`:container`, with
      its `:version`, `:machine`, `:vm` or `:process`), `:limit`, `:used`, `:fraction`.
    * `:pressure` - the level of the fullest, as `pressure/0`.
    * `:allocators` - for each of the VM's allocators, and for all (`:total`): `:carriers`, what it
      took from the system, `:blocks`, what of that is in use, `:fragmentation`, the part that is not
      (0.0 to 1.0). One that is turned off is left out.
    * `:binaries` - bytes of binaries over 64 bytes that lie in the memory of threads of normal
      schedulers, `:normal`, and of all others, `:dirty_and_other`; `nil` where the VM cannot tell.
    * `:top_processes` - the largest heaps: `:pid`, `:name`, `:initial_call`, `:current_function`,
      `:message_queue_len`, `:heap_bytes`, and `:whole_heap`, which is `false` where only the young
      generation was looked at. Binaries over 64 bytes lie outside the heap.
    * `:long_queues` - the longest queues from 10,000 messages on: `:pid`, `:name`,
      `:message_queue_len`.
    * `:recommendations` - sentences, where processes have over 60 % of `:total_memory`, binaries over
      40 %, or the atom table is over 80 % full.
    * `:advice` - the same and more (pressure, tables, queues, allocators), each with `:severity`
      (`:info`, `:warning`, `:critical`), `:area`, `:message` and `:action`.
    * `:skipped` - processes that did not answer in time (`:unanswered`), whose old generation was not
      looked at (`:old_generations`), whose queue was too long to be walked (`:queues`), and
      `:unexplained_bytes`, what of `:process_memory` is in no heap that was looked at: besides those
      the structures of processes (about 800 bytes each), messages outside heaps, shared terms.
  """
  @type analysis :: %{required(atom()) => term()}

  @doc """
  Where the bytes are: every area of memory, the processes that hold most, and what to do.

  No process is stopped or collected. From outside one sees how large a process's young generation
  is; those that have an old generation too are asked for its size, which takes each a few
  microseconds of its own time, as many as `:max_ms` leaves time for. A process that is inside a long
  native function is not waited for. With 100,000 processes this takes under 100 ms
  (`bench/memory/analysis.exs`); `:skipped` says what was left out.

  Figures of different areas are read one after another, while the system goes on: their sums need
  not agree.

  ## Options

  #{Options.docs(Analysis.schema())}

  ## Example

      iex> analysis = Foundation.BEAM.Memory.analyze_memory_usage(top: 3, max_ms: 1_000)
      iex> length(analysis.top_processes)
      3
      iex> analysis.atom_count < analysis.atom_limit
      true
      iex> analysis.pressure in [:low, :medium, :high]
      true
  """
  @spec analyze_memory_usage(keyword()) :: analysis()
  def analyze_memory_usage(opts \\ []) do
    opts
    |> Options.validate!(Analysis.schema(), "Memory.analyze_memory_usage/1")
    |> Analysis.run(native_memory())
  end

  @typedoc "A process that keeps binaries which it does not use; see `binary_leaks/1`."
  @type binary_leak :: %{
          pid: pid(),
          name: atom(),
          initial_call: mfa() | nil,
          kind: :parts | :unreachable | :garbage | :old_generation,
          certainty: :measured | :seen | :suspected,
          wasted_bytes: non_neg_integer(),
          parts_bytes: non_neg_integer(),
          unreachable_bytes: non_neg_integer(),
          freed_bytes: non_neg_integer(),
          old_generation_bytes: non_neg_integer(),
          involved_bytes: non_neg_integer(),
          held_bytes: non_neg_integer(),
          sole_bytes: non_neg_integer(),
          binaries: non_neg_integer(),
          references: non_neg_integer(),
          looked_into?: boolean()
        }

  @typedoc "What a search found; see `binary_leaks/1`."
  @type binary_leaks :: %{
          leaks: [binary_leak()],
          wasted_bytes: non_neg_integer(),
          suspected_bytes: non_neg_integer(),
          freed_bytes: non_neg_integer(),
          held_bytes: non_neg_integer(),
          binary_memory: non_neg_integer() | nil,
          unlisted_bytes: non_neg_integer() | nil,
          hidden_bytes: non_neg_integer(),
          complete?: boolean(),
          searched: non_neg_integer(),
          skipped: non_neg_integer(),
          looked_into: non_neg_integer(),
          not_looked_into: non_neg_integer()
        }

  @doc """
  Processes that keep binaries alive and hardly use them, those with most wasted bytes first.

  A binary of more than 64 bytes lies outside the heaps and is freed when nothing refers to it. A small
  part of a large one keeps all of it; and what a process has dropped stays until it is collected,
  which may be never where it does little or its references have grown old. The search asks each
  process for its list of binaries, and looks inside idle `GenServer` and `:gen_statem` processes (and
  what is built on them) to see which bytes state and process dictionary lead to. State and dictionary
  stay as they are, nothing is copied out, and nobody is collected unless `collect: true` says so.

  A look is a message of `:sys` to the process, which makes a `GenServer` enter its loop anew: a timeout
  that a callback has returned (`{:noreply, state, 5_000}`) and `:hibernate_after` start from the
  beginning. Where sessions end or processes hibernate by these, a search that is repeated more often
  than they last keeps them from it. And a process that leaves its loop in the very moment, and waits
  inside a callback for any message at all, takes that one for its own. `look: false` sends no messages;
  it still proves what the garbage collector's figures tell.

  Each binary counts once, whoever holds it, and what is wasted of one is shared out in equal parts
  among its holders. Waste is what is proven: a binary that a table, a port or a process that was not
  asked refers to as well counts as used.

  ## Result

    * `:leaks` - the processes, see below.
    * `:wasted_bytes` - bytes that all processes, also those not in the list, keep and do not use, or
      kept until they were freed.
    * `:suspected_bytes` - the same where it could not be seen to the end; not in `:wasted_bytes`.
    * `:freed_bytes` - what of `:wasted_bytes` collections have given back.
    * `:held_bytes` - binaries that processes hold, each once.
    * `:binary_memory` - `:erlang.memory(:binary)` before the search, `nil` where the VM
      does not know, or a scheduler that does not answer kept it from saying.
    * `:unlisted_bytes` - the same without what is held: binaries of tables, ports, persistent terms,
      messages on their way or kept off the heap, and those that a list lacks.
    * `:hidden_bytes` - what processes hold by the garbage collector's figures and do not list, at
      least: binaries that are being appended to (their lists lack them before OTP 27), memory that
      native functions lend, `:atomics`.
    * `:complete?` - `false` where a process was skipped, was not looked into, or left out by
      `:max_looks`, where time was up, or `:hidden_bytes` come to `:min_bytes`: then there may be more
      than was found.
    * `:searched`, `:skipped` - processes that gave their lists, and that did not: they were busy.
    * `:looked_into`, `:not_looked_into` - processes that could be looked into, and that could not:
      they were busy twice (another search looks into them, for one), or there is more to see in them
      than is walked. Those of other kinds are not counted.

  Each leak has `:pid`, `:name` (registered, or `nil`), `:initial_call` (before OTP 26.2 that of
  `:proc_lib` for all processes that it starts) and

    * `:kind` - the largest of its parts: `:parts` (`:parts_bytes`: binaries of which it uses a part),
      `:unreachable` (`:unreachable_bytes`: binaries that nothing in it leads to), `:garbage`
      (`:freed_bytes`: what it gave back), `:old_generation` (`:old_generation_bytes`: what an idle
      process that could not be looked into keeps in its old generation).
    * `:certainty` - of that part: `:measured` (it was freed), `:seen` (inside the process, or by the
      garbage collector's figures, which on OTP 25 tell the size of a part that came by message),
      `:suspected` (it may be in use: all of `:old_generation`, and what a `:gen_statem` does not
      reach, whose postponed events are out of sight).
    * `:wasted_bytes` - the sum of the four.
    * `:involved_bytes` - the waste of its binaries in full, where others hold them too.
    * `:held_bytes`, `:sole_bytes` - its binaries, each once, and those that it alone holds.
    * `:binaries`, `:references` - their number, and that of its references to them.
    * `:looked_into?`

  A process that is looked into may find its next collection due by that; what then goes is in
  `:freed_bytes`. Terms that only the debug options of `:sys` hold (`:sys.log/2`) count as unreachable.

  ## Options

  #{Options.docs(Leaks.schema())}

  Native memory is 40 bytes for each binary of each process while the search runs, and about 700 MiB at
  most: processes whose lists do not fit are skipped.

  ## Example

      iex> {:ok, cache} = Agent.start(fn -> binary_part(:binary.copy("row", 1_000_000), 0, 100) end)
      iex> [leak] = Foundation.BEAM.Memory.binary_leaks(pids: [cache]).leaks
      iex> {leak.pid == cache, leak.kind, leak.certainty, leak.wasted_bytes}
      {true, :parts, :seen, 2_999_900}
      iex> Agent.stop(cache)
      :ok
  """
  @spec binary_leaks(keyword()) :: binary_leaks()
  def binary_leaks(opts \\ []) do
    opts |> Options.validate!(Leaks.schema(), "Memory.binary_leaks/1") |> Leaks.search()
  end

  # Giving back

  @typedoc """
  What `optimize_memory/2` returns. `:freed_bytes` is the sum of the steps'; `:before` and `:after`
  are those of the whole VM, other processes' doings with them: `:total`, `:processes` and `:binary`
  as `:erlang.memory/0` has them, `:native`, what this library holds, and `:resident`, what the
  system counts; all bytes, `nil` where it is not known.
  """
  @type optimization :: %{
          strategy: :automatic | :collect | :binaries | :stores,
          pressure: :low | :medium | :high,
          steps: [map()],
          freed_bytes: integer(),
          before: map(),
          after: map(),
          duration_us: non_neg_integer()
        }

  @doc """
  Gives memory back, and says how much, measured.

    * `:stores` - frees what has expired in stores and among shared terms and what waits to be freed,
      then has the native allocator return what it keeps for reuse: of each scheduler up to a few
      milliseconds.
    * `:binaries` - searches for processes that keep binaries which they do not use, as
      `binary_leaks/1` does with `collect: true, look: false`, and collects them.
    * `:collect` - collects processes that wait and whose heaps have `:min_bytes` at least, the largest
      first, one at a time, with a pause after every 16. Processes that are busy, and collect themselves,
      and those with 10,000 waiting messages and more are left alone. Each is stopped by its own
      collection, which takes about a millisecond for each megabyte that it really needs.
    * `:automatic` - by `pressure/0`: `:stores`; at `:medium` then `:binaries`; at `:high` then
      `:collect`.

  Each step has `:step`, `:freed_bytes`, `:duration_us`, and

    * `:stores` - `:returned_bytes`, by which the resident memory went down (`nil` where the system does
      not say), and `:complete?`, whether there was nothing left to free and every scheduler free to
      return what it keeps. `:freed_bytes` are of this
      library's memory.
    * `:binaries` - `:wasted_bytes`, `:searched`, `:skipped` and `:complete?` of the search.
      `:freed_bytes` are of binaries.
    * `:collect` - the numbers of processes `:collected`, `:busy` by then, `:unanswered` in time, and
      `:left` when time was up. `:freed_bytes` are of their heaps; the binaries that went with them show
      in `:after`.

  Figures can be below zero, where a heap or a store grew meanwhile. An unknown strategy raises
  `ArgumentError`.

  ## Options

  #{Options.docs(Optimizer.schema())}

  ## Example

      iex> {:ok, report} = Foundation.BEAM.Memory.optimize_memory(:stores)
      iex> [%{step: :stores}] = report.steps
      iex> report.strategy
      :stores
  """
  @spec optimize_memory(:automatic | :collect | :binaries | :stores, keyword()) ::
          {:ok, optimization()}
  def optimize_memory(strategy \\ :automatic, opts \\ []) do
    where = "Memory.optimize_memory/2"
    opts = Options.validate!(opts, Optimizer.schema(), where)
    {:ok, strategy |> Optimizer.strategy!(where) |> Optimizer.run(opts)}
  end

  @doc """
  Runs a function in a process of its own, within limits; its heap goes with that process.

  Returns `{:ok, result}`, or `{:error, %Foundation.Error{}}` with one of these as its `error_type`:

    * `:heap_limit` - the heap passed `:max_heap_size`. The VM says no more than that the process was
      killed, so that where there is such a limit, a `:kill` by anybody else looks the same
    * `:binary_limit` - the binaries passed `:max_binary_bytes`; the context has `:bytes`
    * `:timeout` - the work took longer than `:timeout`
    * `:work_failed` - it raised, exited or threw, or a process that it was linked to ended; the
      context has `:kind` (`:error`, `:exit` or `:throw`), `:reason` (the exception for `:error`) and
      `:stacktrace`, without arguments. Of a reason above 64 KiB there is a short text; the reason
      itself never comes to the caller. Texts of exit reasons and thrown terms are written without
      `Inspect` of structs
    * `:killed` - somebody killed it
    * `:too_large` - the function's variables or the result, in the form asked for, are larger than
      `:max_size`

  Nothing is logged, and nothing arrives in the caller's mailbox, late results included. When the
  caller ends, the work is killed. Processes that the function has linked itself to end with it;
  those that it has only spawned do not. A process inside a native function ends after that. In the
  function, `$callers` leads to the caller.

  Limits are those of the one process: what processes that the function starts use is not counted, and
  a reason or message that it sends others is copied to them by the VM, whatever its size.

  `:max_heap_size` is looked at by the VM when it collects garbage, and does not count what lies
  outside the heap: binaries above 64 bytes (`:max_binary_bytes`, for whatever lasts longer than 10 ms),
  tables, and what native code holds.

  ## Options

  #{Options.docs(Isolation.schema())}

  ## Example

      iex> alias Foundation.BEAM.Memory
      iex> Memory.isolate(fn -> Enum.sum(1..1000) end)
      {:ok, 500_500}
      iex> {:error, error} = Memory.isolate(fn -> Enum.to_list(1..1_000_000) end, max_heap_size: 100_000)
      iex> error.error_type
      :heap_limit
      iex> {:error, error} = Memory.isolate(fn -> raise "no" end)
      iex> {error.error_type, error.message, error.context.reason}
      {:work_failed, "the work failed: ** (RuntimeError) no", %RuntimeError{message: "no"}}
      iex> {:ok, handle} = Memory.isolate(fn -> %{a: [1, 2]} end, result: :shared_term)
      iex> Foundation.BEAM.SharedTerm.fetch_in(handle, [:a, 1])
      {:ok, 2}
  """
  @spec isolate((() -> result), keyword()) ::
          {:ok, result | Foundation.BEAM.SharedTerm.handle() | binary()} | {:error, Error.t()}
        when result: term()
  def isolate(fun, opts \\ []), do: Isolation.isolate(fun, opts)
end
