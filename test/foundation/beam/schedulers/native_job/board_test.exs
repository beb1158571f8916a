defmodule Foundation.BEAM.Schedulers.NativeJob.BoardTest do
  use ExUnit.Case, async: true

  alias Foundation.BEAM.Schedulers.NativeJob.Board

  test "parts that have told nothing count as many units as the largest that has" do
    board = Board.new(4)
    Board.put(board, 0, 10, 100)
    assert Board.figures(board) == {10, 400}
    Board.put(board, 1, 20, 101)
    assert Board.figures(board) == {30, 100 + 3 * 101}
    Board.done(board, 2)
    assert Board.figures(board) == {10 + 20 + 101, 100 + 3 * 101}
    Board.done(board, 0)
    assert Board.figures(board) == {100 + 20 + 101, 100 + 3 * 101}
  end

  test "where none has, each counts as one" do
    board = Board.new(3)
    assert Board.figures(board) == {0, 3}
    Board.done(board, 1)
    assert Board.figures(board) == {1, 3}
  end
end
