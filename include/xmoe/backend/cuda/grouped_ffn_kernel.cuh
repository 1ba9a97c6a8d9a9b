// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/grouped_kernels.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// What the two-layer kernel reads: the rows and both layers' weights.
template <class S>
struct FfnArguments {
  const int* offsets = nullptr;  ///< [E+1]
  int experts = 0;
  const S* rows = nullptr;  ///< [.,D]
  index row_stride = 0;
  const int* gather = nullptr;  ///< [M] or null
  const S* up = nullptr;        ///< [E,H,D], or [E,2H,D] for a pair
  index up_matrix = 0;
  index up_stride = 0;
  const S* down = nullptr;  ///< [E,D,H]
  index down_matrix = 0;
  index down_stride = 0;
  int dim = 0;     ///< D
  int hidden = 0;  ///< H
};

namespace detail {

/// Applies an activation's epilogue and keeps the result in shared memory; zero beyond the edge.
template <class E, class Activation>
struct KeepHidden {
  const typename E::Resident& to;
  const Activation& activation;

  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& sums) const {
    Run<Sum, V> values;
    activation.apply(at, sums, values);
    put(at, values);
  }
  template <class Sum, int V>
  XMOE_DEVICE void operator()(const Place& at, const Run<Sum, V>& gates,
                              const Run<Sum, V>& ups) const {
    Run<Sum, V> values;
    activation.apply(at, gates, ups, values);
    put(at, values);
  }

 private:
  template <class Sum, int V>
  XMOE_DEVICE void put(const Place& at, Run<Sum, V>& values) const {
    XMOE_UNROLL
    for (int i = 0; i < V; ++i) {
      values[i] = i < at.count ? values[i] : Sum(0);
    }
    to.put(at.local, at.column, values);
  }
};

/// Shared memory of the two-layer kernel: the hidden tile, behind it what the loops need.
template <class Up, class Down>
constexpr std::size_t ffn_shared_bytes(int hidden) {
  return Down::Resident::bytes(hidden) + larger(Up::shared_bytes, Down::b_shared_bytes);
}

}  // namespace detail

/// out[m] = output(W2 activation(W1 rows[gather(m)])) for every plan row m, a tile of rows at a
/// time; what lies between the layers never leaves the block. The rows are read once for every
/// Up::columns of H.
template <class Up, class Down, class Activation, class Output>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(Up::threads, Up::blocks)
    grouped_ffn_kernel(FfnArguments<typename Up::scalar> p, Activation activation, Output output) {
  using S = typename Up::scalar;
  static_assert(Up::tile::rows == Down::tile::rows && Up::threads == Down::threads);
  XMOE_SHARED(unsigned char, memory);
  const typename Down::Resident hidden(memory, p.hidden);
  unsigned char* const work = memory + Down::Resident::bytes(p.hidden);
  Schedule schedule(p.offsets, p.experts, Up::tile::rows, 1);
  TileAt at;
  for (int tile = static_cast<int>(blockIdx.x); schedule.find(tile, at);
       tile += static_cast<int>(gridDim.x)) {
    const Operand<S> rows{p.rows, p.row_stride, p.gather, at.begin, at.rows, p.dim, 0, 0};
    for (int column = 0; column < p.hidden; column += Up::columns) {
      const Operand<S> cols{p.up + at.expert * p.up_matrix,
                            p.up_stride,
                            nullptr,
                            column,
                            p.hidden - column,
                            p.dim,
                            0,
                            p.hidden};
      typename Up::Sums sums;
      Up::multiply(work, rows, cols, sums);
      Up::finish(work, sums, {at.expert, at.begin, 0, column, 0}, at.rows, p.hidden - column,
                 detail::KeepHidden<Down, Activation>{hidden, activation});
      Up::leave();
    }
    for (int column = 0; column < p.dim; column += Down::columns) {
      const Operand<S> cols{p.down + at.expert * p.down_matrix,
                            p.down_stride,
                            nullptr,
                            column,
                            p.dim - column,
                            p.hidden,
                            0,
                            0};
      typename Down::Sums sums;
      Down::multiply_resident(work, hidden, cols, sums);
      Down::finish(work, sums, {at.expert, at.begin, 0, column, 0}, at.rows, p.dim - column,
                   output);
      Down::leave();
    }
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
