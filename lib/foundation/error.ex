defmodule Foundation.Error do
  @moduledoc """
  What goes wrong in the world, as a value: the process is gone, the term has expired, the data is
  too large.

  Functions return it as `{:error, %Foundation.Error{}}`; those that end in `!` raise it. A mistake
  in the call itself (an unknown option, a value of the wrong type) raises `ArgumentError` instead.

    * `error_type` is the atom to match on; every function's documentation lists those it returns.
    * `message` is one sentence for people.
    * `context` holds the figures behind it, each under its own key.

  ## Example

      iex> error = Foundation.Error.new(:too_large, "the result exceeds 10 bytes", %{max_size: 10})
      iex> error.error_type
      :too_large
      iex> Exception.message(error)
      "the result exceeds 10 bytes"
  """

  @enforce_keys [:error_type, :message]
  defexception [:error_type, :message, context: %{}]

  @type t :: %__MODULE__{error_type: atom(), message: String.t(), context: map()}

  @typedoc "What a NIF returns for a fault: the reason, the sentence written where it was found, the figures."
  @type native :: {atom(), String.t()} | {atom(), String.t(), map()}

  @doc """
  Makes an error.

      iex> Foundation.Error.new(:expired, "the shared term has expired").context
      %{}
  """
  @spec new(atom(), String.t(), map()) :: t()
  def new(error_type, message, context \\ %{})
      when is_atom(error_type) and is_binary(message) and is_map(context) do
    %__MODULE__{error_type: error_type, message: message, context: context}
  end

  @doc """
  Turns what a NIF returned into what a user gets: faults become `{:error, %Foundation.Error{}}`,
  the rest stays.

      iex> Foundation.Error.wrap({:error, {:released, "the shared term was released"}})
      {:error, %Foundation.Error{error_type: :released, message: "the shared term was released"}}

      iex> Foundation.Error.wrap({:ok, 1})
      {:ok, 1}
  """
  @spec wrap({:error, native()} | result) :: {:error, t()} | result when result: term()
  def wrap({:error, {error_type, message}}), do: {:error, new(error_type, message)}

  def wrap({:error, {error_type, message, context}}),
    do: {:error, new(error_type, message, context)}

  def wrap(result), do: result

  @doc """
  The value of `{:ok, value}`, or raises the error.

      iex> Foundation.Error.unwrap!({:ok, :value})
      :value
  """
  @spec unwrap!({:ok, value} | {:error, t()}) :: value when value: term()
  def unwrap!({:ok, value}), do: value
  def unwrap!({:error, %__MODULE__{} = error}), do: raise(error)
end
