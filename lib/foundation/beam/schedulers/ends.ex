defmodule Foundation.BEAM.Schedulers.Ends do
  @moduledoc false

  # What ends work before it is done: its time, and whoever cancels it.

  alias Foundation.BEAM.Schedulers.Cancel
  alias Foundation.Error

  defstruct [:cancel, :deadline]

  @type t :: %__MODULE__{cancel: Cancel.t() | nil, deadline: integer() | nil}

  @typedoc "Which of them did."
  @type verdict :: :cancelled | :timeout

  @doc "The option of that name, for schemas of `Foundation.Options`."
  @spec option(:timeout | :cancel) :: keyword()
  def option(:timeout) do
    [
      type: :timeout,
      default: :infinity,
      doc: "Milliseconds after which the work is ended."
    ]
  end

  def option(:cancel) do
    [
      type:
        {:custom, "a handle that Schedulers.cancel_handle/0 has made on this node",
         &Cancel.handle?/1},
      doc: "A handle of `cancel_handle/0`, by which `cancel/1` ends the work."
    ]
  end

  @doc "From now on, by the options of that name."
  @spec new(%{:timeout => timeout(), :cancel => Cancel.t() | nil, optional(atom()) => term()}) ::
          t()
  def new(%{timeout: timeout, cancel: cancel}) do
    %__MODULE__{cancel: cancel, deadline: if(timeout != :infinity, do: now() + timeout)}
  end

  @doc "For work that others end."
  @spec never() :: t()
  def never, do: %__MODULE__{}

  @doc "Whether it is time."
  @spec check(t()) :: :ok | verdict()
  def check(%__MODULE__{cancel: cancel} = ends) do
    cond do
      Cancel.cancelled?(cancel) -> :cancelled
      left_ms(ends) == 0 -> :timeout
      true -> :ok
    end
  end

  @doc "Milliseconds until the time is over, as `receive` takes them."
  @spec left_ms(t()) :: timeout()
  def left_ms(%__MODULE__{deadline: nil}), do: :infinity

  def left_ms(%__MODULE__{deadline: deadline}) when is_integer(deadline),
    do: max(deadline - now(), 0)

  # Who waits is no process of ours, and so cannot be told of a cancellation without a link or a message
  # that may stay. It looks: so often that work which waits ends as soon as work which runs.
  @look_ms 3

  @doc "How long to wait before `check/1` has to be asked again."
  @spec look_ms(t()) :: timeout()
  def look_ms(%__MODULE__{cancel: nil} = ends), do: left_ms(ends)
  def look_ms(ends), do: min(left_ms(ends), @look_ms)

  @doc "What the user gets."
  @spec error(verdict(), timeout()) :: {:error, Error.t()}
  def error(:cancelled, _timeout), do: {:error, Error.new(:cancelled, "the work was cancelled")}

  def error(:timeout, timeout) do
    text = "the work was not done within #{timeout} ms"
    {:error, Error.new(:timeout, text, %{timeout: timeout})}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
