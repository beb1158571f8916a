defmodule Foundation.Online do
  @moduledoc "For tests that take schedulers offline."

  @doc "How many schedulers are online, and will be after the test. With fewer there are fewer dirty ones."
  def again do
    online = System.schedulers_online()
    dirty = :erlang.system_info(:dirty_cpu_schedulers_online)

    ExUnit.Callbacks.on_exit(fn ->
      :erlang.system_flag(:schedulers_online, online)
      :erlang.system_flag(:dirty_cpu_schedulers_online, dirty)
    end)

    online
  end
end
