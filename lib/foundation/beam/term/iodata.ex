defmodule Foundation.BEAM.Term.Iodata do
  @moduledoc false

  # Binaries of iolists. An iolist can share its parts over and over: `[x | x]` sixty levels deep takes
  # a kilobyte and is never flattened to its end, and one of a large binary needs more memory than there
  # is. So it is measured first, by a walk that ends at a limit; a binary is there already.

  alias Foundation.BEAM.Term.Size
  alias Foundation.{Error, Options}

  # Of list cells and binaries, parts met twice counted twice, as for terms.
  @max_size 1_073_741_824

  @doc "The binary of iodata; what is none raises `ArgumentError`, in which `where` names the function."
  @spec binary(iodata(), String.t(), pos_integer()) :: {:ok, binary()} | {:error, Error.t()}
  def binary(data, where, max_size \\ @max_size)
  def binary(data, _where, _max_size) when is_binary(data), do: {:ok, data}

  def binary(data, where, max_size) when is_list(data) do
    case Size.measure(data, max_size) do
      %{complete?: true} -> {:ok, IO.iodata_to_binary(data)}
      %{complete?: false} -> too_large(max_size)
    end
  catch
    # Not rescued: that would have a sentence written about the data.
    :error, :badarg -> invalid!(data, where)
  end

  def binary(data, where, _max_size), do: invalid!(data, where)

  defp too_large(max_size) do
    text = "the iolist has more than #{max_size} bytes of list cells and binaries"
    {:error, Error.new(:too_large, text, %{max_size: max_size})}
  end

  defp invalid!(data, where) do
    raise ArgumentError,
          "expected a binary or an iolist as data in #{where}, got: #{Options.given(data)}"
  end
end
