// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/training/optimizer/elementwise.hpp>

namespace xmoe::inline XMOE_ABI::optimizer {

/// Adam, bias-corrected; AdamW with a weight decay that is decoupled from the gradient.
///
///   m = beta1 m + (1 - beta1) g ;  v = beta2 v + (1 - beta2) g^2
///   w -= learning_rate * (m / (1 - beta1^n) / (sqrt(v / (1 - beta2^n)) + epsilon) + decay w)
///
///   throws  shape_error if the lists do not match those it was made for
///   source  arXiv 1412.6980; decay: arXiv 1711.05101
class AdamW {
 public:
  struct Options {
    float learning_rate = 1e-3f;
    float beta1 = 0.9f;
    float beta2 = 0.999f;
    float epsilon = 1e-8f;
    float decay = 0.01f;  ///< on every trained tensor
  };

  AdamW(const Parameters& parameters, Options options)
      : options_(options),
        first_(detail::moments_of(parameters)),
        second_(detail::moments_of(parameters)),
        masters_(detail::masters_of(parameters)) {}

  Options& options() { return options_; }
  /// Steps taken; set it when moments are restored.
  index& steps() { return steps_; }

  /// One step; allocates nothing.
  void step(const Parameters& parameters, const Parameters& gradients) {
    detail::check_lists("AdamW::step", parameters, gradients, first_);
    ++steps_;
    const double n = static_cast<double>(steps_);
    const double correct1 = 1.0 - std::pow(static_cast<double>(options_.beta1), n);
    const double correct2 = 1.0 - std::pow(static_cast<double>(options_.beta2), n);
    detail::for_each_trained(parameters, gradients, masters_, [&](auto w, auto g, std::size_t i) {
      using S = std::remove_cvref_t<decltype(w[0])>;
      S* m = std::get<Panels<S>>(first_[i]).values().data();
      S* v = std::get<Panels<S>>(second_[i]).values().data();
      const S rate = static_cast<S>(options_.learning_rate);
      const S b1 = static_cast<S>(options_.beta1);
      const S b2 = static_cast<S>(options_.beta2);
      const S c1 = static_cast<S>(1.0 / correct1);
      const S c2 = static_cast<S>(1.0 / correct2);
      const S epsilon = static_cast<S>(options_.epsilon);
      const S decay = static_cast<S>(options_.decay);
      S* weights = w.data();
      const S* gradient = g.data();
      for (index j = 0; j < w.size(); ++j) {
        const S d = gradient[j];
        m[j] = b1 * m[j] + (S(1) - b1) * d;
        v[j] = b2 * v[j] + (S(1) - b2) * d * d;
        weights[j] -= rate * (m[j] * c1 / (std::sqrt(v[j] * c2) + epsilon) + decay * weights[j]);
      }
    });
  }

  /// Both moments, and the float copies of narrow weights, for checkpoints: restore them together
  /// with steps().
  Parameters state(const Parameters& parameters) {
    Parameters list;
    detail::append(list, "first.", parameters, first_);
    detail::append(list, "second.", parameters, second_);
    detail::append(list, "master.", parameters, masters_);
    return list;
  }

 private:
  Options options_;
  std::vector<detail::Moment> first_;
  std::vector<detail::Moment> second_;
  std::vector<detail::Moment> masters_;
  index steps_ = 0;
};

/// AdamW without decay.
class Adam : public AdamW {
 public:
  struct Options {
    float learning_rate = 1e-3f;
    float beta1 = 0.9f;
    float beta2 = 0.999f;
    float epsilon = 1e-8f;
  };
  Adam(const Parameters& parameters, Options o)
      : AdamW(parameters, {o.learning_rate, o.beta1, o.beta2, o.epsilon, 0.f}) {}
};

}  // namespace xmoe::inline XMOE_ABI::optimizer
