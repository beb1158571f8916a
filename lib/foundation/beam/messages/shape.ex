defmodule Foundation.BEAM.Messages.Shape do
  @moduledoc false

  # The shapes that a packed message can have, and what can be done with any of them:
  #
  #     {:ets_ref, handle, :foundation_message_cache}   the term is held by SharedTerm
  #     {:shared_binary, binary}                        the term is in the binary, which says how
  #     anything else                                   the term itself

  alias Foundation.BEAM.{Compression, SharedTerm, Term.Path}
  alias Foundation.Error
  alias Foundation.Telemetry.Dispatch

  @table :foundation_message_cache
  # The longest that a receive takes.
  @longest_timeout 0xFFFFFFFF
  @expired [:foundation, :messages, :expired]

  @type t ::
          {:ets_ref, reference(), :foundation_message_cache} | {:shared_binary, binary()} | term()

  @doc "The message for a handle."
  @spec reference(reference()) :: t()
  def reference(handle), do: {:ets_ref, handle, @table}

  @doc "The message for an encoded term."
  @spec binary(binary()) :: t()
  def binary(binary), do: {:shared_binary, binary}

  @doc "The whole term."
  @spec open(t(), map()) :: {:ok, term()} | {:error, Error.t()}
  def open({:ets_ref, handle, @table}, _opts) when is_reference(handle) do
    handle |> SharedTerm.fetch() |> tell_expired()
  end

  def open({:shared_binary, binary}, opts) when is_binary(binary) do
    Compression.unpack_term(binary, max_size: opts.max_size, safe: opts.safe)
  end

  def open(message, _opts), do: {:ok, message}

  @doc "The part of the term at the end of the path."
  @spec read(t(), [term()], map()) :: {:ok, term()} | {:error, Error.t()}
  def read({:ets_ref, handle, @table}, path, _opts) when is_reference(handle) do
    handle |> SharedTerm.fetch_in(path) |> tell_expired()
  end

  def read(message, path, opts) do
    with {:ok, term} <- open(message, opts), do: Path.fetch(term, path)
  end

  @doc "Opens the caller's next message."
  @spec receive_next(timeout(), map()) :: {:ok, term()} | {:error, Error.t()}
  def receive_next(timeout, opts)
      when timeout == :infinity or (is_integer(timeout) and timeout in 0..@longest_timeout) do
    receive do
      message -> message |> open(opts) |> keep(message)
    after
      timeout ->
        {:error, Error.new(:timeout, "no message in #{timeout} ms", %{timeout: timeout})}
    end
  end

  def receive_next(timeout, _opts) do
    raise ArgumentError,
          "invalid timeout in Messages.receive_optimized/2: expected milliseconds " <>
            "(0 to #{@longest_timeout}) or :infinity, got: #{Foundation.Options.given(timeout)}"
  end

  # It has left the mailbox: without this, what cannot be opened would be lost.
  defp keep({:error, %Error{context: context} = error}, message),
    do: {:error, %{error | context: Map.put(context, :message, message)}}

  defp keep(opened, _message), do: opened

  @doc "Lets go of what the message holds outside the processes."
  @spec release(t()) :: :ok | {:error, Error.t()}
  def release({:ets_ref, handle, @table}) when is_reference(handle),
    do: SharedTerm.release(handle)

  def release(_message), do: :ok

  defp tell_expired({:error, %Error{error_type: :expired}} = expired) do
    Dispatch.execute(@expired, %{count: 1}, %{destination: self(), reason: :expired})
    expired
  end

  defp tell_expired(result), do: result
end
