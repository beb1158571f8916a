defmodule Foundation.Integration.Lz4CommandTest do
  use ExUnit.Case, async: true

  # Frames go both ways between the library and the `lz4` command.

  alias Foundation.BEAM.Compression

  setup_all do
    lz4 = System.find_executable("lz4") || flunk("bin/setup installs the lz4 command")
    folder = Path.join(System.tmp_dir!(), "foundation_lz4_#{System.pid()}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)

    # Real text of several blocks, with a part that does not compress; of the same size however much
    # the project grows.
    sources = Path.wildcard("{lib,native,test}/**/*.{ex,exs,rs}") |> Enum.map(&File.read!/1)
    text = sources |> IO.iodata_to_binary() |> binary_part(0, 500_000) |> :binary.copy(4)
    noise = :crypto.strong_rand_bytes(500_000)
    %{lz4: lz4, folder: folder, text: text, data: text <> noise <> text, noise: noise}
  end

  defp run!(context, args, input) do
    from = Path.join(context.folder, "in_#{System.unique_integer([:positive])}")
    to = from <> ".out"
    File.write!(from, input)
    {output, status} = System.cmd(context.lz4, args ++ ["-f", from, to], stderr_to_stdout: true)
    assert status == 0, output
    File.read!(to)
  end

  test "the command reads what the library writes", context do
    for data <- ["", "x", context.text, context.noise, context.data],
        checksum <- [:auto, true, false] do
      packed = Compression.compress!(data, checksum: checksum)
      assert run!(context, ["-d"], packed) == data
    end

    stored = :crypto.strong_rand_bytes(9_000_000)
    assert run!(context, ["-d"], Compression.compress!(stored)) == stored
  end

  test "the command checks our checksums", context do
    packed = Compression.compress!(context.text)
    <<before::binary-size(1000), byte, rest::binary>> = packed
    file = Path.join(context.folder, "damaged.lz4")
    File.write!(file, <<before::binary, Bitwise.bxor(byte, 1), rest::binary>>)
    assert {output, status} = System.cmd(context.lz4, ["-t", file], stderr_to_stdout: true)
    assert status != 0, output
  end

  test "the library reads what the command writes, with each of its options", context do
    options = [
      ["-1"],
      ["-9"],
      ["-12"],
      ["--fast=5"],
      ["--content-size"],
      ["--no-frame-crc"],
      ["-BD"],
      ["-BX"],
      ["-BD", "-BX", "--content-size"],
      ["-B4"],
      ["-B5"],
      ["-B6"],
      ["-B7"],
      ["-B4", "-BD"],
      ["-B4", "-BD", "-9"],
      ["-B5", "-BD", "-BX", "-9", "--content-size"]
    ]

    for option <- options, data <- [context.data, "", "short"] do
      packed = run!(context, ["-z" | option], data)
      assert Compression.decompress(packed) == {:ok, data}, "lz4 #{Enum.join(option, " ")}"
    end
  end

  test "frames of both, one after the other, with skippable ones between", context do
    skippable = <<0x184D2A53::little-32, 5::little-32, "hello">>

    all =
      run!(context, ["-9", "-BD"], context.text) <>
        skippable <>
        Compression.compress!("from us, ") <>
        run!(context, ["--content-size"], "from them") <> skippable

    expected = context.text <> "from us, from them"
    assert Compression.decompress!(all) == expected
    assert run!(context, ["-d"], all) == expected
  end

  test "damage is found by the checksums that the command writes", context do
    for option <- [[], ["-BX", "--no-frame-crc"]] do
      packed = run!(context, ["-z" | option], context.text)

      for at <- 20..(byte_size(packed) - 20)//997 do
        <<before::binary-size(at), byte, rest::binary>> = packed
        damaged = <<before::binary, Bitwise.bxor(byte, 4), rest::binary>>

        # A match may be moved to where the same bytes stand.
        case Compression.decompress(damaged) do
          {:ok, same} -> assert same == context.text and option == []
          {:error, %Foundation.Error{error_type: type}} -> assert type in [:corrupt, :truncated]
        end
      end
    end
  end

  test "the legacy format is refused by name", context do
    packed = run!(context, ["-l"], "legacy")

    assert {:error, %{error_type: :unsupported, message: message}} =
             Compression.decompress(packed)

    assert message =~ "legacy"
  end
end
