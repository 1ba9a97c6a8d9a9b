// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/core/parameters.hpp>

#include <cmath>

/// What optimizers share: walking a parameter list and its gradients side by side.
namespace xmoe::inline XMOE_ABI::optimizer {

namespace detail {
using Moment = std::variant<Panels<float>, Panels<double>>;

/// Zeros of the shapes of a list; float for narrow weights.
inline std::vector<Moment> moments_of(const Parameters& parameters) {
  std::vector<Moment> result;
  result.reserve(parameters.size());
  for (const Parameter& p : parameters) {
    result.push_back(std::visit(
        [](const auto* t) -> Moment {
          using S = sum_type<std::remove_cvref_t<decltype(t->at(0, 0))>>;
          return Panels<S>(t->count(), t->rows(), t->cols(), t->order());
        },
        p.tensor));
  }
  return result;
}

/// Float copies of the narrow weights of a list, which small steps add up in; nothing for others.
inline std::vector<Moment> masters_of(const Parameters& parameters) {
  std::vector<Moment> result;
  result.reserve(parameters.size());
  for (const Parameter& p : parameters) {
    result.push_back(std::visit(
        [](auto* t) -> Moment {
          using W = std::remove_cvref_t<decltype(t->at(0, 0))>;
          Panels<sum_type<W>> copy;
          if constexpr (NarrowWeight<W>) {
            copy = {t->count(), t->rows(), t->cols(), t->order()};
            copy.zip(*t, [](float& wide, W narrow) { wide = static_cast<float>(narrow); });
          }
          return copy;
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
          if (t.count() == 0) {
            return;
          }
          list.push_back({prefix + parameters[i].name, Role::remembered, &t});
        },
        moments[i]);
  }
}

/// Throws shape_error unless both lists have the tensors that the moments were made for.
inline void check_lists(const char* function, const Parameters& parameters,
                        const Parameters& gradients, const std::vector<Moment>& moments) {
  if (parameters.size() != gradients.size() || parameters.size() != moments.size()) {
    xmoe::detail::fail<shape_error>(
        "xmoe::optimizer::%s: %zu parameters, %zu gradients, made for %zu tensors", function,
        parameters.size(), gradients.size(), moments.size());
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const bool fits = std::visit(
        [](const auto* w, const auto* g, const auto& m) {
          const auto same = [&](const auto& t) {
            return t.count() == w->count() && t.rows() == w->rows() && t.cols() == w->cols() &&
                   t.order() == w->order();
          };
          using S = sum_type<std::remove_cvref_t<decltype(w->at(0, 0))>>;
          return std::same_as<S, std::remove_cvref_t<decltype(g->at(0, 0))>> &&
                 std::same_as<S, std::remove_cvref_t<decltype(m.at(0, 0))>> && same(*g) && same(m);
        },
        parameters[i].tensor, gradients[i].tensor, moments[i]);
    if (!fits) {
      xmoe::detail::fail<shape_error>(
          "xmoe::optimizer::%s: tensor %zu: parameter '%s' has %td numbers, gradient '%s' has %td, "
          "the optimizer was made for %td; shape, order or scalar differ",
          function, i, parameters[i].name.c_str(), parameters[i].size(), gradients[i].name.c_str(),
          gradients[i].size(), std::visit([](const auto& m) { return m.size(); }, moments[i]));
    }
  }
}

/// body(values, gradient, i) for every trained tensor, stored order. Narrow weights are stepped in
/// their float copies and rounded afterwards; a weight that was changed from outside counts.
template <class F>
void for_each_trained(const Parameters& parameters, const Parameters& gradients,
                      std::vector<Moment>& masters, F&& body) {
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].role != Role::trained) {
      continue;
    }
    std::visit(
        [&](auto* t) {
          using W = std::remove_cvref_t<decltype(t->at(0, 0))>;
          using S = sum_type<W>;
          const auto g = std::get<Panels<S>*>(gradients[i].tensor)->values();
          if constexpr (NarrowWeight<W>) {
            auto& master = std::get<Panels<S>>(masters[i]);
            master.zip(*t, [](float& wide, W narrow) {
              wide = W(wide) == narrow ? wide : static_cast<float>(narrow);
            });
            body(master.values(), g, i);
            t->zip(master, [](W& narrow, float wide) { narrow = W(wide); });
          } else {
            body(t->values(), g, i);
          }
        },
        parameters[i].tensor);
  }
}

/// body(values) for every trained tensor of a list of gradients.
template <class F>
void for_each_gradient(const Parameters& gradients, F&& body) {
  for (const Parameter& p : gradients) {
    if (p.role == Role::trained) {
      std::visit(
          [&](auto* t) {
            using S = std::remove_cvref_t<decltype(t->at(0, 0))>;
            if constexpr (NarrowWeight<S>) {
              xmoe::detail::fail<value_error>("xmoe::optimizer: '%s' holds weights, not gradients",
                                              p.name.c_str());
            } else {
              body(t->values());
            }
          },
          p.tensor);
    }
  }
}
}  // namespace detail

/// Euclidean norm of all gradients as one vector; scales them down to `max_norm` if it is larger.
/// Returns the norm before. Summed in double, in list order.
inline double clip_by_norm(const Parameters& gradients, double max_norm) {
  double square = 0.0;
  detail::for_each_gradient(gradients, [&](auto g) {
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
    detail::for_each_gradient(gradients, [&](auto g) {
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
