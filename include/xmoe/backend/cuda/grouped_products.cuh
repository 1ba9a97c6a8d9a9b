// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/epilogue_gradient.cuh>
#include <xmoe/backend/cuda/grouped_kernels.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// One matrix an expert on the device, all of one size: [count,rows,cols], rows `ld` apart.
template <class W>
struct DeviceMatrices {
  W* data = nullptr;
  int count = 0, rows = 0, cols = 0, ld = 0;

  index matrix() const { return static_cast<index>(rows) * ld; }
};

/// Rows on the device: row m is data + (gather ? gather[m] : m) * stride. Any alignment is legal;
/// 16 bytes of data and stride are faster.
template <class S>
struct DeviceRows {
  const S* data = nullptr;
  index stride = 0;
  const int* gather = nullptr;
};

/// How plan rows are grouped by expert. Only the device knows the offsets.
struct DeviceGroups {
  const int* offsets = nullptr;  ///< [experts+1], on the device
  int experts = 0;
  int most_rows = 0;  ///< the worst case of offsets[experts]
};

namespace detail {

/// Whether rows that begin at `data` may be read in chunks of 16 bytes.
template <class S>
bool in_chunks(const S* data, index stride) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0 &&
         stride * static_cast<index>(sizeof(S)) % 16 == 0;
}
template <class S>
bool in_chunks(const DeviceMatrices<S>& m) {
  return in_chunks(m.data, m.ld);
}

/// As many blocks as run at a time, but not more than there are tiles.
inline Grid persistent_grid(int blocks, long long most_tiles) {
  const long long at_once = static_cast<long long>(sm_count()) * blocks;
  return {static_cast<unsigned>(at_once < most_tiles ? at_once : most_tiles), 1, 1};
}

inline bool few_rows(const DeviceGroups& groups) {
  return groups.most_rows <= static_cast<long long>(groups.experts) * small_tile_rows;
}

template <class E, class S, class Epilogue>
void launch_rows(cudaStream_t stream, const DeviceGroups& groups, const RowsArguments<S>& arguments,
                 const Epilogue& epilogue) {
  const long long tiles =
      static_cast<long long>(most_row_tiles(groups.most_rows, groups.experts, E::tile::rows)) *
      ceil_div(arguments.columns, E::columns);
  launch(stream, grouped_rows_kernel<E, Epilogue>, persistent_grid(E::blocks, tiles), E::threads,
         E::shared_bytes, arguments, epilogue);
}

template <class Math, Along B, class S, class Epilogue>
void choose_rows(cudaStream_t stream, const DeviceGroups& groups, const DeviceRows<S>& rows,
                 const DeviceMatrices<const S>& weights, int columns, int depth,
                 const Epilogue& epilogue) {
  using Large = typename Tiles<Math, S>::large;
  using Small = typename Tiles<Math, S>::small;
  constexpr Along A = Along::depth;
  constexpr bool pair = Epilogue::pair;
  const RowsArguments<S> arguments{groups.offsets, groups.experts, rows.data,        rows.stride,
                                   rows.gather,    weights.data,   weights.matrix(), weights.ld,
                                   columns,        depth};
  const bool aligned = in_chunks(rows.data, rows.stride) && in_chunks(weights);
  if (aligned && few_rows(groups)) {
    launch_rows<Engine<Math, S, Small, A, B, true, pair>>(stream, groups, arguments, epilogue);
  } else if (aligned) {
    launch_rows<Engine<Math, S, Large, A, B, true, pair>>(stream, groups, arguments, epilogue);
  } else {
    launch_rows<Engine<Math, S, Small, A, B, false, pair>>(stream, groups, arguments, epilogue);
  }
}

template <class E, class S, class Epilogue>
void launch_weight_gradient(cudaStream_t stream, const WeightGradientArguments<S>& arguments,
                            const Epilogue& epilogue) {
  const long long tiles = static_cast<long long>(arguments.experts) *
                          ceil_div(arguments.rows, E::tile::rows) *
                          ceil_div(arguments.columns, E::columns);
  launch(stream, grouped_weight_gradient_kernel<E, Epilogue>, persistent_grid(E::blocks, tiles),
         E::threads, E::shared_bytes, arguments, epilogue);
}

}  // namespace detail

/// sums[m,n] = sum_k rows[m,k] weights[e,n,k], m a plan row of expert e; every sum one chain in
/// ascending k, so that a row's result depends neither on the batch nor on its place. The epilogue
/// stores them. A pair's epilogue gets n and H+n together, weights [E,2H,K].
///
///   in      rows [.,K]; weights [E,N,K]
///   cost    one launch, no scratch; experts without rows cost nothing
template <class Math, class S, class Epilogue>
void grouped_forward(cudaStream_t stream, const DeviceGroups& groups, const DeviceRows<S>& rows,
                     const DeviceMatrices<const S>& weights, const Epilogue& epilogue) {
  const int columns = Epilogue::pair ? weights.rows / 2 : weights.rows;
  detail::choose_rows<Math, Along::depth>(stream, groups, rows, weights, columns, weights.cols,
                                          epilogue);
}

/// sums[m,k] = sum_n rows[m,n] weights[e,n,k]: the gradient of the input. Weights are read where
/// they lie; every sum one chain in ascending n.
///
///   in      rows [.,N]; weights [E,N,K]
template <class Math, class S, class Epilogue>
void grouped_input_gradient(cudaStream_t stream, const DeviceGroups& groups,
                            const DeviceRows<S>& rows, const DeviceMatrices<const S>& weights,
                            const Epilogue& epilogue) {
  static_assert(!Epilogue::pair, "the input's gradient has no pairs");
  detail::choose_rows<Math, Along::outer>(stream, groups, rows, weights, weights.cols, weights.rows,
                                          epilogue);
}

/// dweights[e,n,k] = or += sum over the plan rows m of e of dout[m,n] in[m,k], one chain in the
/// order of the plan.
///
///   accumulate   adds, and leaves experts without rows alone; else writes, zeros for those
///   in           dout [.,N], in [.,K], both by plan row or gathered
template <class Math, class S, class T>
void grouped_weight_gradient(cudaStream_t stream, const DeviceGroups& groups,
                             const DeviceRows<S>& dout, const DeviceRows<S>& in,
                             const DeviceMatrices<T>& dweights, bool accumulate) {
  using Large = typename Tiles<Math, S>::large;
  using Small = typename Tiles<Math, S>::small;
  constexpr Along outer = Along::outer;
  const WeightGradientArguments<S> arguments{groups.offsets, groups.experts, dout.data, dout.stride,
                                             dout.gather,    in.data,        in.stride, in.gather,
                                             dweights.rows,  dweights.cols,  accumulate};
  const StoreWeightGradient<T> epilogue{dweights.data, dweights.matrix(), dweights.ld,
                                        detail::in_chunks(dweights), accumulate};
  if (detail::in_chunks(dout.data, dout.stride) && detail::in_chunks(in.data, in.stride)) {
    detail::launch_weight_gradient<Engine<Math, S, Large, outer, outer, true>>(stream, arguments,
                                                                               epilogue);
  } else {
    detail::launch_weight_gradient<Engine<Math, S, Small, outer, outer, false>>(stream, arguments,
                                                                                epilogue);
  }
}

/// sums[e,n] = or += sum over the plan rows m of e of weight(m) rows[m,n], one chain in the order
/// of the plan: the gradient of a bias [E,N] without gaps. Experts without rows as above.
template <class Sum, class S, class T, class R>
void grouped_column_sums(cudaStream_t stream, const DeviceGroups& groups, const DeviceRows<S>& rows,
                         const RowWeight<R>& weight, int columns, T* sums, bool accumulate) {
  const Grid grid{static_cast<unsigned>(detail::ceil_div(columns, 128)),
                  static_cast<unsigned>(groups.experts), 1};
  launch(stream, grouped_column_sums_kernel<S, T, R, Sum>, grid, 128, 0, groups.offsets, rows.data,
         rows.stride, rows.gather, weight, columns, sums, accumulate);
}

/// out[scatter ? scatter[m] : m] = the segments of plan row m added up, plus <rows[m], bias[e]>
/// where bias [E,N] is not null: the gradient of a row's weight, from the dots that the epilogues
/// of gradients leave. Rows beyond the plan's last are not written.
template <class Sum, class S>
void grouped_row_dots(cudaStream_t stream, const DeviceGroups& groups, const Sum* segments,
                      int count, const DeviceRows<S>& rows, const S* bias, int columns, Sum* out,
                      const int* scatter) {
  launch(stream, grouped_row_dots_kernel<S, Sum>,
         detail::persistent_grid(8, detail::ceil_div(groups.most_rows, 4)), 128, 0, groups.offsets,
         groups.experts, segments, count, rows.data, rows.stride, rows.gather, bias, columns, out,
         scatter);
}

}  // namespace xmoe::inline XMOE_ABI::cuda
