defmodule Foundation.NativePropertyTest do
  use ExUnit.Case, async: false
  use Foundation.NativeBytes
  use Foundation.Property

  import Foundation.AnyTerm

  alias Foundation.BEAM.SharedTerm
  alias Foundation.Native

  # Not thrown at: what changes the system for everybody after it. Loading again is refused by the
  # VM and logged; a janitor that is sent to another process frees nothing for the rest of the run.
  @changes_the_system [load: 0, janitor_attend: 1, janitor_leave: 0]

  defp stubs, do: Native.__info__(:functions) -- @changes_the_system

  defp call do
    bind(oneof(stubs()), fn {name, arity} ->
      bind(fixed_list(List.duplicate(argument(), arity)), &{name, &1})
    end)
  end

  # Half of them of the kinds that some stub takes: else nothing gets past the first check.
  defp argument do
    frequency([
      {4, any_term([handle()])},
      {2, handle()},
      {4, store()},
      {2, oneof([:always, :absent, :default, :keys, :entries, :fetch, :take, nil])},
      {1, edge()},
      {2, non_neg_integer()},
      {1, list(oneof([:list, :tuple, :key, 0, 1]))}
    ])
  end

  # Of the few keys that arguments are made of, so that some are found.
  defp store do
    values = [0, 1.5, 2 ** 70, "text", [:list], %{key: [1]}, fn -> 1 end, make_ref()]

    bind(list({oneof([0, 1, :key, [], {}]), oneof(values)}), fn entries ->
      never = 0xFFFF_FFFF_FFFF_FFFF
      store = Native.shared_store_new(nil, nil, nil, {never, never, never, never})
      for {key, value} <- entries, do: Native.shared_store_put(store, key, value, never, :always)
      store
    end)
  end

  # What a NIF may do: answer, or refuse its arguments. A panic is neither.
  defp fair?({name, arguments}) do
    apply(Native, name, arguments)
    true
  rescue
    ArgumentError -> true
    # How rustler refuses an atom that is none of a NIF's choices.
    error in ErlangError -> error.original == :invalid_variant
    _other -> false
  end

  setup do
    janitor = Process.whereis(Foundation.Janitor)

    on_exit(fn ->
      assert Process.whereis(Foundation.Janitor) == janitor
      assert {:ok, [1]} = SharedTerm.fetch(SharedTerm.new([1]))
    end)
  end

  test "there is no stub that the properties below leave out unsaid" do
    assert @changes_the_system -- Native.__info__(:functions) == []
    assert length(stubs()) == length(Native.__info__(:functions)) - length(@changes_the_system)
  end

  for {name, arity} <- Native.__info__(:functions) -- @changes_the_system do
    property "#{name}/#{arity} answers or refuses any terms", runs: 60 do
      forall arguments <- fixed_list(List.duplicate(argument(), unquote(arity))) do
        fair?({unquote(name), arguments})
      end
    end
  end

  property "any stubs in any order, on terms that they share", runs: 100 do
    forall calls <- list(call()) do
      Enum.all?(calls, &fair?/1)
    end
  end

  property "a caller that is killed meanwhile takes nothing with it", runs: 100 do
    forall {first, rest} <- {list(call()), list(call())} do
      test = self()

      {pid, monitor} =
        spawn_monitor(fn ->
          fair? = Enum.all?(first, &fair?/1)
          send(test, {:begun, self()})
          exit({:fair, Enum.all?(rest, &fair?/1) and fair?})
        end)

      receive do: ({:begun, ^pid} -> Process.exit(pid, :kill))
      receive do: ({:DOWN, ^monitor, _, _, reason} -> reason in [:killed, {:fair, true}])
    end
  end
end
