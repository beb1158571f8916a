defmodule Foundation.BEAM.Messages.Choice do
  @moduledoc false

  # Which strategy, under either policy, for the receivers of one scope (this node, or others).

  alias Foundation.BEAM.Messages.{CostModel, Decision, Policy, Strategy}
  alias Foundation.BEAM.Term.Size

  @type scope :: :local | :remote
  @type t :: %{
          :strategy => Strategy.name(),
          :rule => atom(),
          :policy => Policy.t() | nil,
          :compression => Strategy.compression(),
          optional(:costs) => CostModel.costs()
        }

  @doc "The policy of the options, or of the configuration."
  @spec policy(map()) :: Policy.t()
  def policy(%{policy: nil}), do: Policy.default()
  def policy(%{policy: policy}), do: policy

  @doc "As much of the term's size as the policy needs."
  @spec measure(term(), Policy.t()) :: map()
  def measure(data, :documented), do: Size.measure(data, Decision.limit())
  def measure(data, :adaptive), do: Size.measure(data, CostModel.limit())

  @doc "The choice; `strategy:` in the options is taken as it is."
  @spec choose(map() | nil, Policy.t(), map(), scope(), pos_integer()) :: t()
  def choose(_size, policy, %{strategy: forced} = opts, scope, _receivers) when forced != nil do
    chosen(on(scope, forced), :forced, policy, opts.compression)
  end

  def choose(size, :documented, opts, scope, _receivers) do
    {strategy, rule} = Decision.decide(size.heap_bytes + size.binary_bytes, opts)
    chosen(on(scope, strategy), rule, :documented, opts.compression)
  end

  def choose(size, :adaptive, opts, scope, receivers) do
    audience = %{
      scope: scope,
      receivers: receivers,
      reads: opts.reads,
      compression: opts.compression
    }

    case CostModel.cheapest(size, audience) do
      {:direct, level, costs} when opts.flow_control ->
        chosen(:flow_controlled, :flow_control, :adaptive, level, costs)

      {strategy, level, costs} ->
        chosen(strategy, :least_cost, :adaptive, level, costs)
    end
  end

  # A handle means nothing on another node.
  defp on(:remote, :ets_reference), do: :binary_sharing
  defp on(_scope, strategy), do: strategy

  defp chosen(strategy, rule, policy, level) do
    %{strategy: strategy, rule: rule, policy: policy, compression: level || :default}
  end

  defp chosen(strategy, rule, policy, level, costs) do
    strategy |> chosen(rule, policy, level) |> Map.put(:costs, costs)
  end
end
