# Messages a second, of members of ecosystems beside plain processes: straight to a coordinator against a
# bare GenServer of the same module, and by the topology (`send_to/3`, `broadcast/2`) against what is
# written by hand for the same: a name looked up in a Registry, or an atom that is registered, which only a
# fixed number of processes can have; `:pg` for all; a GenServer that passes on.
#
#     mix run bench/ecosystem/messages.exs [messages]
#
# A round is over when all messages have been handled. Candidates take turns; figures are medians. A ratio
# is ours by theirs, above 1 ours handles more: `..._atom` by registered atoms, `..._sampled` that of an
# ecosystem with `sample_interval`, by the first of theirs.
#
# `Registry.lookup/2` asks whether the process lives, and waits for it to say so where signals are on their way
# to it: a sender that is ahead of its receiver on a busy machine is held up at each message.

Code.require_file("../support/bench.exs", __DIR__)

defmodule Bench.Ecosystem.Node do
  # A member and, beside it, what stands in for one in plain OTP: it looks names up in a Registry and its
  # peers in `:pg`. It handles messages of both, tells when it has handled so many, and sends from inside.
  use GenServer

  alias Foundation.BEAM.Processes

  @registry Bench.Ecosystem.Names
  @scope Bench.Ecosystem.Groups

  def start_link(opts), do: GenServer.start_link(__MODULE__, opts)

  def start_names do
    {:ok, _} = Registry.start_link(keys: :unique, name: @registry)
    {:ok, _} = :pg.start_link(@scope)
  end

  @doc "Has the process run the function, which gets its state."
  def inside(pid, fun), do: send(pid, {:inside, fun})

  @doc "Tells the caller when the process has handled so many messages more; returns at once."
  def expect(pid, count), do: GenServer.call(pid, {:expect, count, self()})

  @impl true
  def init(opts) do
    if name = opts[:plain] do
      {:ok, _} = Registry.register(@registry, name, nil)
      Process.register(self(), atom(name))
      :ok = :pg.join(@scope, :all, self())
    end

    state = %{
      id: opts[:ecosystem_id],
      role: opts[:plain] || opts[:role],
      last: opts[:last],
      left: 0,
      tell: nil
    }

    {:ok, state}
  end

  @impl true
  def handle_call(:call, _from, state), do: {:reply, :ok, state}

  def handle_call({:expect, count, pid}, _from, state),
    do: {:reply, :ok, %{state | left: count, tell: pid}}

  @impl true
  def handle_cast(_message, state), do: {:noreply, handled(state)}

  @impl true
  def handle_info({:ecosystem_message, _from, _message}, state), do: {:noreply, handled(state)}

  def handle_info({:ecosystem_forward, hop}, state) do
    Processes.forward(state.id, hop)
    {:noreply, state}
  end

  def handle_info({:message, _from, _message}, state), do: {:noreply, handled(state)}

  # By hand: a tree's root, and a ring. Who comes next is looked up for each message: it may be another
  # process than before.
  def handle_info({:relay, how, from, :all, message}, state) do
    dispatch(how, {:message, from, message}, from)
    {:noreply, state}
  end

  def handle_info({:relay, how, from, to, message}, state) do
    tell(how, to, {:message, from, message})
    {:noreply, state}
  end

  def handle_info({:round, how, from, message}, state) do
    next = next(state)
    if next != from, do: tell(how, next, {:round, how, from, message})
    {:noreply, handled(state)}
  end

  def handle_info({:inside, fun}, state) do
    fun.(state)
    {:noreply, state}
  end

  defp handled(%{left: 1} = state) do
    send(state.tell, {:handled, self()})
    %{state | left: 0}
  end

  defp handled(%{left: left} = state), do: %{state | left: left - 1}

  def next(%{role: last, last: last}), do: 0
  def next(%{role: role}), do: role + 1

  @doc "Sends to a name."
  def tell(how, name, message),
    do: with(pid when pid != nil <- whereis(how, name), do: send(pid, message))

  @doc "To all but that one."
  def dispatch(how, message, from) do
    me = whereis(how, from)
    for pid <- :pg.get_local_members(@scope, :all), pid != me, do: send(pid, message)
  end

  defp whereis(:atom, name), do: Process.whereis(atom(name))

  defp whereis(:registry, name) do
    case Registry.lookup(@registry, name) do
      [{pid, _}] -> pid
      [] -> nil
    end
  end

  for n <- 0..16, do: defp(atom(unquote(n)), do: unquote(:"bench_node_#{n}"))
  defp atom(name), do: name
end

defmodule Bench.Ecosystem.Messages do
  alias Bench.Ecosystem.Node
  alias Foundation.BEAM.Processes

  @rounds 9
  @workers 16

  def run(messages) do
    Node.start_names()
    straight(messages)
    cross(messages)
    by_topology(messages)
  end

  # To a coordinator

  defp straight(messages) do
    {:ok, bare} = Node.start_link([])
    plain = ecosystem(:tree)
    counted = ecosystem(:tree, sample_interval: 1_000)
    Process.sleep(1_500)

    terms = [{"simple", :message}, {"complex", hd(Bench.nested(1).rows)}]

    for senders <- [1, 4], {kind, term} <- terms, way <- [:cast, :send] do
      each = div(messages, senders)
      to = fn pid -> fn -> flood(pid, senders, each, way, term) end end

      rates("#{kind} messages by #{way}, #{senders} sender(s)", each * senders, [
        {"bare GenServer", to.(bare)},
        {"coordinator", to.(plain.coordinator)},
        {"... with sample_interval", to.(counted.coordinator)}
      ])
      |> ratios("#{kind}_#{way}_#{senders}")
    end

    for senders <- [1, 4] do
      each = div(messages, 4 * senders)
      to = fn pid -> fn -> calls(pid, senders, each) end end

      rates("calls, #{senders} caller(s)", each * senders, [
        {"bare GenServer", to.(bare)},
        {"coordinator", to.(plain.coordinator)},
        {"... with sample_interval", to.(counted.coordinator)}
      ])
      |> ratios("call_#{senders}")
    end

    GenServer.stop(bare)
    for ecosystem <- [plain, counted], do: Processes.shutdown_ecosystem(ecosystem)
  end

  defp flood(pid, senders, each, way, term) do
    Node.expect(pid, senders * each)
    for _ <- 1..senders, do: spawn_link(fn -> repeat(each, sender(way, pid, term)) end)
    handled(pid)
  end

  defp sender(:cast, pid, term), do: fn -> GenServer.cast(pid, term) end
  defp sender(:send, pid, term), do: fn -> send(pid, {:message, nil, term}) end

  defp calls(pid, senders, each) do
    tasks =
      for _ <- 1..senders,
          do: Task.async(fn -> repeat(each, fn -> GenServer.call(pid, :call) end) end)

    Task.await_many(tasks, :infinity)
  end

  # From a member of one ecosystem to one of another

  defp cross(messages) do
    [one, other] = for _ <- 1..2, do: ecosystem(:tree)
    {:ok, from} = Node.start_link(plain: :from)
    {:ok, to} = Node.start_link(plain: :to)
    text = {:message, :from, :message}

    theirs = fn how -> member(from, to, messages, fn _state -> Node.tell(how, :to, text) end) end

    ours = fn ref ->
      member(one.coordinator, other.coordinator, messages, fn _state ->
        Processes.send_to(ref, :coordinator, :message)
      end)
    end

    rates("from one ecosystem to another", messages, [
      {"Registry.lookup + send", theirs.(:registry)},
      {"registered atom", theirs.(:atom)},
      {"send_to, by its id", ours.(other.id)},
      {"send_to, by its struct", ours.(other)}
    ])
    |> ratios("cross")

    for pid <- [from, to], do: GenServer.stop(pid)
    for ecosystem <- [one, other], do: Processes.shutdown_ecosystem(ecosystem)
  end

  # By the topology

  defp by_topology(messages) do
    nodes = for n <- 0..@workers, do: elem(Node.start_link(plain: n, last: @workers), 1)
    # Of messages to all, as many arrive as of messages to one.
    to_all = div(messages, @workers)

    for topology <- [:tree, :mesh, :ring] do
      ecosystem = ecosystem(topology)
      counted = ecosystem(topology, sample_interval: 1_000)
      Process.sleep(1_500)

      for {title, from, to} <- routes(topology) do
        ours = fn ecosystem ->
          sent(ecosystem, from, to, messages, &Processes.send_to(&1, role(to), :message))
        end

        rates("#{topology}: send_to, #{title}", messages, [
          {"by hand, Registry", by_hand(nodes, topology, from, to, messages, :registry)},
          {"by hand, atoms", by_hand(nodes, topology, from, to, messages, :atom)},
          {"send_to", ours.(ecosystem)},
          {"... with sample_interval", ours.(counted)}
        ])
        |> ratios("#{topology}_send_to_#{from}_#{to}")
      end

      for from <- if(topology == :tree, do: [0, 2], else: [2]) do
        ours = fn ecosystem ->
          sent(ecosystem, from, :all, to_all, &Processes.broadcast(&1, :message))
        end

        rates("#{topology}: broadcast by member #{from}", to_all * @workers, [
          {"by hand, Registry", all_by_hand(nodes, topology, from, to_all, :registry)},
          {"by hand, atoms", all_by_hand(nodes, topology, from, to_all, :atom)},
          {"broadcast", ours.(ecosystem)},
          {"... with sample_interval", ours.(counted)}
        ])
        |> ratios("#{topology}_broadcast_#{from}")
      end

      for ecosystem <- [ecosystem, counted], do: Processes.shutdown_ecosystem(ecosystem)
    end

    Enum.each(nodes, &GenServer.stop/1)
  end

  # Places: 0 is the coordinator.
  defp routes(:tree), do: [{"worker to coordinator", 2, 0}, {"worker to worker", 2, 7}]
  defp routes(:mesh), do: [{"worker to worker", 2, 7}]
  defp routes(:ring), do: [{"to the next", 2, 3}, {"two steps on", 2, 4}]

  defp role(0), do: :coordinator
  defp role(n), do: {:worker, n}

  defp sent(ecosystem, from, to, count, fun) do
    members = [ecosystem.coordinator | ecosystem.workers]
    from = Enum.at(members, from)
    to = if to == :all, do: List.delete(members, from), else: [Enum.at(members, to)]
    # As a member does that knows its `:ecosystem_id`.
    member(from, to, count, fn state -> fun.(state.id) end)
  end

  # The straight way to one that is next to it, the relay or the round to others.
  defp by_hand(nodes, topology, from, to, count, how) do
    relay = {:relay, how, from, to, :message}

    send =
      case {topology, to - from} do
        {:tree, steps} when steps > 0 -> fn _ -> Node.tell(how, 0, relay) end
        {:ring, 2} -> fn state -> Node.tell(how, Node.next(state), relay) end
        _next_to_it -> fn _ -> Node.tell(how, to, {:message, from, :message}) end
      end

    member(Enum.at(nodes, from), [Enum.at(nodes, to)], count, send)
  end

  defp all_by_hand(nodes, topology, from, count, how) do
    round = {:round, how, from, :message}

    send =
      case {topology, from} do
        {:ring, _} -> fn state -> Node.tell(how, Node.next(state), round) end
        {:tree, 2} -> fn _ -> Node.tell(how, 0, {:relay, how, from, :all, :message}) end
        _straight -> fn _ -> Node.dispatch(how, {:message, from, :message}, from) end
      end

    member(Enum.at(nodes, from), List.delete_at(nodes, from), count, send)
  end

  # Has the process send, and waits for those who are to get it.
  defp member(from, to, count, fun) do
    to = List.wrap(to)

    fn ->
      for pid <- to, do: Node.expect(pid, count)
      Node.inside(from, fn state -> repeat(count, fn -> fun.(state) end) end)
      Enum.each(to, &handled/1)
    end
  end

  # What all of them share

  defp ecosystem(topology, more \\ []) do
    config = [coordinator: Node, workers: {Node, count: @workers}, topology: topology]
    {:ok, ecosystem} = Processes.spawn_ecosystem(config ++ more)
    ecosystem
  end

  defp handled(pid), do: receive(do: ({:handled, ^pid} -> :ok))

  defp repeat(0, _fun), do: :ok

  defp repeat(left, fun) do
    fun.()
    repeat(left - 1, fun)
  end

  # Messages a second of each candidate, the first of which is theirs.
  defp rates(title, messages, candidates) do
    for {_name, fun} <- candidates, do: fun.()

    rates =
      for _ <- 1..@rounds, {name, fun} <- candidates do
        begun = System.monotonic_time(:nanosecond)
        fun.()
        {name, messages * 1.0e9 / (System.monotonic_time(:nanosecond) - begun)}
      end

    rates = Enum.group_by(rates, &elem(&1, 0), &elem(&1, 1))
    IO.puts("\n#{title}: messages a second, median (most)")

    for {name, _fun} <- candidates do
      {median, most} = {Bench.median(rates[name]), Enum.max(rates[name])}
      IO.puts("  #{String.pad_trailing(name, 26)}#{thousands(median)} (#{thousands(most)})")
      median
    end
  end

  defp thousands(rate), do: String.pad_leading("#{round(rate / 1_000)} K", 8)

  # Straight, there is one of theirs; by names, two.
  defp ratios([theirs, ours, sampled], name) do
    Bench.ratio("messages_#{name}", ours / theirs)
    Bench.ratio("messages_#{name}_sampled", sampled / theirs)
  end

  defp ratios([registry, atom, ours, other], name) do
    Bench.ratio("messages_#{name}", ours / registry)
    Bench.ratio("messages_#{name}_atom", ours / atom)
    suffix = if name == "cross", do: "struct", else: "sampled"
    Bench.ratio("messages_#{name}_#{suffix}", other / registry)
  end
end

messages =
  case System.argv() do
    [] -> 200_000
    [messages] -> String.to_integer(messages)
  end

Bench.Ecosystem.Messages.run(messages)
