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
  def native_functions, do: :erlang.nif_error(:nif_not_loaded)

  # measure
  def measure_term(_term, _limit), do: :erlang.nif_error(:nif_not_loaded)
  def measure_term_dirty(_term, _limit), do: :erlang.nif_error(:nif_not_loaded)

  # path
  def path_fetch(_term, _path), do: :erlang.nif_error(:nif_not_loaded)
  def path_fetch_dirty(_term, _path), do: :erlang.nif_error(:nif_not_loaded)

  # shared_term
  def shared_term_new(_term, _ttl, _max_size), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_new_dirty(_term, _ttl, _heap, _binary), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_fetch(_handle), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_fetch_in(_handle, _path), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_take(_handle), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_send(_handle, _request, _reference), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_send_dirty(_handle, _request, _ref), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_release(_handle), do: :erlang.nif_error(:nif_not_loaded)
  def shared_term_info(_handle), do: :erlang.nif_error(:nif_not_loaded)

  # janitor
  def janitor_attend(_pid), do: :erlang.nif_error(:nif_not_loaded)
  def janitor_leave, do: :erlang.nif_error(:nif_not_loaded)
  def janitor_step, do: :erlang.nif_error(:nif_not_loaded)
  def janitor_expire, do: :erlang.nif_error(:nif_not_loaded)

  # memory
  def memory_held, do: :erlang.nif_error(:nif_not_loaded)
  def memory_collect, do: :erlang.nif_error(:nif_not_loaded)
  def memory_collect_here, do: :erlang.nif_error(:nif_not_loaded)

  # leaks
  def leaks_new, do: :erlang.nif_error(:nif_not_loaded)
  def leaks_list(_search, _pid, _list, _young, _old), do: :erlang.nif_error(:nif_not_loaded)
  def leaks_list_dirty(_search, _pid, _list, _young, _old), do: :erlang.nif_error(:nif_not_loaded)
  def leaks_reach(_number, _terms, _limit), do: :erlang.nif_error(:nif_not_loaded)
  def leaks_looked(_search, _pid, _whole), do: :erlang.nif_error(:nif_not_loaded)
  def leaks_again(_search, _pid, _list, _meanwhile), do: :erlang.nif_error(:nif_not_loaded)
  def leaks_report(_search, _least, _most), do: :erlang.nif_error(:nif_not_loaded)
  def leaks_close(_search), do: :erlang.nif_error(:nif_not_loaded)

  # kernels
  def kernels_all, do: :erlang.nif_error(:nif_not_loaded)
  def kernels_now(_name, _kind, _data, _args), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_new(_name, _kind, _data, _args), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_feed(_job, _list), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_split(_job, _parts), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_step(_job, _part), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_run(_job), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_join(_job), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_take(_job, _acc), do: :erlang.nif_error(:nif_not_loaded)
  def kernels_close(_job), do: :erlang.nif_error(:nif_not_loaded)

  # compression
  def compression_compress(_data, _format, _sums), do: :erlang.nif_error(:nif_not_loaded)
  def compression_compress_dirty(_data, _format, _sums), do: :erlang.nif_error(:nif_not_loaded)
  def compression_decompress(_data, _format, _max), do: :erlang.nif_error(:nif_not_loaded)
  def compression_decompress_dirty(_data, _format, _max), do: :erlang.nif_error(:nif_not_loaded)
  def compression_encode(_term, _packing, _sums, _size), do: :erlang.nif_error(:nif_not_loaded)
  def compression_encode_dirty(_term, _packing, _sums), do: :erlang.nif_error(:nif_not_loaded)
  def compression_check_external(_data, _max), do: :erlang.nif_error(:nif_not_loaded)

  # shared_store
  def shared_store_new(_name, _owner, _heir, _limits), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_give_away(_store, _pid), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_close(_store), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_about(_store), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_fetch(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_fetch_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_read(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_read_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_fetch_in(_store, _key, _path), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_fetch_in_dirty(_store, _key, _path), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_send(_store, _key, _request, _ref), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_send_dirty(_stor, _key, _requ, _ref), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_take(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_take_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_version(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_version_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_member(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_member_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_ttl(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_ttl_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_put(_stor, _key, _valu, _ttl, _cond), do: :erlang.nif_error(:nif_not_loaded)

  def shared_store_put_dirty(_stor, _key, _valu, _ttl, _cond, _heap, _bina),
    do: :erlang.nif_error(:nif_not_loaded)

  def shared_store_put_packed(_stor, _key, _bina, _ttl, _cond, _size),
    do: :erlang.nif_error(:nif_not_loaded)

  def shared_store_delete(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_delete_dirty(_store, _key), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_delete_version(_store, _key, _ver), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_delete_version_dirty(_st, _key, _v), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_touch(_store, _key, _ttl), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_touch_dirty(_store, _key, _ttl), do: :erlang.nif_error(:nif_not_loaded)

  def shared_store_increment(_stor, _key, _by, _init, _ttl),
    do: :erlang.nif_error(:nif_not_loaded)

  def shared_store_increment_dirty(_stor, _key, _by, _init, _ttl),
    do: :erlang.nif_error(:nif_not_loaded)

  def shared_store_put_many(_store, _pairs, _ttl), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_fetch_many(_store, _keys), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_delete_many(_store, _keys), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_delete_many_dirty(_store, _keys), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_scan(_store, _cursor, _what, _limit), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_size(_store), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_clear(_store), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_make_room(_store, _number), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_stats(_store), do: :erlang.nif_error(:nif_not_loaded)
  def shared_store_reports, do: :erlang.nif_error(:nif_not_loaded)
end
