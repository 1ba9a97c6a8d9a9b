// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/loss_kernels.cuh>
#include <xmoe/backend/cuda/traits.cuh>
#include <xmoe/training/loss/load_balance.hpp>
#include <xmoe/training/loss/z_loss.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// What losses on a routing read, and what they add to.
template <class R>
struct DeviceLoss {
  DeviceRouting<R> routing;
  const std::uint8_t* valid = nullptr;  ///< [T] 0 = padding; null: all are tokens
  R* dscores = nullptr;                 ///< [T,E] +=
  R* dlogits = nullptr;                 ///< [T,E] +=
  double* value = nullptr;              ///< [1] written, coefficient included
};

/// Scratch of the losses.
template <class R>
std::size_t loss_scratch_bytes(int experts) {
  return detail::LossScratch<R>::bytes(experts);
}

namespace detail {

template <class Over>
inline constexpr int over_kind = -1;
template <>
inline constexpr int over_kind<loss::over::Scores> = over_scores;
template <>
inline constexpr int over_kind<loss::over::NormalizedScores> = over_normalized_scores;
template <>
inline constexpr int over_kind<loss::over::SoftmaxOfLogits> = over_softmax_of_logits;

template <class Counting, class Over>
struct DeviceCode<loss::LoadBalance<Counting, Over>> {
  static constexpr bool exists = over_kind<Over> >= 0;
};
template <>
struct DeviceCode<loss::ZLoss> {
  static constexpr bool exists = true;
};

template <class R>
void finish_loss(cudaStream_t stream, const LossScratch<R>& scratch, int blocks, double* value) {
  launch(stream, loss_sum_kernel<double>, Grid{}, 32u, 0,
         static_cast<const double*>(scratch.partial), blocks, value);
}

}  // namespace detail

/// loss::LoadBalance: gradient and value.
///
///   in       a.routing: count, expert, scores or logits; a.valid
///   out      a.dscores or a.dlogits += , a.value
///   scratch  loss_scratch_bytes<R>(E)
///   order    fixed by the shapes; gradients of float have the bits of the CPU's, if both are
///            compiled with fused multiply-adds
///   cost     one pass over the choices, one over [T,E]
///   throws   cuda_error
template <class Counting, class Over, class R>
void add_loss(cudaStream_t stream, const loss::LoadBalance<Counting, Over>& loss,
              const DeviceLoss<R>& a, void* scratch) {
  constexpr int kind = detail::over_kind<Over>;
  static_assert(kind >= 0,
                "xmoe::cuda::add_loss: this average of loss::LoadBalance has no device code");
  const detail::LossScratch<R> part(scratch, a.routing.experts);
  const int blocks = detail::loss_blocks(a.routing.tokens);
  const int experts = a.routing.experts;
  check(cudaMemsetAsync(part.counts, 0, static_cast<std::size_t>(experts) * sizeof(int), stream),
        "cudaMemsetAsync of a loss's counts");
  launch(stream, detail::balance_count_kernel<R>,
         Grid{static_cast<unsigned>((a.routing.tokens + 255) / 256)}, 256u,
         static_cast<std::size_t>(experts) * sizeof(int), a.routing, Counting::all_ranks,
         part.counts);
  launch(stream, detail::balance_slopes_kernel<R>, Grid{}, 256u, 32 * sizeof(int), a.routing,
         static_cast<double>(loss.coefficient), Counting::per_token,
         static_cast<const int*>(part.counts), part.share, part.slope, part.unit);
  launch(stream, detail::balance_kernel<kind, R>, Grid{static_cast<unsigned>(blocks)},
         unsigned(detail::loss_threads), 32 * sizeof(double), a.routing, a.valid,
         static_cast<const double*>(part.share), static_cast<const R*>(part.slope),
         static_cast<const double*>(part.unit), a.dscores, a.dlogits, part.partial);
  detail::finish_loss(stream, part, blocks, a.value);
}

/// loss::ZLoss: gradient and value. As above; adds to a.dlogits alone.
template <class R>
void add_loss(cudaStream_t stream, const loss::ZLoss& loss, const DeviceLoss<R>& a, void* scratch) {
  const detail::LossScratch<R> part(scratch, a.routing.experts);
  const int blocks = detail::loss_blocks(a.routing.tokens);
  launch(stream, detail::z_loss_kernel<R>, Grid{static_cast<unsigned>(blocks)},
         unsigned(detail::loss_threads), 32 * sizeof(double), a.routing, a.valid,
         static_cast<double>(loss.coefficient), a.dlogits, part.partial);
  detail::finish_loss(stream, part, blocks, a.value);
}

}  // namespace xmoe::inline XMOE_ABI::cuda
