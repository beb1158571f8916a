defmodule Foundation.BEAM.Memory.AllocatorsTest do
  # The VM's books have what all tests hold.
  use ExUnit.Case, async: false

  import Foundation.Eventually

  alias Foundation.BEAM.Memory.Allocators

  # What OTP 25 returned on a machine with two schedulers.
  @otp_25 [
    fix_alloc: [
      {:instance, 0,
       [
         fix_types: [{:proc, 4656, 4656}, {:msg_ref, 0, 0}, {:sl_thr_q_element, 336, 0}],
         mbcs: [
           {:blocks, [fix_alloc: [{:size, 6048, 6112, 6112}]]},
           {:carriers_size, 65_536, 65_536, 65_536}
         ],
         sbcs: [{:blocks, []}, {:carriers_size, 0, 0, 0}]
       ]},
      {:instance, 1,
       [
         mbcs: [
           {:blocks, [fix_alloc: [{:size, 31_960, 31_960, 31_960}]]},
           {:carriers_size, 65_536, 65_536, 65_536}
         ],
         mbcs_pool: [blocks: [], carriers_size: 0],
         sbcs: [{:blocks, []}, {:carriers_size, 0, 0, 0}]
       ]}
    ],
    literal_alloc: [
      {:instance, 0,
       [
         mbcs: [
           {:blocks, [literal_alloc: [{:size, 1_817_176, 1_817_176, 1_817_176}]]},
           {:carriers_size, 2_097_152, 2_097_152, 2_097_152}
         ],
         sbcs: [{:blocks, []}, {:carriers_size, 0, 0, 0}]
       ]}
    ]
  ]

  # And OTP 27.
  @otp_27 [
    binary_alloc: [
      {:instance, 0,
       [
         mbcs: [
           {:blocks, [binary_alloc: [{:size, 696_552, 1_368_448, 1_368_448}]]},
           {:carriers_size, 1_638_400, 1_638_400, 1_638_400}
         ],
         sbcs: [
           {:blocks, [binary_alloc: [{:size, 0, 1_004_264, 1_004_264}]]},
           {:carriers_size, 0, 1_007_616, 1_007_616}
         ]
       ]},
      {:instance, 1,
       [
         mbcs: [
           {:blocks, [binary_alloc: [{:size, 636_936, 636_936, 636_936}]]},
           {:carriers_size, 1_638_400, 1_638_400, 1_638_400}
         ],
         mbcs_pool: [blocks: [], carriers_size: 0],
         sbcs: [{:blocks, []}, {:carriers_size, 0, 0, 0}]
       ]},
      {:instance, 2,
       [
         mbcs: [
           {:blocks, [binary_alloc: [{:size, 746_736, 746_736, 746_736}]]},
           {:carriers_size, 1_638_400, 1_638_400, 1_638_400}
         ],
         mbcs_pool: [blocks: [], carriers_size: 0],
         sbcs: [{:blocks, []}, {:carriers_size, 0, 0, 0}]
       ]}
    ],
    eheap_alloc: [
      {:instance, 2,
       [
         mbcs: [
           {:blocks, [eheap_alloc: [{:size, 1_055_280, 1_452_872, 1_452_872}]]},
           {:carriers_size, 3_932_160, 3_932_160, 3_932_160}
         ],
         mbcs_pool: [blocks: [], carriers_size: 0],
         sbcs: [
           {:blocks, [eheap_alloc: [{:size, 1_201_824, 1_201_824, 1_201_824}]]},
           {:carriers_size, 1_204_224, 1_204_224, 1_204_224}
         ]
       ]}
    ]
  ]

  test "carriers and blocks of OTP 25, over all instances and kinds" do
    summary = Allocators.summary(@otp_25)
    assert %{carriers: 131_072, blocks: 38_008} = summary.fix_alloc
    assert_in_delta summary.fix_alloc.fragmentation, 1 - 38_008 / 131_072, 1.0e-9
    assert summary.literal_alloc.blocks == 1_817_176
    assert summary.total.carriers == 131_072 + 2_097_152
    assert summary.total.blocks == 38_008 + 1_817_176
  end

  test "carriers and blocks of OTP 27, those of one block with them" do
    summary = Allocators.summary(@otp_27)
    assert %{carriers: 4_915_200, blocks: 2_080_224} = summary.binary_alloc
    assert %{carriers: 5_136_384, blocks: 2_257_104} = summary.eheap_alloc
  end

  test "binaries in the memory of normal schedulers and of other threads" do
    assert Allocators.binaries(@otp_27) == %{
             normal: 636_936 + 746_736,
             dirty_and_other: 696_552
           }
  end

  test "blocks of another allocator in its carriers, and carriers that wait, count where they lie" do
    sizes = [
      eheap_alloc: [
        {:instance, 1,
         [
           mbcs: [
             {:blocks, [eheap_alloc: [{:size, 100, 1, 1}], binary_alloc: [{:size, 20, 1, 1}]]},
             {:carriers_size, 1_000, 1, 1}
           ],
           mbcs_pool: [blocks: [eheap_alloc: [{:size, 3}]], carriers_size: 200],
           sbcs: [{:blocks, []}, {:carriers_size, 0, 0, 0}]
         ]}
      ]
    ]

    assert %{carriers: 1_200, blocks: 123} = Allocators.summary(sizes).eheap_alloc
  end

  test "an allocator that is turned off is left out, and binaries are not told apart" do
    sizes = Keyword.put(@otp_27, :binary_alloc, false)
    summary = Allocators.summary(sizes)
    assert Enum.sort(Map.keys(summary)) == [:eheap_alloc, :total]
    assert Allocators.binaries(sizes) == %{normal: nil, dirty_and_other: nil}
    assert Allocators.binaries([]) == %{normal: nil, dirty_and_other: nil}
  end

  test "all turned off" do
    assert Allocators.summary(binary_alloc: false, eheap_alloc: false) ==
             %{total: %{carriers: 0, blocks: 0, fragmentation: 0.0}}
  end

  test "with one instance for all threads binaries are not told apart" do
    sizes = Keyword.update!(@otp_27, :binary_alloc, &Enum.take(&1, 1))
    assert Allocators.binaries(sizes) == %{normal: nil, dirty_and_other: nil}
  end

  test "this VM's own agree with its books" do
    kept = for _ <- 1..200, do: :binary.copy("x", 100_000)
    sizes = Allocators.read()
    %{total: total} = summary = Allocators.summary(sizes)
    binaries = Allocators.binaries(sizes)
    assert summary.binary_alloc.blocks >= 20_000_000
    assert binaries.normal + binaries.dirty_and_other >= 20_000_000
    # What tests before have left may go between the two.
    assert eventually?(fn ->
             binaries = Allocators.binaries(Allocators.read())
             both = binaries.normal + binaries.dirty_and_other
             abs(both - :erlang.memory(:binary)) < 5_000_000
           end)

    assert total.carriers >= total.blocks
    assert Enum.all?(Map.values(summary), &(&1.fragmentation >= 0.0 and &1.fragmentation <= 1.0))
    assert length(kept) == 200
  end
end
