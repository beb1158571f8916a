defmodule Foundation.BEAM.Messages.Decision do
  @moduledoc false

  # The documented policy: the first rule that holds chooses.
  #
  # | rule | holds when | strategy |
  # |---|---|---|
  # | `:small_high_priority` | size < 1,024 and `priority: :high` | `:direct` |
  # | `:large` | size > 10,240 | `:ets_reference` |
  # | `:frequent` | `frequency` is `:frequent` or `:continuous` | `:binary_sharing` |
  # | `:flow_control` | `flow_control: true` | `:flow_controlled` |
  # | `:medium` | size > 1,024 | `:binary_sharing` |
  # | `:small` | always | `:direct` |

  alias Foundation.BEAM.Messages.Strategy

  @small 1024
  @large 10_240

  @type rule :: :small_high_priority | :large | :frequent | :flow_control | :medium | :small

  @doc "Past this size nothing more needs to be known: the walk over the term stops."
  @spec limit() :: pos_integer()
  def limit, do: @large

  @doc "The strategy for a size in bytes (heap and binaries together), and the rule that chose it."
  @spec decide(non_neg_integer(), map()) :: {Strategy.name(), rule()}
  def decide(size, opts) do
    cond do
      size < @small and opts.priority == :high -> {:direct, :small_high_priority}
      size > @large -> {:ets_reference, :large}
      opts.frequency in [:frequent, :continuous] -> {:binary_sharing, :frequent}
      opts.flow_control -> {:flow_controlled, :flow_control}
      size > @small -> {:binary_sharing, :medium}
      true -> {:direct, :small}
    end
  end
end
