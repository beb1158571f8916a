defmodule Foundation.Native.LoaderTest do
  # The environment of the VM belongs to all tests.
  use ExUnit.Case, async: false

  alias Foundation.Native.Loader

  @moduletag :tmp_dir

  setup do
    before = System.get_env("FOUNDATION_NIF_PATH")
    on_exit(fn -> restore(before) end)
    System.delete_env("FOUNDATION_NIF_PATH")
  end

  defp restore(nil), do: System.delete_env("FOUNDATION_NIF_PATH")
  defp restore(value), do: System.put_env("FOUNDATION_NIF_PATH", value)

  defp write(dir, content) do
    file = Path.join(dir, Loader.file_name())
    File.write!(file, content)
    file
  end

  defp installed, do: Application.app_dir(:foundation, ["priv", "native", Loader.file_name()])

  describe "verify/1" do
    test "accepts the library that is installed" do
      assert Loader.version_of(installed()) == {:ok, Loader.version()}
      assert Loader.verify(installed()) == :ok
    end

    test "names both versions of a library of another one", %{tmp_dir: dir} do
      file = write(dir, "\x7fELF" <> <<0, 255>> <> "foundation_nif_version=0.0.9-dev;" <> <<0>>)

      assert Loader.verify(file) ==
               {:error,
                "Foundation's native library #{file} is of version 0.0.9-dev, " <>
                  "but this is Foundation #{Loader.version()}"}
    end

    test "says of any other file that it is none", %{tmp_dir: dir} do
      for content <- [
            "",
            "text",
            :binary.copy(<<0>>, 100_000),
            "foundation_nif_version=",
            "foundation_nif_version=;",
            "foundation_nif_version=0.1.0",
            "foundation_nif_version=" <> <<255, 0, 10>> <> ";",
            "foundation_nif_version=" <> String.duplicate("1", 65) <> ";"
          ] do
        file = write(dir, content)

        assert Loader.verify(file) ==
                 {:error,
                  "Foundation's native library #{file} is not one: " <>
                    "it bears no version of Foundation"}
      end
    end

    test "says of a file that cannot be read why", %{tmp_dir: dir} do
      assert {:error, message} = Loader.verify(Path.join(dir, "missing.so"))
      assert message =~ "missing.so cannot be read: no such file or directory"
      assert {:error, message} = Loader.verify(dir)
      assert message =~ "#{dir} cannot be read: illegal operation on a directory"
    end
  end

  describe "FOUNDATION_NIF_PATH" do
    test "comes before what is installed" do
      assert Loader.prebuilt() == nil
      assert List.to_string(Loader.path()) == Path.rootname(installed())

      System.put_env("FOUNDATION_NIF_PATH", "/elsewhere/" <> Loader.file_name())
      assert Loader.prebuilt() == {:ok, "/elsewhere/" <> Loader.file_name()}
      assert List.to_string(Loader.path()) == "/elsewhere/foundation_nif"
    end

    test "counts as absent when it is empty" do
      System.put_env("FOUNDATION_NIF_PATH", "")
      assert Loader.prebuilt() == nil
    end

    test "must be an absolute path with the extension that the VM appends" do
      extension = Path.extname(Loader.file_name())

      for wrong <- ["relative/foundation_nif" <> extension, "/absolute/library.o", "/"] do
        System.put_env("FOUNDATION_NIF_PATH", wrong)

        sentence =
          "FOUNDATION_NIF_PATH must be an absolute path that ends in #{extension}, got: #{wrong}"

        assert Loader.prebuilt() == {:error, sentence}
        assert Loader.ensure(Foundation.Native) == {:error, sentence}
      end
    end

    test "is named in the sentence about the file", %{tmp_dir: dir} do
      file = write(dir, "text")
      System.put_env("FOUNDATION_NIF_PATH", file)
      assert {:error, message} = Loader.ensure(Foundation.Native)
      assert message =~ "library #{file} (FOUNDATION_NIF_PATH) is not one"
    end
  end

  test "ensure/1 is content once the library is loaded" do
    assert Loader.ensure(Foundation.Native) == :ok
  end
end
