// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/router.cuh>
#include <xmoe/router/gate/adjusted.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// What the kernel of an adjustment sees: rows are read from `from` and written to `to`, which may
/// be the same.
template <class R>
struct AdjustArguments {
  const R* from = nullptr;  ///< [T,E] logits, or their gradients
  R* to = nullptr;
  int tokens = 0;
  int experts = 0;
  const std::uint8_t* valid = nullptr;  ///< [T] 0 = padding, whose row stays; null: all are tokens
  Mode mode = Mode::infer;
  Random random = {};
};

/// A thread a token, on rows in shared memory, by the policy's own function.
template <bool backward, class Change, class R>
XMOE_KERNEL void XMOE_LAUNCH_BOUNDS(route_threads, 2)
    adjust_kernel(AdjustArguments<R> a, Change change, int rows) {
  XMOE_SHARED(unsigned char, memory);
  const int pitch = odd_row(a.experts);
  R* const numbers = reinterpret_cast<R*>(memory);
  const int token = block_index() * rows;
  const int left = a.tokens - token;
  const int here = left < rows ? left : rows;
  const index first = static_cast<index>(token) * a.experts;
  for (int i = thread_index(); i < here * a.experts; i += route_threads) {
    store_shared(numbers + i / a.experts * pitch + i % a.experts, load<R>(a.from + first + i));
  }
  XMOE_BARRIER();
  const int t = token + thread_index();
  if (thread_index() < here && (a.valid == nullptr || load<std::uint8_t>(a.valid + t) != 0)) {
    const VectorView<R> row{numbers + thread_index() * pitch, a.experts};
    if constexpr (backward) {
      change.row_backward(site_of(a, t), row);
    } else {
      change.row(site_of(a, t), row);
    }
  }
  XMOE_BARRIER();
  for (int i = thread_index(); i < here * a.experts; i += route_threads) {
    store(a.to + first + i, load_shared<R>(numbers + i / a.experts * pitch + i % a.experts));
  }
}

template <bool backward, class Change, class R>
void adjust_rows(cudaStream_t stream, const Change& change, const AdjustArguments<R>& a) {
  const std::size_t bytes = static_cast<std::size_t>(odd_row(a.experts)) * sizeof(R);
  check_row_bytes(bytes, a.experts);
  const int rows = any_rows(bytes);
  launch(stream, adjust_kernel<backward, Change, R>, Grid{blocks_of(a.tokens, rows)},
         unsigned(route_threads), static_cast<std::size_t>(rows) * bytes, a, change, rows);
}

template <class Change>
inline constexpr bool runs_on_device = !requires {
  Change::host_only;
};

/// gate::Adjusted on the device: the inner gate, then the adjustment's own row function. The same
/// bits as on the CPU for the same logits. Batch::ids are not there: every id is 0.
template <class Inner, class Change>
struct DeviceCode<gate::Adjusted<Inner, Change>> {
  using Policy = gate::Adjusted<Inner, Change>;
  static constexpr bool exists = DeviceCode<Inner>::exists && runs_on_device<Change>;

  template <class R>
  using Weights = typename DeviceCode<Inner>::template Weights<R>;
  template <class R>
  static Weights<R> make_weights(const Policy& gate, cudaStream_t stream, Sizes sizes) {
    return DeviceCode<Inner>::template make_weights<R>(gate.inner, stream, sizes);
  }

  template <class S, class R>
  static void forward(Call& call, const Policy& gate, const Weights<R>& own,
                      const DeviceBatch<S>& batch, R* logits) {
    DeviceCode<Inner>::forward(call, gate.inner, own, batch, logits);
    if (!call.measuring()) {
      adjust_rows<false>(call.stream, gate.adjust, arguments(call, own, batch, logits, logits));
    }
  }
  template <class S, class R>
  static void backward(Call& call, const Policy& gate, const Weights<R>& own,
                       const DeviceBatch<S>& batch, const R* dlogits, Weights<R>& gradients,
                       bool accumulate, const DeviceMatrix<S>& dx) {
    const DeviceWorkspace::Scope scope(call.workspace);
    if constexpr (AdjustsGradient<Change, R>) {
      R* const changed = call.workspace.template take<R>(batch.x.rows() * own.weight.rows());
      if (!call.measuring()) {
        adjust_rows<true>(call.stream, gate.adjust, arguments(call, own, batch, dlogits, changed));
      }
      dlogits = changed;
    }
    DeviceCode<Inner>::backward(call, gate.inner, own, batch, dlogits, gradients, accumulate, dx);
  }

 private:
  template <class R>
  static AdjustArguments<R> arguments(const Call& call, const Weights<R>& own, const auto& batch,
                                      const R* from, R* to) {
    return {from,
            to,
            static_cast<int>(batch.x.rows()),
            static_cast<int>(own.weight.rows()),
            batch.mask(),
            call.mode,
            call.random};
  }
};

}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI::cuda
