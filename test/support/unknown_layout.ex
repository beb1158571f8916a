defmodule Foundation.UnknownLayout do
  @moduledoc """
  `setup do: Foundation.UnknownLayout.start()` gives a test `peer`, a VM with this code whose terms the
  trial at load does not recognise: terms are read by the interface alone there.
  """

  def start do
    paths = Enum.flat_map(:code.get_path(), &[~c"-pa", &1])

    {:ok, peer, _node} =
      :peer.start_link(%{
        connection: :standard_io,
        env: [{~c"FOUNDATION_NIF_LAYOUT", ~c"unknown"}],
        args: paths,
        wait_boot: 60_000
      })

    {:ok, _} = :peer.call(peer, :application, :ensure_all_started, [:foundation], 30_000)
    %{peer: peer}
  end
end
