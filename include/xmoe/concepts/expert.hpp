// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/concepts/policy.hpp>
#include <xmoe/core/row_sum.hpp>

namespace xmoe::inline XMOE_ABI {

namespace detail {
template <class P, class Traits>
struct find_cache {
  struct type {};
};
template <class P, class Traits>
requires requires { typename P::template Cache<Traits>; }
struct find_cache<P, Traits> {
  using type = typename P::template Cache<Traits>;
};
}  // namespace detail

/// What an expert saves from forward to backward: its member template `Cache`, views into ctx.keep.
template <class P, class Traits>
using cache_of = typename detail::find_cache<P, Traits>::type;

/// All E experts as one object: the rows of a plan -> their sums by token. Row m is the row's
/// expert on token plan.token[m] of x [T,D]; y takes it with its weight. Writes every element of
/// y.out, of tokens without rows too (`y.clear()`, then `y.add` row by row, or one of the backend's
/// products). `cache` is null when nothing will be differentiated.
template <class P, class Tr = archetype::Traits>
concept Expert = Policy<P> &&
    requires(const P& expert, Context<Tr>& ctx, const weights_of<P, Tr>& own, const PlanView& plan,
             MatrixView<const typename Tr::scalar> x,
             const RowSum<typename Tr::scalar, typename Tr::routing>& y, cache_of<P, Tr>* cache) {
  { expert.forward(ctx, own, plan, x, y, cache) } -> std::same_as<void>;
};

/// What arrives at the rows of a plan in backward.
template <class Tr>
struct RowGradient {
  MatrixView<const typename Tr::scalar> dy;       ///< [T,D] gradient of the layer's output
  VectorView<const typename Tr::routing> weight;  ///< [M] weight of a row
  /// [E], or null: add everywhere. 0: the expert's gradients may hold anything and are overwritten.
  /// Only for policies that say `static constexpr bool overwrites_untouched = true`.
  const std::uint8_t* touched = nullptr;
};

/// With gradients: parameters += , dweight [M] = <dy, unweighted output>, drows [M,D] = gradient of
/// the rows' inputs. Experts without rows are not touched.
template <class P, class Tr = archetype::Traits>
concept DifferentiableExpert = Expert<P, Tr> &&
    requires(const P& expert, Context<Tr>& ctx, const weights_of<P, Tr>& own, const PlanView& plan,
             MatrixView<const typename Tr::scalar> x, const cache_of<P, Tr>& cache,
             const RowGradient<Tr>& upstream, weights_of<P, typename Tr::gradient>& gradients,
             VectorView<typename Tr::routing> dweight, MatrixView<typename Tr::scalar> drows) {
  {
    expert.backward(ctx, own, plan, x, cache, upstream, gradients, dweight, drows)
    } -> std::same_as<void>;
};

/// Multiply-adds of one row through one expert, forward, biases and activations left out.
template <class P>
concept CountsWork = requires(const P& expert, Sizes sizes) {
  { expert.multiply_adds(sizes) } -> std::same_as<index>;
};

}  // namespace xmoe::inline XMOE_ABI
