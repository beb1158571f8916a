defmodule Foundation.MessagesPropertyTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes
  use Foundation.Property

  alias Foundation.BEAM.Messages

  @strategies [:direct, :ets_reference, :binary_sharing, :flow_controlled]

  property "what is packed and opened is the same term, by every strategy and compression",
    runs: 200 do
    forall {data, strategy, level} <-
             {data(), oneof(@strategies), oneof([:none, :low, :default, :high])} do
      message = Messages.pack(data, strategy: strategy, compression: level)
      Messages.open(message) === {:ok, data} and Messages.open!(message) === data
    end
  end

  property "what is sent arrives once, under both policies and any choice of options" do
    forall {data, opts} <- {data(), options()} do
      {:ok, _} = Messages.send_optimized([self(), self()], data, opts)
      got = for _ <- 1..2, do: Messages.receive_optimized(0)
      got === [{:ok, data}, {:ok, data}] and Messages.receive_optimized(0) |> elem(0) == :error
    end
  end

  property "a part read from a message is the part of its data, by every strategy" do
    forall {data, path} <- {data(), list(oneof([integer(0, 3), atom(), any()]))} do
      wanted = Messages.read(data, path) |> outcome()

      Enum.all?([:ets_reference, :binary_sharing], fn strategy ->
        message = Messages.pack(data, strategy: strategy)
        Messages.read(message, path) |> outcome() === wanted
      end)
    end
  end

  # The document's own conditions, in its own order, on the size that measure/2 gives.
  property "the documented decision is the document's" do
    forall {data, opts} <- {sized_data(), options()} do
      %{heap_bytes: heap, binary_bytes: binary} = Messages.measure(data)
      opts = Keyword.delete(opts, :policy)
      Messages.strategy_for(data, opts).strategy == documented(heap + binary, opts)
    end
  end

  property "strategy_for/2, pack/2 and send_optimized/3 agree" do
    forall {data, opts} <- {sized_data(), options()} do
      strategy = Messages.strategy_for(data, opts).strategy
      {:ok, _} = Messages.send_optimized(self(), data, opts)

      sent =
        receive do
          message -> message
        end

      shape(sent) == shape(Messages.pack(data, opts)) and
        shape(sent) == Map.get(%{flow_controlled: :direct}, strategy, strategy)
    end
  end

  property "what a reference saves changes by the same with each further receiver" do
    forall {data, n, reads} <- {sized_data(), integer(1, 1000), oneof([:whole, :part])} do
      costs = fn receivers ->
        Messages.strategy_for(data, policy: :adaptive, receivers: receivers, reads: reads).costs
      end

      saved = fn costs -> costs.direct - costs.ets_reference end
      [one, two, three] = for k <- [n, 2 * n, 3 * n], do: saved.(costs.(k))
      # Each cost is rounded to a nanosecond.
      abs(three - two - (two - one)) <= 4
    end
  end

  property "a buffer delivers all and in order, whatever the limits and the receiver's pace",
    runs: 40 do
    forall {count, max, paces} <-
             {integer(1, 60), integer(1, 10), non_empty(list(integer(0, 50)))} do
      receiver = consumer(paces)
      opts = [backpressure_strategy: :queue, max_queue_size: max]
      results = for n <- 1..count, do: Messages.send_with_backpressure(receiver, {:nr, n}, opts)

      got =
        for _ <- 1..count do
          receive do
            {:read, ^receiver, {:nr, n}} -> n
          after
            30_000 -> :lost
          end
        end

      Process.unlink(receiver)
      Process.exit(receiver, :kill)
      got == Enum.to_list(1..count) and Enum.all?(results, &(elem(&1, 0) in [:ok, :queued]))
    end
  end

  # Lets others run as often as the next pace says before each message that it takes.
  defp consumer(paces) do
    owner = self()

    spawn_link(fn ->
      paces
      |> Stream.cycle()
      |> Enum.each(fn pace ->
        for _ <- 1..pace//1, do: :erlang.yield()

        receive do
          message -> send(owner, {:read, self(), message})
        end
      end)
    end)
  end

  defp documented(size, opts) do
    cond do
      size < 1024 and opts[:priority] == :high -> :direct
      size > 10_240 -> :ets_reference
      opts[:frequency] in [:frequent, :continuous] -> :binary_sharing
      opts[:flow_control] -> :flow_controlled
      size > 1024 -> :binary_sharing
      true -> :direct
    end
  end

  defp shape({:ets_ref, _, :foundation_message_cache}), do: :ets_reference
  defp shape({:shared_binary, _}), do: :binary_sharing
  defp shape(_), do: :direct

  defp outcome({:error, error}), do: error.error_type
  defp outcome(found), do: found

  # Funs and pids are left to the tests of SharedTerm: PropEr's any/0 has neither.
  defp data, do: such_that(any(), &(shape(&1) == :direct))

  # Around the thresholds: elements of 16 bytes, payloads of any length.
  defp sized_data do
    oneof([
      bind(integer(0, 900), &List.duplicate(:a, &1)),
      bind(integer(0, 12_000), &:binary.copy("x", &1)),
      bind({integer(0, 600), integer(0, 9000)}, fn {n, size} ->
        {List.duplicate(1.5, n), :binary.copy("x", size)}
      end)
    ])
  end

  defp options do
    bind(
      list(
        oneof([
          {:frequency, oneof([:once, :frequent, :continuous])},
          {:priority, oneof([:normal, :high])},
          {:flow_control, boolean()},
          {:reads, oneof([:whole, :part])},
          {:policy, oneof([:documented, :adaptive])},
          {:compression, oneof([:none, :low, :default, :high])}
        ])
      ),
      &Enum.uniq_by(&1, fn {name, _} -> name end)
    )
  end
end
