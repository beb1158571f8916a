defmodule Foundation.BEAM.Memory.Origin do
  @moduledoc false

  # What a process was started with, without a copy of what it keeps.

  @doc """
  What a process of OTP's was started with, or `nil`.

  It is in the process's dictionary, of which OTP 26.2 and newer give a single entry. The whole, which
  `:proc_lib.translate_initial_call/1` asks for, never is: it would be copied, however large it is,
  and what is in it twice, twice.
  """
  # OTP 25's contract does not have it.
  @dialyzer {:nowarn_function, started: 1}
  @spec started(pid()) :: mfa() | nil
  def started(pid) do
    case :erlang.process_info(pid, {:dictionary, :"$initial_call"}) do
      {{:dictionary, _key}, {_module, _function, _arity} = call} -> call
      _ -> nil
    end
  rescue
    ArgumentError -> nil
  end
end
