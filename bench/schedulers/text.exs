# A text for benches: words of a made-up language, drawn by Zipf's law (the word of rank k about 1/k
# times as often as the first), a dozen a line. The same seed makes the same text.

defmodule Bench.Schedulers.Text do
  @vocabulary 50_000
  @seed 5
  @words_a_line 12

  @doc "A text of that many bytes."
  def make(bytes) do
    {words, state} =
      Enum.map_reduce(1..@vocabulary, :rand.seed_s(:exsss, @seed), fn rank, state ->
        {extra, state} = :rand.uniform_s(3, state)
        word(<<>>, 1 + extra + trunc(:math.log(rank) / 3), state)
      end)

    write(<<>>, 1, bytes, List.to_tuple(words), state)
  end

  @doc "The word of the first rank: it may be drawn for several."
  def most_frequent(text) do
    {word, _count} = text |> String.split() |> Enum.frequencies() |> Enum.max_by(&elem(&1, 1))
    word
  end

  # Frequent words are shorter.
  defp word(word, 0, state), do: {word, state}

  defp word(word, left, state) do
    {letter, state} = :rand.uniform_s(26, state)
    word(<<word::binary, ?a + letter - 1>>, left - 1, state)
  end

  defp write(text, _count, bytes, _words, _state) when byte_size(text) >= bytes,
    do: :binary.copy(binary_part(text, 0, bytes))

  # The logarithm of the rank is drawn evenly: that is Zipf's law.
  defp write(text, count, bytes, words, state) do
    {share, state} = :rand.uniform_s(state)
    rank = trunc(:math.pow(@vocabulary, share))
    space = if rem(count, @words_a_line) == 0, do: ?\n, else: ?\s
    word = elem(words, rank - 1)
    write(<<text::binary, word::binary, space>>, count + 1, bytes, words, state)
  end
end
