defmodule Foundation.BEAM.Schedulers.Cancel do
  @moduledoc false

  # A handle by which work is cancelled: a flag that costs nanoseconds to read, which the garbage
  # collector frees with its last holder, and a name under which whoever waits can be told.
  #
  # Nobody misses a cancellation: a waiting process registers, then reads the flag; `cancel/1` sets
  # the flag, then tells those that have registered, by the alias that each waits with.

  @enforce_keys [:flag]
  defstruct [:flag]

  @type t :: %__MODULE__{flag: :atomics.atomics_ref()}

  @doc "The registry of those who wait, for the supervisor."
  @spec registry() :: {module(), keyword()}
  def registry, do: {Registry, keys: :duplicate, name: __MODULE__}

  @spec new() :: t()
  def new, do: %__MODULE__{flag: :atomics.new(1, signed: false)}

  # That a reference is one of atomics is what Dialyzer is not to know.
  @dialyzer {:nowarn_function, handle?: 1, flag?: 1}

  @doc "Whether the term is a handle that can be used here."
  @spec handle?(term()) :: boolean()
  def handle?(%__MODULE__{flag: flag}) when is_reference(flag), do: flag?(flag)
  def handle?(_term), do: false

  # A reference may be another node's, or have come back from a file after its flag was freed: only
  # the VM can tell.
  defp flag?(flag) do
    _number = :atomics.get(flag, 1)
    true
  rescue
    ArgumentError -> false
  end

  @spec cancel(t()) :: :ok
  def cancel(%__MODULE__{flag: flag}) do
    :atomics.put(flag, 1, 1)
    tell(flag)
  end

  defp tell(flag) do
    Registry.dispatch(__MODULE__, flag, fn waiting ->
      for {_pid, alias} <- waiting, do: send(alias, {alias, :cancelled})
    end)
  rescue
    # The registry is being restarted: it knows nobody. Who waits registers again, and reads the flag.
    ArgumentError -> :ok
  end

  @doc "Whether it was cancelled; no handle never is."
  @spec cancelled?(t() | nil) :: boolean()
  def cancelled?(nil), do: false
  def cancelled?(%__MODULE__{flag: flag}), do: :atomics.get(flag, 1) != 0

  @doc "From now on `{alias, :cancelled}` comes when it is cancelled, also if it was before."
  @spec await(t() | nil, reference()) :: :ok
  def await(nil, _alias), do: :ok

  def await(%__MODULE__{flag: flag} = handle, alias) do
    {:ok, _registry} = Registry.register(__MODULE__, flag, alias)
    if cancelled?(handle), do: send(alias, {alias, :cancelled})
    :ok
  end
end
