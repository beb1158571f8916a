defmodule Foundation.Application do
  @moduledoc false

  use Application

  @impl true
  def start(_type, _args) do
    Foundation.Native.Loader.ensure!()

    children = [
      # Telemetry: first, so that everything after it is heard.
      Foundation.Telemetry.Handlers,
      # Frees what expires: before whatever makes shared terms.
      Foundation.Janitor
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Foundation.Supervisor)
  end
end
