// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/gate_gradient.cuh>

namespace xmoe::inline XMOE_ABI::cuda {

/// The gate's weights, or their gradients.
template <class R>
struct DeviceGate {
  R* weight = nullptr;  ///< [E, D], rows `ld` apart
  R* bias = nullptr;    ///< [E]; null: none
  int experts = 0;
  int ld = 0;
};

/// The noise of gate::Linear while training: x times U(1 - spread, 1 + spread). Off by default.
struct GateJitter {
  Random noise{};
  float spread = 0.f;

  /// From the base stream of a call, as in Context.
  static GateJitter of(Random random, float spread) {
    return {random.fork(0x6a69747465720000u), spread};
  }
};

/// logits = x W^T + b: the product of gate::Linear. Products and sums in R, whatever S is.
///
///   in      x [T,D]; gate; jitter
///   out     logits [T,E], every element written, padding too
///   order   one chain of fused multiply-adds a logit, d ascending, then the bias: where x is R,
///           the bits of the CPU backend's product on a target with fused multiply-adds
///   cost    2 T D E; x is read once for 64 experts
///   throws  cuda_error
template <class S, class R>
void gate_forward(cudaStream_t stream, const DeviceMatrix<const S>& x,
                  const DeviceGate<const R>& gate, GateJitter jitter, R* logits) {
  const int tokens = static_cast<int>(x.rows());
  const int dim = static_cast<int>(x.cols());
  detail::with_jitter<R>(jitter.noise, jitter.spread, dim, nullptr, [&](auto edit) {
    const auto run = [&]<class Tile>(Tile) {
      const auto a = detail::gate_operand<Along::depth>(x, edit);
      const auto b = detail::gate_operand<Along::depth>(
          DeviceMatrix<const R>(gate.weight, gate.experts, dim, gate.ld), detail::AsTheyAre{});
      const detail::StoreLogits<R> out{logits, gate.bias, tokens, gate.experts};
      detail::launch_gate<Tile>(stream, a, b, tokens, gate.experts, dim, out);
    };
    if (gate.experts <= 8) {
      run(detail::GateTile<R, 128, 8, 2, 2>{});
    } else if (gate.experts <= 32) {
      run(detail::GateTile<R, 64, 32, 4, 2>{});
    } else {
      run(detail::GateTile<R, 64, 64, 4, 4>{});
    }
  });
}

/// dx += dlogits W, times the jitter.
///
///   in      dlogits [T,E]; valid [T] 0 = padding, whose dx is left alone; null: all are tokens
///   out     dx [T,D] += , summed in R in ascending e, rounded once
template <class S, class R>
void gate_input_gradient(cudaStream_t stream, const R* dlogits, const DeviceGate<const R>& gate,
                         GateJitter jitter, const std::uint8_t* valid, const DeviceMatrix<S>& dx) {
  const int tokens = static_cast<int>(dx.rows());
  const int dim = static_cast<int>(dx.cols());
  using Tile = detail::GateTile<R, 64, 64, 4, 4>;
  detail::with_jitter<R>(jitter.noise, jitter.spread, dim, nullptr, [&](auto edit) {
    const auto a = detail::gate_operand<Along::depth>(
        DeviceMatrix<const R>(dlogits, tokens, gate.experts), detail::AsTheyAre{});
    const auto b = detail::gate_operand<Along::outer>(
        DeviceMatrix<const R>(gate.weight, gate.experts, dim, gate.ld), detail::AsTheyAre{});
    const detail::AddInput<S, R, decltype(edit)> out{
        dx.data(), dx.stride(), valid, tokens, dim, edit, detail::begins_in_packs<Tile::RN>(dx)};
    detail::launch_gate<Tile>(stream, a, b, tokens, dim, gate.experts, out);
  });
}

namespace detail {

/// Stretches of tokens that the weights' gradient is cut into: enough blocks to fill a device, but
/// at least 256 tokens each.
inline int gate_parts(int tokens, int experts, int dim) {
  const index tiles = experts <= 8 ? (dim + 127) / 128
                                   : static_cast<index>((experts + 63) / 64) * ((dim + 63) / 64);
  const index wanted = tiles < 1 ? 1 : (512 + tiles - 1) / tiles;
  const index longest = (tokens + 255) / 256;
  const index parts = wanted < longest ? wanted : longest;
  return static_cast<int>(parts < 1 ? 1 : (parts > 32 ? 32 : parts));
}

inline unsigned gate_sum_blocks(index count) { return static_cast<unsigned>((count + 255) / 256); }

}  // namespace detail

/// Scratch of gate_weight_gradient.
template <class R>
std::size_t gate_scratch_bytes(int tokens, int experts, int dim) {
  const int parts = detail::gate_parts(tokens, experts, dim);
  return parts == 1 ? 0
                    : static_cast<std::size_t>(parts) * static_cast<std::size_t>(experts) *
                          static_cast<std::size_t>(dim) * sizeof(R);
}

/// dW (+)= dlogits^T x, db (+)= sum of dlogits, over tokens that are not padding: that may hold
/// anything.
///
///   in          dlogits [T,E]; x [T,D], with the jitter of forward; valid [T] or null
///   out         gradient.weight, gradient.bias (if not null)
///   accumulate  add to what is there; else overwrite
///   scratch     gate_scratch_bytes<R>(T, E, D)
///   order       fixed by the shapes: chains over stretches of tokens, then their sum
template <class S, class R>
void gate_weight_gradient(cudaStream_t stream, const R* dlogits, const DeviceMatrix<const S>& x,
                          GateJitter jitter, const std::uint8_t* valid,
                          const DeviceGate<R>& gradient, bool accumulate, void* scratch) {
  const int tokens = static_cast<int>(x.rows());
  const int dim = static_cast<int>(x.cols());
  const int experts = gradient.experts;
  const int parts = detail::gate_parts(tokens, experts, dim);
  R* const sums = static_cast<R*>(scratch);
  detail::with_jitter<R>(jitter.noise, jitter.spread, dim, valid, [&](auto edit) {
    const auto run = [&]<class Tile>(Tile) {
      const auto a = detail::gate_operand<Along::outer>(
          DeviceMatrix<const R>(dlogits, tokens, experts), detail::TokensOnly{valid});
      const auto b = detail::gate_operand<Along::outer>(x, edit);
      R* const to = parts == 1 ? gradient.weight : sums;
      const int ld = parts == 1 ? gradient.ld : dim;
      const bool aligned = reinterpret_cast<std::uintptr_t>(to) % 16 == 0 && ld % chunk_of<R> == 0;
      const detail::StoreGateWeights<R> out{to,      ld,  static_cast<index>(experts) * dim,
                                            experts, dim, parts == 1 && accumulate,
                                            aligned};
      detail::launch_gate<Tile>(stream, a, b, experts, dim, tokens, out, parts);
    };
    if (experts <= 8) {
      run(detail::GateTile<R, 8, 128, 2, 4>{});
    } else {
      run(detail::GateTile<R, 64, 64, 4, 4>{});
    }
  });
  if (parts > 1) {
    const index count = static_cast<index>(experts) * dim;
    launch(stream, detail::gate_sum_kernel<R>, Grid{detail::gate_sum_blocks(count)}, 256u, 0,
           static_cast<const R*>(sums), parts, experts, dim, gradient.weight, gradient.ld,
           accumulate);
  }
  if (gradient.bias != nullptr) {
    launch(stream, detail::gate_bias_kernel<R>, Grid{static_cast<unsigned>((experts + 31) / 32)},
           256u, 256 * sizeof(R), dlogits, valid, tokens, experts, gradient.bias, accumulate);
  }
}

}  // namespace xmoe::inline XMOE_ABI::cuda
