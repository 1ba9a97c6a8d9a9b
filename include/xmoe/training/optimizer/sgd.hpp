// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/optimizer/elementwise.hpp>

namespace xmoe::inline XMOE_ABI::optimizer {

/// Gradient descent with momentum: v = momentum v + g ; w -= learning_rate v.
///
///   throws  shape_error if the lists do not match those it was made for
class Sgd {
 public:
  struct Options {
    float learning_rate = 0.01f;
    float momentum = 0.f;
  };

  Sgd(const Parameters& parameters, Options options)
      : options_(options),
        velocity_(detail::moments_of(parameters)),
        masters_(detail::masters_of(parameters)) {}

  Options& options() { return options_; }

  /// One step; allocates nothing.
  void step(const Parameters& parameters, const Parameters& gradients) {
    detail::check_lists("Sgd::step", parameters, gradients, velocity_);
    detail::for_each_trained(parameters, gradients, masters_, [&](auto w, auto g, std::size_t i) {
      using S = std::remove_cvref_t<decltype(w[0])>;
      auto v = std::get<Panels<S>>(velocity_[i]).values();
      const S rate = static_cast<S>(options_.learning_rate);
      const S momentum = static_cast<S>(options_.momentum);
      for (index j = 0; j < w.size(); ++j) {
        v[j] = momentum * v[j] + g[j];
        w[j] -= rate * v[j];
      }
    });
  }

  /// The velocities, and the float copies of narrow weights, for checkpoints.
  Parameters state(const Parameters& parameters) {
    Parameters list;
    detail::append(list, "velocity.", parameters, velocity_);
    detail::append(list, "master.", parameters, masters_);
    return list;
  }

 private:
  Options options_;
  std::vector<detail::Moment> velocity_;
  std::vector<detail::Moment> masters_;
};

}  // namespace xmoe::inline XMOE_ABI::optimizer
