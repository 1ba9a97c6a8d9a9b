// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/grouped_ffn_kernel.cuh>
#include <xmoe/backend/cuda/grouped_products.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

template <class Math, class S, bool Aligned, bool Pair>
struct FfnEngines {
  using tile = typename Tiles<Math, S>::fused;
  using up = Engine<Math, S, tile, Along::depth, Along::depth, Aligned, Pair>;
  using down = Engine<Math, S, tile, Along::depth, Along::depth, Aligned, false>;
  static constexpr std::size_t shared_bytes(int hidden) {
    return ffn_shared_bytes<up, down>(hidden);
  }
};

}  // namespace detail

/// Whether `hidden` activations of a tile of rows find room in a block, so that grouped_ffn takes
/// them. The rows are read once up to H = 256 on tensor cores (128 for pairs), 128 (64) for float.
template <class Math, class S, bool Pair>
constexpr bool grouped_ffn_fits(int hidden) {
  return detail::FfnEngines<Math, S, true, Pair>::shared_bytes(hidden) <= Limits::shared;
}

/// Both layers of small experts in one launch: sums[m] = down[e] act(up[e] rows[m]), where
/// `activation` is StoreActivation or StoreGlu (its `out` is not used, its `before` is kept where
/// it is given) and `output` stores the sums by plan row. The same sums bit for bit as two
/// products.
///
///   in      rows [.,D]; up [E,H,D], or [E,2H,D] for a pair; down [E,D,H]
///   cost    reads D and writes D numbers a plan row; nothing in between reaches memory
///   throws  shape_error if H does not fit: see grouped_ffn_fits
template <class Math, class S, class Activation, class Output>
void grouped_ffn(cudaStream_t stream, const DeviceGroups& groups, const DeviceRows<S>& rows,
                 const DeviceMatrices<const S>& up, const DeviceMatrices<const S>& down,
                 const Activation& activation, const Output& output) {
  static_assert(!Output::pair, "the second product has no pairs");
  constexpr bool pair = Activation::pair;
  if (!grouped_ffn_fits<Math, S, pair>(down.cols)) {
    xmoe::detail::fail<shape_error>("xmoe::cuda::grouped_ffn: %d hidden activations do not fit",
                                    down.cols);
  }
  const FfnArguments<S> arguments{groups.offsets, groups.experts, rows.data,   rows.stride,
                                  rows.gather,    up.data,        up.matrix(), up.ld,
                                  down.data,      down.matrix(),  down.ld,     down.rows,
                                  down.cols};
  const auto run = [&](auto engines) {
    using Engines = decltype(engines);
    using Up = typename Engines::up;
    const int tiles = most_row_tiles(groups.most_rows, groups.experts, Up::tile::rows);
    launch(stream, grouped_ffn_kernel<Up, typename Engines::down, Activation, Output>,
           detail::persistent_grid(Up::blocks, tiles), Up::threads,
           Engines::shared_bytes(down.cols), arguments, activation, output);
  };
  if (detail::in_chunks(rows.data, rows.stride) && detail::in_chunks(up) &&
      detail::in_chunks(down)) {
    run(detail::FfnEngines<Math, S, true, pair>{});
  } else {
    run(detail::FfnEngines<Math, S, false, pair>{});
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
