// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <xmoe/metrics/choices.hpp>

#include <cmath>

namespace xmoe::inline XMOE_ABI::metrics {

/// Tokens by label and expert; a label is a token id, a domain, a language. Those of several calls
/// add up with +=.
struct LabelCounts {
  index labels = 0;
  index experts = 0;
  std::vector<index> tokens;  ///< [L] tokens of the label
  std::vector<index> count;   ///< [L,E] those of them that chose the expert

  index at(index label, index expert) const {
    return count[static_cast<std::size_t>(label * experts + expert)];
  }
  /// Share of the label's tokens that chose the expert; a row sums to the experts per token.
  double share(index label, index expert) const {
    const index n = tokens[static_cast<std::size_t>(label)];
    return n > 0 ? static_cast<double>(at(label, expert)) / static_cast<double>(n) : 0.0;
  }
  /// [L,E] all shares, by row.
  std::vector<double> shares() const {
    std::vector<double> all;
    all.reserve(count.size());
    for (index l = 0; l < labels; ++l) {
      for (index e = 0; e < experts; ++e) {
        all.push_back(share(l, e));
      }
    }
    return all;
  }

  /// Throws shape_error if both have labels, and not the same numbers of them and of experts.
  LabelCounts& operator+=(const LabelCounts& other) {
    if (labels == 0) {
      return *this = other;
    }
    if (other.labels != 0 && (other.labels != labels || other.experts != experts)) {
      detail::fail<shape_error>(
          "xmoe::metrics::LabelCounts: %td labels, %td experts and %td, %td do not add up", labels,
          experts, other.labels, other.experts);
    }
    for (std::size_t i = 0; i < other.tokens.size(); ++i) {
      tokens[i] += other.tokens[i];
    }
    for (std::size_t i = 0; i < other.count.size(); ++i) {
      count[i] += other.count[i];
    }
    return *this;
  }
};

/// Counts by label.
///
///   in      label [T]   0 .. labels-1; negative = the token takes no part
///           valid [T]   0 = padding, whose labels are not read; empty = no padding
///   cost    O(L E + N)
///   throws  shape_error if label or mask do not fit, value_error naming a label that is too large
template <class R>
LabelCounts count_labels(const RoutingView<R>& routing, VectorView<const std::int32_t> label,
                         index labels, VectorView<const std::uint8_t> valid = {}) {
  const char* const name = "xmoe::metrics::count_labels";
  if (label.size() != routing.tokens) {
    detail::fail<shape_error>("%s: %td labels for %td tokens", name, label.size(), routing.tokens);
  }
  LabelCounts c;
  Choices<R> choices(name, routing, valid);
  c.labels = labels > 0 ? labels : 0;
  c.experts = routing.experts;
  c.tokens.assign(static_cast<std::size_t>(c.labels), 0);
  c.count.assign(static_cast<std::size_t>(c.labels) * static_cast<std::size_t>(c.experts), 0);
  for (index t = 0; t < routing.tokens; ++t) {
    if (!choices.is_real(t) || label[t] < 0) {
      continue;
    }
    if (label[t] >= c.labels) {
      detail::fail<value_error>("%s: label[%td] is %d, must be below %td", name, t,
                                static_cast<int>(label[t]), c.labels);
    }
    ++c.tokens[static_cast<std::size_t>(label[t])];
    for (const std::int32_t e : choices.of(t)) {
      ++c.count[static_cast<std::size_t>(label[t] * c.experts + e)];
    }
  }
  return c;
}

/// How far the experts of a label, P(e | label), lie from those of all tokens, P(e). Both sum to 1
/// over the experts. Labels without assignments: zeros.
struct Specialization {
  std::vector<double> marginal;         ///< [E] P(e)
  std::vector<double> divergence;       ///< [L] sum P(e|l) ln(P(e|l) / P(e)), nats
  std::vector<double> total_variation;  ///< [L] 1/2 sum |P(e|l) - P(e)|: 0 .. 1
  /// Mean divergence, labels weighted by their assignments: the information in nats that an
  /// assignment's label and its expert share; 0 when experts do not care for labels.
  double information = 0.0;
  double mean_total_variation = 0.0;  ///< weighted likewise
};

/// Compares every label with the marginal.
///
///   cost    O(L E)
///   source  arXiv 2409.02060, section 5 (domain and vocabulary specialization: `share`)
inline Specialization specialization(const LabelCounts& c) {
  Specialization s;
  s.marginal.assign(static_cast<std::size_t>(c.experts), 0.0);
  s.divergence.assign(static_cast<std::size_t>(c.labels), 0.0);
  s.total_variation = s.divergence;
  std::vector<double> row(s.divergence.size(), 0.0);
  double total = 0.0;
  for (index l = 0; l < c.labels; ++l) {
    for (index e = 0; e < c.experts; ++e) {
      const double n = static_cast<double>(c.at(l, e));
      s.marginal[static_cast<std::size_t>(e)] += n;
      row[static_cast<std::size_t>(l)] += n;
      total += n;
    }
  }
  for (double& p : s.marginal) {
    p /= total > 0.0 ? total : 1.0;
  }
  for (index l = 0; l < c.labels; ++l) {
    const auto i = static_cast<std::size_t>(l);
    if (!(row[i] > 0.0)) {
      continue;
    }
    for (index e = 0; e < c.experts; ++e) {
      const double p = static_cast<double>(c.at(l, e)) / row[i];
      const double q = s.marginal[static_cast<std::size_t>(e)];  // > 0 wherever p is
      s.divergence[i] += p > 0.0 ? p * std::log(p / q) : 0.0;
      s.total_variation[i] += 0.5 * std::abs(p - q);
    }
    s.information += row[i] / total * s.divergence[i];
    s.mean_total_variation += row[i] / total * s.total_variation[i];
  }
  return s;
}

}  // namespace xmoe::inline XMOE_ABI::metrics
