defmodule Foundation.BEAM.Schedulers.Slots.QueueTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers.Slots.Queue

  # Of four schedulers, and of two.
  @four {3, 4}
  @two {1, 2}

  # Each wish is `{job, id}`; who was granted, in order.
  defp all_want(wishes, limits) do
    Enum.reduce(wishes, {Queue.new(), []}, fn {job, id}, {queue, granted} ->
      {queue, more} = Queue.want(queue, job, id, limits)
      {queue, granted ++ more}
    end)
  end

  test "one job alone has a slot at once, and no pressure" do
    {queue, granted} = Queue.want(Queue.new(), :a, 1, @two)
    assert granted == [1]
    assert Queue.pressure(queue) == 0
    assert {queue, [1]} = Queue.want(queue, :a, 1, @two)
    assert Queue.drop(queue, 1, @two) == {%{Queue.new() | ticket: queue.ticket}, []}
  end

  test "jobs have slots up to the limit; the rest wait, in the order in which they came" do
    {queue, granted} = all_want([a: 1, b: 2, c: 3, d: 4, e: 5], @four)
    assert granted == [1, 2, 3]
    assert Queue.pressure(queue) == 2
    assert {queue, [4]} = Queue.drop(queue, 2, @four)
    assert {queue, [5]} = Queue.drop(queue, 1, @four)
    assert Queue.pressure(queue) == 0
    assert {_queue, []} = Queue.drop(queue, 3, @four)
  end

  test "who gives a slot back and wants another stands behind all who wait" do
    {queue, [1]} = all_want([a: 1, b: 2, c: 3], @two)
    {queue, [2]} = Queue.want(queue, :a, 1, @two)
    {queue, [3]} = Queue.want(queue, :b, 2, @two)
    {queue, [1]} = Queue.want(queue, :c, 3, @two)
    assert {_queue, [2]} = Queue.want(queue, :a, 1, @two)
  end

  test "parts of a job that is alone have all slots" do
    {queue, granted} = all_want(for(id <- 1..6, do: {:a, id}), @four)
    assert granted == [1, 2, 3, 4]
    assert Queue.pressure(queue) == 0
    assert {_queue, [5]} = Queue.drop(queue, 2, @four)
  end

  test "beside another job, parts of a job have one slot at a time, in turn" do
    {queue, [1, 2]} = all_want([a: 1, a: 2], @two)
    {queue, []} = Queue.want(queue, :b, 10, @two)
    assert Queue.pressure(queue) > 0
    # Both give theirs back, before the other job has one: two slots are for one that is alone.
    {queue, []} = Queue.want(queue, :a, 1, @two)
    assert Queue.pressure(queue) > 0
    {queue, [10]} = Queue.want(queue, :a, 2, @two)
    # From now on they alternate, and so do the parts.
    {queue, [1]} = Queue.want(queue, :b, 10, @two)
    {queue, [10]} = Queue.want(queue, :a, 1, @two)
    {queue, [2]} = Queue.want(queue, :b, 10, @two)
    {queue, [10]} = Queue.want(queue, :a, 2, @two)
    # With the other one gone, both have slots again.
    assert {queue, [1, 2]} = Queue.drop(queue, 10, @two)
    assert Queue.pressure(queue) == 0
  end

  test "a job that has more than one slot beside others gives up all but one" do
    {queue, [1, 2, 3, 4]} = all_want(for(id <- 1..4, do: {:a, id}), @four)
    {queue, []} = Queue.want(queue, :b, 10, @four)
    {queue, []} = Queue.want(queue, :a, 1, @four)
    {queue, [10]} = Queue.want(queue, :a, 2, @four)
    # The other job has its slot, and still there is something to give back.
    assert Queue.pressure(queue) > 0
    {queue, []} = Queue.want(queue, :a, 3, @four)
    assert Queue.pressure(queue) == 0
    # The third slot stays free for another job.
    assert {queue, [20]} = Queue.want(queue, :c, 20, @four)
    assert Queue.pressure(queue) == 0
  end

  test "who waits and is dropped is as if it had never asked" do
    {queue, [1]} = all_want([a: 1, b: 2, c: 3], @two)
    assert {queue, []} = Queue.drop(queue, 2, @two)
    assert Queue.pressure(queue) == 1
    assert {_queue, [3]} = Queue.drop(queue, 1, @two)
  end

  test "one part that is dropped leaves its job where it stands" do
    {queue, [1]} = all_want([a: 1, b: 2, b: 3, c: 4], @two)
    assert {queue, []} = Queue.drop(queue, 2, @two)
    assert {_queue, [3]} = Queue.drop(queue, 1, @two)
  end

  test "what is not known is dropped without effect" do
    assert Queue.drop(Queue.new(), :x, @two) == {Queue.new(), []}
  end

  test "slots that appear are handed out, those that vanish are not" do
    {queue, [1]} = all_want([a: 1, b: 2, c: 3], @two)
    assert {queue, [2, 3]} = Queue.drop(queue, :nobody, @four)
    assert {queue, []} = Queue.want(queue, :a, 1, @two)
    assert {queue, []} = Queue.drop(queue, 2, @two)
    assert {_queue, [1]} = Queue.drop(queue, 3, @two)
  end

  test "a hundred short jobs beside two long ones wait for one slice of these at the most" do
    {queue, granted} = all_want([long: 1, longer: 2] ++ for(id <- 3..102, do: {id, id}), @two)
    order = run(queue, granted, [])

    # Short ones want one slice, in the order in which they came; between two of them comes nothing.
    assert Enum.slice(order, 0, 102) == Enum.to_list(1..102)
    assert Enum.slice(order, 102, 6) == [1, 2, 1, 2, 1, 2]
  end

  # One slot: whoever has it runs a slice; the long ones never end, the others after one.
  defp run(_queue, _granted, order) when length(order) == 110, do: Enum.reverse(order)

  defp run(queue, [id], order) when id <= 2 do
    {queue, granted} = Queue.want(queue, if(id == 1, do: :long, else: :longer), id, @two)
    run(queue, granted, [id | order])
  end

  defp run(queue, [id], order) do
    {queue, granted} = Queue.drop(queue, id, @two)
    run(queue, granted, [id | order])
  end

  test "whatever happens in whatever order: no slot too many, none idle, nobody forgotten" do
    :rand.seed(:exsss, {4, 5, 6})

    for limits <- [@two, @four, {1, 1}], _ <- 1..60 do
      Enum.reduce(1..150, {Queue.new(), MapSet.new()}, fn _, {queue, held} ->
        id = :rand.uniform(12)
        job = rem(id, 5)

        {queue, held} =
          if :rand.uniform(3) == 1,
            do: step(Queue.drop(queue, id, limits), MapSet.delete(held, id)),
            else: step(Queue.want(queue, job, id, limits), MapSet.delete(held, id))

        check(queue, held, limits)
        {queue, held}
      end)
    end
  end

  defp step({queue, granted}, held) do
    assert Enum.all?(granted, &(&1 not in held))
    {queue, MapSet.union(held, MapSet.new(granted))}
  end

  defp check(queue, held, {shared, all}) do
    jobs = queue.members |> Map.values() |> Enum.map(&elem(&1, 0)) |> Enum.uniq() |> length()
    waiting = map_size(queue.members) - MapSet.size(held)
    held_jobs = held |> Enum.map(&rem(&1, 5)) |> Enum.uniq() |> length()
    assert queue.held == MapSet.size(held) and queue.held <= all

    # Others wait only where the slots are taken; what a job has beyond one, it is told to give back.
    if jobs > 1 and jobs > held_jobs, do: assert(queue.held >= shared)
    if jobs == 1 and waiting > 0, do: assert(queue.held == all)
    surplus = if jobs > 1, do: queue.held - held_jobs, else: 0
    assert Queue.pressure(queue) == jobs - held_jobs + surplus
    if waiting == 0 and surplus == 0, do: assert(Queue.pressure(queue) == 0)
  end

  test "a step takes about as long with ten thousand who wait as with a few hundred" do
    assert steps(10_000) < 4 * steps(300)
  end

  # In a process that has room enough: collections count as reductions, and a large heap takes more.
  defp steps(waiting) do
    test = self()

    body = fn ->
      {queue, _} = all_want(for(id <- 1..waiting, do: {id, id}), @two)
      {_queue, reductions} = Foundation.BEAM.Schedulers.reductions(fn -> work(queue, waiting) end)
      send(test, {:reductions, reductions})
    end

    :erlang.spawn_opt(body, [:link, min_heap_size: 30_000_000])
    assert_receive {:reductions, reductions}, 30_000
    reductions
  end

  defp work(queue, waiting) do
    Enum.reduce(1..100, queue, fn id, queue ->
      {queue, _} = Queue.want(queue, id, id, @two)
      {queue, _} = Queue.drop(queue, waiting - id, @two)
      queue
    end)
  end
end
