defmodule Foundation.NativeTest do
  use ExUnit.Case, async: true

  alias Foundation.Native

  @source "lib/foundation/native.ex"
  @crate "native/foundation_nif/src/"

  # `# group` lines with the stubs under each, as they stand in the source.
  defp groups do
    File.read!(@source)
    |> String.split(~r/^  # (?=\w+$)/m)
    |> Enum.drop(1)
    |> Enum.map(fn text ->
      [group | _] = String.split(text, "\n")
      {group, Regex.scan(~r/^  def (\w+)/m, text, capture: :all_but_first) |> List.flatten()}
    end)
  end

  test "every function of the library has its stub, and every stub its function" do
    own = [load: 0]

    assert Enum.sort(Native.native_functions()) ==
             Enum.sort(
               for {name, arity} <- Native.__info__(:functions) -- own,
                   do: {Atom.to_string(name), arity}
             )
  end

  test "every stub stands under the name of the Rust file that holds its function" do
    assert groups() != []

    for {group, stubs} <- groups() do
      files = Enum.flat_map([".rs", "/**/*.rs"], &Path.wildcard(@crate <> group <> &1))
      assert files != [], "# #{group} in #{@source} names no file of the NIF crate"
      rust = Enum.map_join(files, &File.read!/1)

      for stub <- stubs do
        assert rust =~ ~r/"#{stub}"|\bfn #{stub}\b/, "#{stub} is not in #{Enum.join(files, ", ")}"
      end
    end
  end

  test "no stub stands outside a group" do
    grouped = for {_group, stubs} <- groups(), stub <- stubs, do: stub
    named = for {name, _arity} <- Native.native_functions(), uniq: true, do: name
    assert Enum.sort(Enum.uniq(grouped)) == Enum.sort(named)
  end

  test "the library is of the application's version" do
    assert Native.native_version() == Foundation.Native.Loader.version()
    assert Native.native_version() == to_string(Application.spec(:foundation, :vsn))
  end
end
