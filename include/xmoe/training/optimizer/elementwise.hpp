// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/parameters.hpp>

#include <cmath>

/// What optimizers share: walking a parameter list and its gradients side by side.
namespace xmoe::inline XMOE_ABI::optimizer {

namespace detail {
using Moment = std::variant<Panels<float>, Panels<double>>;

/// Zeros of the shapes of a list.
inline std::vector<Moment> moments_of(const Parameters& parameters) {
  std::vector<Moment> result;
  result.reserve(parameters.size());
  for (const Parameter& p : parameters) {
    result.push_back(std::visit(
        [](const auto* t) -> Moment {
          return std::remove_cvref_t<decltype(*t)>(t->count(), t->rows(), t->cols(), t->order());
        },
        p.tensor));
  }
  return result;
}

inline void append(Parameters& list, const char* prefix, const Parameters& parameters,
                   std::vector<Moment>& moments) {
  for (std::size_t i = 0; i < moments.size(); ++i) {
    std::visit(
        [&](auto& t) {
          list.push_back({prefix + parameters[i].name, Role::remembered, &t});
        },
        moments[i]);
  }
}

inline void check_lists(const char* function, const Parameters& parameters,
                        const Parameters& gradients, std::size_t moments) {
  if (parameters.size() != gradients.size() || parameters.size() != moments) {
    xmoe::detail::fail<shape_error>(
        "xmoe::optimizer::%s: %zu parameters, %zu gradients, made for %zu tensors", function,
        parameters.size(), gradients.size(), moments);
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].tensor.index() != gradients[i].tensor.index() ||
        parameters[i].size() != gradients[i].size()) {
      xmoe::detail::fail<shape_error>(
          "xmoe::optimizer::%s: tensor %zu: parameter '%s' has %td numbers, gradient '%s' has %td",
          function, i, parameters[i].name.c_str(), parameters[i].size(), gradients[i].name.c_str(),
          gradients[i].size());
    }
  }
}

/// body(values, gradient, i) for every trained tensor, stored order.
template <class F>
void for_each_trained(const Parameters& parameters, const Parameters& gradients, F&& body) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].role == Role::trained) {
      std::visit(
          [&](auto* t) {
            using P = std::remove_pointer_t<decltype(t)>;
            body(t->values(), std::get<P*>(gradients[i].tensor)->values(), i);
          },
          parameters[i].tensor);
    }
  }
}
}  // namespace detail

/// Euclidean norm of all gradients as one vector; scales them down to `max_norm` if it is larger.
/// Returns the norm before. Summed in double, in list order.
inline double clip_by_norm(const Parameters& gradients, double max_norm) {
  double square = 0.0;
  detail::for_each_trained(gradients, gradients, [&](auto g, auto, std::size_t) {
    double sums[8] = {};
    for (index i = 0; i < g.size(); ++i) {
      sums[i % 8] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
    }
    for (const double s : sums) {
      square += s;
    }
  });
  const double norm = std::sqrt(square);
  if (norm > max_norm) {
    detail::for_each_trained(gradients, gradients, [&](auto g, auto, std::size_t) {
      using S = std::remove_cvref_t<decltype(g[0])>;
      const S factor = static_cast<S>(max_norm / norm);
      for (index i = 0; i < g.size(); ++i) {
        g[i] *= factor;
      }
    });
  }
  return norm;
}

}  // namespace xmoe::inline XMOE_ABI::optimizer
