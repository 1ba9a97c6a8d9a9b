// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/backend/cuda/route_backward.cuh>
#include <xmoe/router/router.hpp>

namespace xmoe::inline XMOE_ABI::cuda {

namespace detail {

/// Calls f.operator()<Lanes, Per>() for a row of so many experts; false: it is too long for lanes.
template <class R, class F>
bool with_lanes(int experts, const F& f) {
  constexpr int most = most_lanes<R>;
  if (experts <= 8) {
    f.template operator()<8, 1>();
  } else if (experts <= 16) {
    f.template operator()<16, 1>();
  } else if (experts <= 32) {
    f.template operator()<most, 32 / most>();
  } else if (experts <= 64) {
    f.template operator()<most, 64 / most>();
  } else if (experts <= 128) {
    f.template operator()<most, 128 / most>();
  } else if (experts <= 256) {
    f.template operator()<most, 256 / most>();
  } else {
    return false;
  }
  return true;
}

inline unsigned blocks_of(index items, index of_block) {
  return static_cast<unsigned>((items + of_block - 1) / of_block);
}

inline void check_row_bytes(std::size_t bytes, int experts) {
  if (bytes > Limits::shared) {
    xmoe::detail::fail<shape_error>(
        "xmoe::cuda::route: rows of %d experts take %zu bytes of shared memory, a block has %zu",
        experts, bytes, Limits::shared);
  }
}

}  // namespace detail

/// Logits to a decision: the policies' row functions, token by token.
///
///   in      routing.logits; `own`: the selector's weights on the device
///   out     scores, count, expert, weight, score; the first slots of every token, best first.
///           nonfinite: the smallest place of a bad logit, if it is smaller than what is there
///   ties    as the policies say; ids, scores and weights have the bits of the CPU's, if both are
///           compiled with fused multiply-adds
///   cost    one pass over [T,E], a group of lanes a token, for the library's scores and selectors
///           and up to 256 experts; else a thread a token
///   throws  cuda_error; shape_error if a row does not fit into shared memory
template <class Score, class Select, class Weigh, class Own, class R>
void route(cudaStream_t stream, const Score& score, const Select& select, const Weigh& weigh,
           const Own& own, const RouteArguments<R>& a) {
  using namespace detail;
  const int experts = a.routing.experts;
  if constexpr (ScoresInLanes<Score> && PicksInLanes<Select, R, Own>) {
    const Picking<R> how = picking<R>(select, own, a.routing.width);
    const bool done = with_lanes<R>(experts, [&]<int Lanes, int Per>() {
      constexpr int rows = route_threads / Lanes;
      launch(stream, route_lanes_kernel<Lanes, Per, Score, Weigh, R>,
             Grid{blocks_of(a.routing.tokens, rows)}, unsigned(route_threads),
             static_cast<std::size_t>(rows * lane_row_bytes<R>(experts, a.routing.width)), a, score,
             how, weigh);
    });
    if (done) {
      return;
    }
  }
  using Policies = RowPolicies<Score, Select, Weigh, Own>;
  const std::size_t bytes = any_row_bytes<R>(experts);
  check_row_bytes(bytes, experts);
  const int rows = any_rows(bytes);
  launch(stream, route_any_kernel<R, Policies>, Grid{blocks_of(a.routing.tokens, rows)},
         unsigned(route_threads), static_cast<std::size_t>(rows) * bytes, a,
         Policies{score, select, weigh, own}, rows);
}

/// The same for a router's policies. `nonfinite` may be null only if the router propagates.
template <class G, class S, class Sel, class W, class Own, class R>
void route(cudaStream_t stream, const Router<G, S, Sel, W>& router, const Own& own,
           RouteArguments<R> a) {
  if (router.nonfinite == NonFinite::propagate) {
    a.nonfinite = nullptr;
  }
  cuda::route(stream, router.score, router.select, router.weigh, own, a);
}

/// Throws value_error if kernels noted a bad logit. For an explicit check, once `first` has been
/// copied to the host; the words are those of the CPU's router, without the number.
inline void check_nonfinite(FirstNonfinite first, int experts) {
  if (first != no_nonfinite) {
    xmoe::detail::fail<value_error>(
        "xmoe::Router::forward: the logit of token %td, expert %td is NaN or +Inf: x or the gate's "
        "weights are not finite (Router::nonfinite = NonFinite::propagate routes on)",
        static_cast<index>(first) / experts, static_cast<index>(first) % experts);
  }
}

/// Gradient of a decision: dweight, and what losses add to scores and logits, to dlogits.
///
///   in      as RouteGradient says; the routing as forward made it
///   out     out [T,E], every element written
///   cost    as route
///   throws  as route
template <class Score, class Weigh, class R>
void route_backward(cudaStream_t stream, const Score& score, const Weigh& weigh,
                    const RouteGradient<R>& a) {
  using namespace detail;
  const int experts = a.routing.experts;
  const std::size_t bytes = gradient_row_bytes<R>(experts, a.routing.width);
  check_row_bytes(bytes, experts);
  if constexpr (ScoresInLanes<Score>) {
    const bool done = with_lanes<R>(experts, [&]<int Lanes, int Per>() {
      constexpr int rows = route_threads / Lanes;
      launch(stream, route_lanes_backward_kernel<Lanes, Per, Score, Weigh, R>,
             Grid{blocks_of(a.routing.tokens, rows)}, unsigned(route_threads),
             static_cast<std::size_t>(rows) * bytes, a, score, weigh);
    });
    if (done) {
      return;
    }
  }
  const int rows = any_rows(bytes);
  launch(stream, route_any_backward_kernel<Score, Weigh, R>,
         Grid{blocks_of(a.routing.tokens, rows)}, unsigned(route_threads),
         static_cast<std::size_t>(rows) * bytes, a, score, weigh, rows);
}

}  // namespace xmoe::inline XMOE_ABI::cuda
