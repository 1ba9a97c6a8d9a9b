// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/lanes.cuh>
#include <xmoe/backend/cuda/tiles.cuh>
#include <xmoe/training/optimizer/adam.hpp>
#include <xmoe/training/optimizer/sgd.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

/// One tensor on the device with what an optimizer keeps for it. Arrays of `count` numbers, padding
/// included, which is zero in all of them and stays so.
template <class W>
struct DeviceTrained {
  using S = sum_type<W>;
  W* weight = nullptr;
  const S* gradient = nullptr;
  S* first = nullptr;   ///< velocity, or first moment
  S* second = nullptr;  ///< second moment; null for Sgd
  S* master = nullptr;  ///< float copies of narrow weights; null for others
  index count = 0;
};

/// One step of optimizer::Sgd for one number.
template <class S>
struct SgdStep {
  static constexpr bool two_moments = false;
  S rate, momentum;

  static SgdStep of(const optimizer::Sgd::Options& o) {
    return {static_cast<S>(o.learning_rate), static_cast<S>(o.momentum)};
  }
  XMOE_DEVICE void operator()(S& w, S gradient, S& v, S&) const {
    v = momentum * v + gradient;
    w -= rate * v;
  }
};

/// One step of optimizer::AdamW for one number.
template <class S>
struct AdamStep {
  static constexpr bool two_moments = true;
  S rate, b1, b2, c1, c2, epsilon, decay;

  /// Step number n, counted from 1.
  static AdamStep of(const optimizer::AdamW::Options& o, index n) {
    const double power = static_cast<double>(n);
    const double correct1 = 1.0 - std::pow(static_cast<double>(o.beta1), power);
    const double correct2 = 1.0 - std::pow(static_cast<double>(o.beta2), power);
    return {static_cast<S>(o.learning_rate), static_cast<S>(o.beta1),
            static_cast<S>(o.beta2),         static_cast<S>(1.0 / correct1),
            static_cast<S>(1.0 / correct2),  static_cast<S>(o.epsilon),
            static_cast<S>(o.decay)};
  }
  XMOE_DEVICE void operator()(S& w, S d, S& m, S& v) const {
    m = b1 * m + (S(1) - b1) * d;
    v = b2 * v + (S(1) - b2) * d * d;
    using std::sqrt;
    w -= rate * (m * c1 / (sqrt(v * c2) + epsilon) + decay * w);
  }
};

namespace detail {

inline constexpr int step_threads = 256;

/// Numbers i .. i + N - 1: read, stepped, written.
template <int N, class W, class Step>
XMOE_DEVICE void step_numbers(const DeviceTrained<W>& t, const Step& step, index i) {
  using S = sum_type<W>;
  auto w = load<Pack<W, N>>(t.weight + i);
  const auto g = load<Pack<S, N>>(t.gradient + i);
  auto m = load<Pack<S, N>>(t.first + i);
  Pack<S, N> v{};
  Pack<S, N> wide;
  if constexpr (Step::two_moments) {
    v = load<Pack<S, N>>(t.second + i);
  }
  if constexpr (NarrowWeight<W>) {
    wide = load<Pack<S, N>>(t.master + i);
  }
  XMOE_UNROLL
  for (int j = 0; j < N; ++j) {
    if constexpr (NarrowWeight<W>) {  // a weight that was changed from outside counts
      wide.v[j] = W(wide.v[j]).bits == w.v[j].bits ? wide.v[j] : static_cast<S>(w.v[j]);
    } else {
      wide.v[j] = w.v[j];
    }
    step(wide.v[j], g.v[j], m.v[j], v.v[j]);
    w.v[j] = W(wide.v[j]);
  }
  store(t.weight + i, w);
  store(t.first + i, m);
  if constexpr (Step::two_moments) {
    store(t.second + i, v);
  }
  if constexpr (NarrowWeight<W>) {
    store(t.master + i, wide);
  }
}

template <int N, class W, class Step>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(step_threads) step_kernel(DeviceTrained<W> t, Step step) {
  const index i = (static_cast<index>(block_index()) * step_threads + thread_index()) * N;
  if (i + N <= t.count) {
    step_numbers<N>(t, step, i);
  } else {
    for (index j = i; j < t.count; ++j) {
      step_numbers<1>(t, step, j);
    }
  }
}

}  // namespace detail

/// One step of every number of a tensor, as the optimizers of training/optimizer take it.
///
///   cost    one pass over weight, gradient, moments and float copies
///   throws  cuda_error
template <class W, class Step>
void optimizer_step(cudaStream_t stream, const DeviceTrained<W>& t, const Step& step) {
  using S = sum_type<W>;
  constexpr int N = chunk_of<S>;
  const auto in_packs = [](const auto* p) {
    return reinterpret_cast<std::uintptr_t>(p) % (sizeof(*p) * unsigned(N)) == 0;
  };
  const auto blocks = [&](index numbers) {
    return Grid{static_cast<unsigned>((t.count + numbers - 1) / numbers)};
  };
  if (in_packs(t.weight) && in_packs(t.gradient) && in_packs(t.first) && in_packs(t.second) &&
      in_packs(t.master)) {
    launch(stream, detail::step_kernel<N, W, Step>, blocks(index(N) * detail::step_threads),
           unsigned(detail::step_threads), 0, t, step);
  } else {
    launch(stream, detail::step_kernel<1, W, Step>, blocks(detail::step_threads),
           unsigned(detail::step_threads), 0, t, step);
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
