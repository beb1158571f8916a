defmodule Foundation.Application do
  @moduledoc false

  use Application

  @impl true
  def start(_type, _args) do
    Foundation.Native.Loader.ensure!()

    Supervisor.start_link([Foundation.Janitor],
      strategy: :one_for_one,
      name: Foundation.Supervisor
    )
  end
end
