defmodule Foundation.Online do
  @moduledoc "For tests that take schedulers offline."

  alias Foundation.Eventually

  @doc """
  How many schedulers are online, and will be after the test, dirty ones too. The VM takes its time: what came
  next would find fewer of them, and leave it at that.
  """
  def again do
    {online, dirty} = before = counts()

    ExUnit.Callbacks.on_exit(fn ->
      :erlang.system_flag(:schedulers_online, online)
      # With fewer of the others there are fewer of these.
      :erlang.system_flag(:dirty_cpu_schedulers_online, dirty)
      true = Eventually.eventually?(fn -> counts() == before end)
    end)

    online
  end

  defp counts,
    do: {System.schedulers_online(), :erlang.system_info(:dirty_cpu_schedulers_online)}
end
