// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "setup.hpp"

namespace reference {

/// z = W x + b
inline Vector logits_of(const Router& router, const Matrix& x, index token) {
  Vector z(static_cast<std::size_t>(router.weight.rows), 0.0);
  for (index e = 0; e < router.weight.rows; ++e) {
    double sum = router.bias.empty() ? 0.0 : at(router.bias, e);
    for (index d = 0; d < x.cols; ++d) {
      sum += router.weight(e, d) * x(token, d);
    }
    at(z, e) = sum;
  }
  return z;
}

inline double largest(const Vector& v) {
  double m = -std::numeric_limits<double>::infinity();
  for (double u : v) {
    m = u > m ? u : m;
  }
  return m;
}

inline Vector softmax(const Vector& z) {
  const double m = largest(z);
  double sum = 0.0;
  Vector p(z.size());
  for (std::size_t e = 0; e < z.size(); ++e) {
    p[e] = std::exp(z[e] - m);
    sum += p[e];
  }
  for (double& v : p) {
    v /= sum;
  }
  return p;
}

inline double log_sum_exp(const Vector& z) {
  const double m = largest(z);
  double sum = 0.0;
  for (double v : z) {
    sum += std::exp(v - m);
  }
  return m + std::log(sum);
}

inline Vector scores_of(Score score, const Vector& z) {
  if (score == Score::softmax) {
    return softmax(z);
  }
  Vector s = z;
  if (score == Score::sigmoid) {
    for (double& v : s) {
      v = 1.0 / (1.0 + std::exp(-v));
    }
  }
  return s;
}

/// Finite and +Inf before -Inf before NaN.
inline int rank_class(double v) {
  if (std::isnan(v)) {
    return 0;
  }
  return std::isinf(v) && v < 0.0 ? 1 : 2;
}
/// The order of a selection: larger first, equal ones by the lower index.
inline bool comes_first(double a, index ia, double b, index ib) {
  if (rank_class(a) != rank_class(b)) {
    return rank_class(a) > rank_class(b);
  }
  if (rank_class(a) == 2 && a != b) {
    return a > b;
  }
  return ia < ib;
}

/// The chosen outputs of one row, best first. Logits of -Inf (none: no logits) and keys of -Inf
/// mask.
inline std::vector<index> choose(const Router& router, const Vector& scores,
                                 const Vector& logits = {}) {
  const index outputs = static_cast<index>(scores.size());
  Vector key = scores;
  for (index e = 0; e < outputs && !logits.empty(); ++e) {
    if (rank_class(at(logits, e)) == 1) {
      at(key, e) = at(logits, e);
    }
  }
  if (!router.selection_bias.empty()) {
    for (index e = 0; e < outputs; ++e) {
      at(key, e) += at(router.selection_bias, e);
    }
  }
  std::vector<index> order;
  for (index e = 0; e < outputs; ++e) {  // insertion sort
    if (rank_class(at(key, e)) == 1) {
      continue;
    }
    std::size_t place = 0;
    while (place < order.size() &&
           comes_first(at(key, order[place]), order[place], at(key, e), e)) {
      ++place;
    }
    order.insert(order.begin() + static_cast<index>(place), e);
  }
  index limit = static_cast<index>(order.size());
  if (router.select == Select::top_k) {
    limit = std::min(router.k, limit);
  }
  if (router.max_experts > 0) {
    limit = std::min(limit, router.max_experts);
  }
  std::vector<index> chosen;
  double before = 0.0;  // mass of the better ones
  for (index rank = 0; rank < limit; ++rank) {
    const index e = order[static_cast<std::size_t>(rank)];
    if (router.select == Select::threshold && rank > 0 && !(before < router.threshold)) {
      break;
    }
    chosen.push_back(e);
    before += at(scores, e);
  }
  return chosen;
}

/// Weights of the chosen, before any drop.
inline Vector weigh(const Router& router, const Vector& z, const Vector& s,
                    const std::vector<index>& chosen) {
  Vector w;
  double sum = 0.0;
  double top = -std::numeric_limits<double>::infinity();
  for (index e : chosen) {
    top = std::max(top, at(z, e));
  }
  for (index e : chosen) {
    const double v = router.weigh == Weigh::softmax_of_chosen ? std::exp(at(z, e) - top) : at(s, e);
    w.push_back(v);
    sum += v;
  }
  for (double& v : w) {
    if (router.weigh != Weigh::raw) {
      v = sum == 0.0 ? 0.0 : v / sum;
    }
    v *= router.scale;
  }
  return w;
}

/// The logits' gradient that the weights' gradients `g` of the chosen lead to, through weigh and
/// score; `ds` is what comes in at the scores from elsewhere (losses).
inline Vector logits_gradient(const Router& router, const Vector& z, const Vector& s,
                              const std::vector<index>& chosen, const Vector& g, Vector ds) {
  Vector dz(z.size(), 0.0);
  const Vector w = weigh(router, z, s, chosen);
  double inner = 0.0;  // <g, w> with w before the scale
  double sum = 0.0;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    inner += router.scale == 0.0 ? 0.0 : g[i] * w[i] / router.scale;
    sum += at(s, chosen[i]);
  }
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const index e = chosen[i];
    if (router.weigh == Weigh::raw) {
      at(ds, e) += router.scale * g[i];
    } else if (router.weigh == Weigh::normalized) {
      at(ds, e) += sum == 0.0 ? 0.0 : router.scale * (g[i] - inner) / sum;
    } else {
      at(dz, e) += w[i] * (g[i] - inner);
    }
  }
  double mean = 0.0;
  for (std::size_t e = 0; e < z.size(); ++e) {
    mean += s[e] * ds[e];
  }
  for (std::size_t e = 0; e < z.size(); ++e) {
    switch (router.score) {
      case Score::softmax:
        dz[e] += s[e] * (ds[e] - mean);
        break;
      case Score::sigmoid:
        dz[e] += ds[e] * s[e] * (1.0 - s[e]);
        break;
      case Score::identity:
        dz[e] += ds[e];
        break;
    }
  }
  return dz;
}

}  // namespace reference
