// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/batch.hpp>
#include <xmoe/core/context.hpp>
#include <xmoe/core/parameters.hpp>
#include <xmoe/core/plan.hpp>
#include <xmoe/core/sizes.hpp>
#include <xmoe/core/traits.hpp>

namespace xmoe::inline XMOE_ABI {

/// Stand-ins with which a policy header can assert its own contract without any backend.
namespace archetype {
struct Backend {};
struct Traits {
  using scalar = float;
  using weight = float;
  using gradient = Traits;
  using routing = float;
  using space = host;
  using backend = Backend;
};
}  // namespace archetype

/// A policy is a value: an aggregate of hyper-parameters with defaults. What it learns or remembers
/// lies outside, in its member template `Weights<Traits>`; its functions are const.
///
/// Optional members of every policy:
///   template <class Traits> struct Weights { static void tensors(auto& w, auto visit); }
///   Weights<Traits> make_weights<Traits>(Sizes) const       storage, zeros
///   void initialize<Traits>(Weights<Traits>&, Random) const starting values
///   void check(Sizes) const                                 throws on impossible hyper-parameters
template <class P>
concept Policy = std::is_aggregate_v<P> && std::copyable<P>;

namespace detail {
template <class Traits, class P>
weights_of<P, Traits> make_weights(const P& policy, Sizes sizes) {
  if constexpr (requires { policy.template make_weights<Traits>(sizes); }) {
    return policy.template make_weights<Traits>(sizes);
  } else {
    return {};
  }
}
template <class Traits, class P>
void initialize(const P& policy, weights_of<P, Traits>& weights, Random random) {
  if constexpr (requires { policy.template initialize<Traits>(weights, random); }) {
    policy.template initialize<Traits>(weights, random);
  }
}
template <class P>
void check(const P& policy, Sizes sizes) {
  if constexpr (requires { policy.check(sizes); }) {
    policy.check(sizes);
  }
}
}  // namespace detail

}  // namespace xmoe::inline XMOE_ABI
