defmodule Foundation.Native do
  @moduledoc false

  # One line a NIF, grouped by the Rust file that holds it, and no logic: this module cannot be
  # reloaded while the VM runs (rustler sets no upgrade callback), so it should rarely change.

  # `autoload: false` keeps the compiler from loading the module before the library is built.
  @compile {:autoload, false}
  @on_load :load

  alias Foundation.Native.Loader

  def load, do: Loader.path() |> :erlang.load_nif(Loader.version()) |> Loader.check()

  # load
  def native_version, do: :erlang.nif_error(:nif_not_loaded)
end
