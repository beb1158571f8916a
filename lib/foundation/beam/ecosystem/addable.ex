defmodule Foundation.BEAM.Ecosystem.Addable do
  @moduledoc false

  # What `EcosystemSupervisor.add_worker/3` takes, and what it raises for all else.

  alias Foundation.BEAM.Ecosystem.Config
  alias Foundation.Options

  @spec check!(term(), term()) :: :ok
  def check!(module, opts) do
    (is_atom(module) && Code.ensure_loaded?(module) && function_exported?(module, :start_link, 1)) ||
      invalid!("module", "a module that exports start_link/1", module)

    Keyword.keyword?(opts) || invalid!("options", "a keyword list", opts)
    not_reserved!(opts)

    case opts[:spawn_opt] do
      given when given in [nil, false] -> :ok
      true -> function_exported?(module, :start_link, 2) || takes_none!(module)
      other -> invalid!("option :spawn_opt", "true or false", other)
    end

    :ok
  end

  defp not_reserved!(opts) do
    # `add_worker/3` adds one.
    count = for {:count, _} <- opts, do: "option :count is none of add_worker/3, which adds one"

    case Config.reserved(opts, fn -> "add_worker/3" end) ++ Enum.uniq(count) do
      [] -> :ok
      faults -> raise ArgumentError, Enum.join(faults, "; ")
    end
  end

  @spec takes_none!(module()) :: no_return()
  defp takes_none!(module),
    do: invalid!("module", "one that exports start_link/2, as :spawn_opt says", module)

  @spec invalid!(String.t(), String.t(), term()) :: no_return()
  defp invalid!(name, expected, given) do
    raise ArgumentError, "invalid #{name}: expected #{expected}, got: #{Options.given(given)}"
  end
end
