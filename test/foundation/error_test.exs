defmodule Foundation.ErrorTest do
  use ExUnit.Case, async: true
  doctest Foundation.Error

  alias Foundation.Error

  test "is an exception whose message is the sentence" do
    error = Error.new(:expired, "the shared term has expired", %{age: 5})

    assert error == %Error{
             error_type: :expired,
             message: "the shared term has expired",
             context: %{age: 5}
           }

    assert_raise Error, "the shared term has expired", fn -> raise error end
  end

  test "cannot be made without its type and its sentence" do
    assert_raise ArgumentError, ~r/error_type.*message/, fn -> struct!(Error, %{}) end
    assert_raise FunctionClauseError, fn -> Error.new("expired", "text") end
    assert_raise FunctionClauseError, fn -> Error.new(:expired, :text) end
    assert_raise FunctionClauseError, fn -> Error.new(:expired, "text", age: 5) end
  end

  test "wrap makes faults of NIFs errors, with and without figures" do
    assert Error.wrap({:error, {:expired, "text"}}) == {:error, Error.new(:expired, "text")}

    assert Error.wrap({:error, {:too_large, "text", %{limit: 5}}}) ==
             {:error, Error.new(:too_large, "text", %{limit: 5})}
  end

  test "wrap leaves everything else as it is" do
    for result <- [:ok, {:ok, 1}, :error, {:error, :not_found}, {:error, Error.new(:a, "b")}, nil] do
      assert Error.wrap(result) == result
    end
  end

  test "unwrap! gives the value or raises that error" do
    assert Error.unwrap!({:ok, nil}) == nil
    error = Error.new(:expired, "text", %{age: 5})
    assert catch_error(Error.unwrap!({:error, error})) == error
  end
end
